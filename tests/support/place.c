// SPDX-License-Identifier: MIT
// place.c: what kind of run this is, and what the machine has.

#include "support/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLACE_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define PLACE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PLACE_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define PLACE_TSAN 1
#endif

bool place_has_asan(void) {
#ifdef PLACE_ASAN
    return true;
#else
    return false;
#endif
}

bool place_has_tsan(void) {
#ifdef PLACE_TSAN
    return true;
#else
    return false;
#endif
}

bool place_has_valgrind(void) {
    // Valgrind puts its own library in front of the program's.
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

size_t place_scaled(size_t count) {
    const char *percent = getenv("LOAM_TEST_SCALE");
    if (percent != NULL) {
        count = count * strtoul(percent, NULL, 10) / 100 + 1;
    }
    bool slow = place_has_asan() || place_has_tsan() || place_has_valgrind();
    return slow ? count / 10 + 1 : count;
}

size_t place_available_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "r");
    if (file == NULL) {
        return 0;
    }
    char line[128];
    size_t kib = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "MemAvailable: %zu", &kib) == 1) {
            break;
        }
    }
    fclose(file);
    return kib * 1024;
}
