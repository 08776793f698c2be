// SPDX-License-Identifier: MIT
// probe.c: does a program use Loam at all?
//
// A program that is linked with the shared library names libloam.so among its
// needs. One that contains the static library contains the name of the setting
// LOAM_REPORT, whether or not it has been stripped.

#define _GNU_SOURCE

#include "probe.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *probe_find(const char *program) {
    if (strchr(program, '/') != NULL) {
        return strdup(program);
    }
    const char *from = getenv("PATH");
    while (from != NULL) {
        const char *end = strchrnul(from, ':');
        int length = (int)(end - from);
        char *path = NULL;
        // An empty entry is the working directory.
        if (asprintf(&path, "%.*s/%s", length > 0 ? length : 1,
                     length > 0 ? from : ".", program) < 0) {
            return NULL;
        }
        if (access(path, X_OK) == 0) {
            return path;
        }
        free(path);
        from = *end == ':' ? end + 1 : NULL;
    }
    return NULL;
}

static bool probe_has(const char *bytes, size_t count, const char *text) {
    return memmem(bytes, count, text, strlen(text)) != NULL;
}

static enum probe_finding probe_bytes(const char *bytes, size_t count) {
    if (count >= 2 && memcmp(bytes, "#!", 2) == 0) {
        return PROBE_SCRIPT;
    }
    return probe_has(bytes, count, "libloam.so") ||
                   probe_has(bytes, count, "LOAM_REPORT")
               ? PROBE_WITH
               : PROBE_WITHOUT;
}

enum probe_finding probe_program(const char *program, char **path) {
    *path = probe_find(program);
    if (*path == NULL) {
        return PROBE_UNKNOWN;
    }
    enum probe_finding finding = PROBE_UNKNOWN;
    int fd = open(*path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0) {
        size_t count = (size_t)status.st_size;
        void *bytes = mmap(NULL, count, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            finding = probe_bytes(bytes, count);
            munmap(bytes, count);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return finding;
}
