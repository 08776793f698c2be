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
    int64_t total_ns;
    int64_t stop_max_ns; // the longest wait until every thread had stopped
    struct bench_histogram histogram;
} bench_stops;

static inline void bench_on_event(GC_EventType event) {
    int64_t now = bench_now_ns();
    int64_t since_ns = now - bench_stops.begin_ns;
    if (event == GC_EVENT_PRE_STOP_WORLD) {
        bench_stops.begin_ns = now;
    } else if (event == GC_EVENT_POST_STOP_WORLD) {
        if (since_ns > bench_stops.stop_max_ns) {
            bench_stops.stop_max_ns = since_ns;
        }
    } else if (event == GC_EVENT_POST_START_WORLD) {
        bench_stops.last_ns = since_ns;
        bench_stops.total_ns += since_ns;
        bench_histogram_add(&bench_stops.histogram, since_ns);
    }
}

static inline void bench_backend_start(void) {
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

static inline void bench_compact(void) {
    GC_gcollect_and_unmap();
}

static inline struct bench_pauses bench_pauses(void) {
    return (struct bench_pauses){
        .max_ms = (double)bench_stops.histogram.max_ns / 1e6,
        .p99_ms = bench_histogram_at(&bench_stops.histogram, 0.99) / 1e6,
        .total_ms = (double)bench_stops.total_ns / 1e6,
        .collection_count = GC_get_gc_no(),
    };
}

static inline double bench_pause_last_ms(void) {
    return (double)bench_stops.last_ns / 1e6;
}

static inline double bench_stop_max_us(void) {
    return (double)bench_stops.stop_max_ns / 1e3;
}

static inline void *bench_base_of(const void *p) {
    return GC_base((void *)(uintptr_t)p);
}

#endif // BENCH_BACKEND_BDWGC_H
