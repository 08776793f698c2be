// SPDX-License-Identifier: MIT
// pauses.c: buckets of equal ratio: 32 to each power of two, as in Gil Tene's
// HdrHistogram.

#include "see/pauses.h"

#include <stddef.h>

#define PAUSE_SUB_BITS 5
#define PAUSE_SUBS (1u << PAUSE_SUB_BITS)
#define PAUSE_BUCKETS ((64 - PAUSE_SUB_BITS + 1) * PAUSE_SUBS)

// Written by the one collecting thread at a time, read by any; relaxed.
static uint64_t pause_count[PAUSE_BUCKETS];
static uint64_t pause_total;

static size_t bucket_of(uint64_t ns) {
    if (ns < PAUSE_SUBS) {
        return (size_t)ns;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - PAUSE_SUB_BITS;
    return (size_t)(shift + 1) * PAUSE_SUBS +
           (size_t)((ns >> shift) - PAUSE_SUBS);
}

// The middle of a bucket.
static uint64_t bucket_value(size_t bucket) {
    if (bucket < PAUSE_SUBS) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / PAUSE_SUBS) - 1;
    uint64_t low = (uint64_t)(bucket % PAUSE_SUBS + PAUSE_SUBS) << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

void lm_pauses_add(uint64_t ns) {
    __atomic_add_fetch(&pause_count[bucket_of(ns)], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&pause_total, 1, __ATOMIC_RELAXED);
}

uint64_t lm_pauses_quantile(unsigned thousandths) {
    uint64_t total = __atomic_load_n(&pause_total, __ATOMIC_RELAXED);
    uint64_t want = (total * thousandths + 999) / 1000;
    uint64_t seen = 0;
    for (size_t i = 0; i < PAUSE_BUCKETS && total; i++) {
        seen += __atomic_load_n(&pause_count[i], __ATOMIC_RELAXED);
        if (seen >= want && seen > 0) {
            return bucket_value(i);
        }
    }
    return 0;
}
