// SPDX-License-Identifier: MIT
// backend_mimalloc.h: mimalloc under its own names, so that nobody need wonder
// whether the right malloc was linked.

#ifndef BENCH_BACKEND_MIMALLOC_H
#define BENCH_BACKEND_MIMALLOC_H

#include <mimalloc.h>

#define BENCH_BACKEND "mimalloc"
#define BENCH_COLLECTS 0

#define TYPE(T, ...)
#define NEW(T) ((T *)bench_checked(mi_malloc(sizeof(T))))
#define NEW_ARRAY(T, n) ((T *)bench_checked(mi_calloc((n), sizeof(T))))
#define ALLOC(bytes) bench_checked(mi_malloc(bytes))
#define ALLOC_LEAF(bytes) bench_checked(mi_malloc(bytes))
#define FREE_EXPLICIT(p) mi_free(p)

static inline void bench_backend_start(void) {
}

static inline void bench_collect(void) {
}

static inline void bench_collect_never(void) {
}

static inline void bench_compact(void) {
    mi_collect(true);
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

#endif // BENCH_BACKEND_MIMALLOC_H
