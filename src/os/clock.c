// SPDX-License-Identifier: MIT
// clock.c: the system's clocks.

#include "os/clock.h"

#include <time.h>

static uint64_t clock_read(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t lm_clock_ns(void) {
    return clock_read(CLOCK_MONOTONIC);
}

uint64_t lm_clock_thread_ns(void) {
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t lm_clock_process_ns(void) {
    return clock_read(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t clock_start;

void lm_clock_init(void) {
    clock_start = lm_clock_ns();
}

uint64_t lm_clock_start_ns(void) {
    return clock_start;
}
