// SPDX-License-Identifier: MIT
// backend_glibc.h: malloc and free as libc has them.

#ifndef BENCH_BACKEND_GLIBC_H
#define BENCH_BACKEND_GLIBC_H

#include <malloc.h>

#define BENCH_BACKEND "glibc"
#define BENCH_COLLECTS 0

#define TYPE(T, ...)
#define NEW(T) ((T *)bench_checked(malloc(sizeof(T))))
#define NEW_ARRAY(T, n) ((T *)bench_checked(calloc((n), sizeof(T))))
#define ALLOC(bytes) bench_checked(malloc(bytes))
#define ALLOC_LEAF(bytes) bench_checked(malloc(bytes))
#define FREE_EXPLICIT(p) free(p)

static inline void bench_backend_start(void) {
}

static inline void bench_collect(void) {
}

static inline void bench_collect_never(void) {
}

static inline void bench_compact(void) {
    malloc_trim(0);
}

static inline struct bench_pauses bench_pauses(void) {
    return (struct bench_pauses){.max_ms = -1};
}

static inline double bench_pause_last_ms(void) {
    return 0;
}

static inline double bench_stop_max_us(void) {
    return 0;
}

static inline void *bench_base_of(const void *p) {
    (void)p;
    bench_fail("malloc cannot tell where an object starts");
}

#endif // BENCH_BACKEND_GLIBC_H
