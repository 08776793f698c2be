// SPDX-License-Identifier: MIT
// backend_bdwgc.h: the Boehm-Demers-Weiser collector with threads.
//
// Its own defaults: thread-local free lists, one marker a core, interior
// pointers recognised everywhere (which Loam promises too), heap growth as
// GC_free_space_divisor has it. Memory without pointers is asked for as such.
// A pause lasts from before the first thread is signalled until all run again.

#ifndef BENCH_BACKEND_BDWGC_H
#define BENCH_BACKEND_BDWGC_H

#define GC_THREADS
#include <gc/gc.h>
#include <time.h>

#define BENCH_BACKEND "bdwgc"
#define BENCH_COLLECTS 1

#define TYPE(T, ...)
#define NEW(T) ((T *)bench_checked(GC_MALLOC(sizeof(T))))
#define NEW_ARRAY(T, n) ((T *)bench_checked(GC_MALLOC((n) * sizeof(T))))
#define ALLOC(bytes) bench_checked(GC_MALLOC(bytes))
#define ALLOC_LEAF(bytes) bench_checked(GC_MALLOC_ATOMIC(bytes))
#define FREE_EXPLICIT(p) ((void)(p))

// Written by the collecting thread, which holds bdwgc's lock.
static struct {
    int64_t begin_ns;
    int64_t last_ns;
    int64_t max_ns;
    int64_t stop_last_ns; // until every thread had stopped
    int64_t stop_max_ns;
} bench_pauses;

static inline void bench_on_event(GC_EventType event) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    if (event == GC_EVENT_PRE_STOP_WORLD) {
        bench_pauses.begin_ns = now;
    } else if (event == GC_EVENT_POST_STOP_WORLD) {
        bench_pauses.stop_last_ns = now - bench_pauses.begin_ns;
        if (bench_pauses.stop_last_ns > bench_pauses.stop_max_ns) {
            bench_pauses.stop_max_ns = bench_pauses.stop_last_ns;
        }
    } else if (event == GC_EVENT_POST_START_WORLD) {
        bench_pauses.last_ns = now - bench_pauses.begin_ns;
        if (bench_pauses.last_ns > bench_pauses.max_ns) {
            bench_pauses.max_ns = bench_pauses.last_ns;
        }
    }
}

static inline void bench_start(void) {
    GC_INIT();
    // Without this, its markers start only when the program makes a thread.
    GC_start_mark_threads();
    GC_set_on_collection_event(bench_on_event);
    // Its advice on large blocks goes to stderr; the figures say it already.
    GC_set_warn_proc(GC_ignore_warn_proc);
}

static inline void bench_collect_never(void) {
    GC_disable();
}

static inline void bench_collect(void) {
    int is_disabled = GC_is_disabled();
    if (is_disabled) {
        GC_enable();
    }
    GC_gcollect();
    if (is_disabled) {
        GC_disable();
    }
}

static inline double bench_pause_max_ms(void) {
    return (double)bench_pauses.max_ns / 1e6;
}

static inline uint64_t bench_collection_count(void) {
    return GC_get_gc_no();
}

static inline double bench_stop_max_us(void) {
    return (double)bench_pauses.stop_max_ns / 1e3;
}

static inline void *bench_base_of(const void *p) {
    return GC_base((void *)(uintptr_t)p);
}

#endif // BENCH_BACKEND_BDWGC_H
