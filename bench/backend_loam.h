// SPDX-License-Identifier: MIT
// backend_loam.h: Loam, with typed objects and its default settings.

#ifndef BENCH_BACKEND_LOAM_H
#define BENCH_BACKEND_LOAM_H

#include <loam.h>

#define BENCH_BACKEND "loam"
#define BENCH_COLLECTS 1

#define TYPE(T, ...) LOAM_TYPE(T, __VA_ARGS__)
#define NEW(T) ((T *)bench_checked(loam_new(T)))
#define NEW_ARRAY(T, n) ((T *)bench_checked(loam_new_array(T, (n))))
#define ALLOC(bytes) bench_checked(loam_alloc(bytes))
#define ALLOC_LEAF(bytes) bench_checked(loam_alloc_leaf(bytes))
#define FREE_EXPLICIT(p) ((void)(p))

static inline void bench_backend_start(void) {
    if (loam_init() != 0) {
        bench_fail(loam_last_error());
    }
}

static inline void bench_collect(void) {
    loam_collect();
}

static inline void bench_collect_never(void) {
    loam_heap_min_set((size_t)16 << 30);
}

// 0 when it was a minor one indeed.
static inline int bench_collect_minor(void) {
    struct loam_stats before, after;
    loam_generations_set(LOAM_ON);
    loam_stats_get(&before);
    loam_collect_minor();
    loam_stats_get(&after);
    return after.minor_count > before.minor_count ? 0 : -1;
}

static inline void bench_compact(void) {
    loam_compact();
}

static inline struct bench_pauses bench_pauses(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return (struct bench_pauses){
        .max_ms = (double)stats.pause_max_ns / 1e6,
        .p99_ms = (double)stats.pause_p99_ns / 1e6,
        .total_ms = (double)stats.pause_total_ns / 1e6,
        .collection_count = stats.collection_count,
    };
}

static inline double bench_pause_last_ms(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return (double)stats.pause_last_ns / 1e6;
}

static inline double bench_stop_max_us(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return (double)stats.stop_max_ns / 1e3;
}

static inline void *bench_base_of(const void *p) {
    return loam_base_of(p);
}

#endif // BENCH_BACKEND_LOAM_H
