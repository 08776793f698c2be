// SPDX-License-Identifier: MIT
// seconds.h: what a test that has been long enough at it asks.

#ifndef LOAM_TESTS_SUPPORT_SECONDS_H
#define LOAM_TESTS_SUPPORT_SECONDS_H

#include <time.h>

// seconds_now counts from some moment, evenly.
static inline double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif // LOAM_TESTS_SUPPORT_SECONDS_H
