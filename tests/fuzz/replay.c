// SPDX-License-Identifier: MIT
// replay.c: runs the fuzz target over files, folders of files, or random bytes.
//
//     calls_replay FILE-OR-FOLDER...      what a fuzzer found
//     calls_replay --random COUNT         from LOAM_TEST_SEED on

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/chance.h"
#include "support/survivors.h"

#define INPUT_LIMIT ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replay_file(const char *path) {
    static uint8_t data[INPUT_LIMIT];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    fprintf(stderr, "%s (%zu bytes)\n", path, size);
    LLVMFuzzerTestOneInput(data, size);
    return 1;
}

static size_t replay_path(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return replay_file(path);
    }
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    size_t replayed = 0;
    for (int i = 0; i < count; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            replayed += replay_file(inner);
        }
        free(entries[i]);
    }
    free(entries);
    return replayed;
}

static void replay_random(size_t count) {
    static uint8_t data[INPUT_LIMIT];
    uint64_t seed = chance_seed("calls");
    for (size_t i = 0; i < count; i++) {
        struct chance chance = chance_start(seed + i);
        size_t size = chance_below(&chance, 20000);
        for (size_t b = 0; b < size; b++) {
            data[b] = (uint8_t)chance_below(&chance, 256);
        }
        LLVMFuzzerTestOneInput(data, size);
    }
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--random") == 0) {
        replay_random(strtoul(argv[2], NULL, 10));
        return 0;
    }
    size_t replayed = 0;
    for (int i = 1; i < argc; i++) {
        replayed += replay_path(argv[i]);
    }
    must(argc < 2 || replayed > 0);
    return 0;
}
