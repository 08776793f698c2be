// SPDX-License-Identifier: MIT
// backend.h: one way to ask for memory, answered by four allocators.
//
// A workload is written once and compiled once a backend; the build defines
// one BENCH_BACKEND_name. Each backend's header supplies:
//
//   TYPE(T, field, ...)   at file scope: where T keeps its pointers
//   NEW(T)                one T that holds pointers; contents undefined
//   NEW_ARRAY(T, n)       n zeroed T's that hold pointers
//   ALLOC(bytes)          untyped memory that may hold pointers; undefined
//   ALLOC_LEAF(bytes)     memory without pointers; undefined
//   FREE_EXPLICIT(p)      this object is dead; collectors find out themselves
//   BENCH_BACKEND         its name
//   BENCH_COLLECTS        1 where objects die by being forgotten
//   bench_backend_start() what bench_start, to be called first in main, does first
//   bench_collect()       a full collection, where there is one
//   bench_collect_never() from here on only where bench_collect asks for one
//   bench_compact()      a full collection that gives back what it can
//   bench_pauses()       how the program has stood still until now
//   bench_pause_last_ms() the last pause, 0 where there is none
//   bench_stop_max_us()   the longest wait until all threads had stopped
//   bench_base_of(p)      the start of the object that p points into
//
// "Undefined" is what malloc promises. The collectors zero what may hold
// pointers; that is part of their price, so no workload relies on it and none
// pays for it twice. A request that fails ends the program.
//
// Include this before any system header that declares threads: bdwgc renames
// pthread_create.

#ifndef BENCH_BACKEND_H
#define BENCH_BACKEND_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "measure.h"

_Noreturn static inline void bench_fail(const char *what) {
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline void *bench_checked(void *p) {
    if (__builtin_expect(p == NULL, 0)) {
        bench_fail("out of memory");
    }
    return p;
}

#if defined(BENCH_BACKEND_glibc)
#include "backend_glibc.h"
#elif defined(BENCH_BACKEND_mimalloc)
#include "backend_mimalloc.h"
#elif defined(BENCH_BACKEND_bdwgc)
#include "backend_bdwgc.h"
#elif defined(BENCH_BACKEND_loam)
#include "backend_loam.h"
#else
#error "define one of BENCH_BACKEND_glibc, _mimalloc, _bdwgc, _loam"
#endif

#include <pthread.h>
#include <sched.h>

// bench_start is to be called first in main. With BENCH_ONE_CORE set the
// program's threads run on one core from here on, and a collector's threads,
// which have begun by then, where they like.
static inline void bench_start(void) {
    bench_backend_start();
    if (getenv("BENCH_ONE_CORE") == NULL) {
        return;
    }
    bench_collect();
    cpu_set_t all;
    cpu_set_t one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all) == 0) {
        for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
            if (CPU_ISSET(i, &all)) {
                CPU_SET(i, &one);
            }
        }
    }
    if (CPU_COUNT(&one) == 0 || sched_setaffinity(0, sizeof one, &one) != 0) {
        bench_fail("the program cannot be kept on one core");
    }
}

#endif // BENCH_BACKEND_H
