// SPDX-License-Identifier: MIT
// pace.c: the budget is a share of what is alive.
//
// A collection costs about as much as there is alive, so collecting whenever a
// fixed share of that has been allocated makes its cost a fixed price per byte
// allocated, however large the heap.

#include "collect/pace.h"

#include "alloc/budget.h"
#include "base/config.h"
#include "base/settings.h"

static struct {
    size_t live_bytes;   // of the last collection
    size_t budget_bytes; // set then
} pace;

// Under this a collection would cost more than what it can find.
#define PACE_LEAST_BYTES (16 * LM_BLOCK_BYTES)

static size_t pace_budget(size_t live) {
    // Relaxed: settings stand for themselves.
    size_t growth = __atomic_load_n(&lm_settings.growth, __ATOMIC_RELAXED);
    size_t min = __atomic_load_n(&lm_settings.heap_min, __ATOMIC_RELAXED);
    size_t budget;
    if (__builtin_mul_overflow(live / 100, growth, &budget)) {
        budget = SIZE_MAX / 2;
    }
    budget += live % 100 * growth / 100;
    if (min > live && budget < min - live) {
        budget = min - live;
    }
    return budget > PACE_LEAST_BYTES ? budget : PACE_LEAST_BYTES;
}

void lm_pace_after(size_t live_bytes) {
    pace.live_bytes = live_bytes;
    pace.budget_bytes = pace_budget(live_bytes);
    lm_budget_set(pace.budget_bytes);
}

void lm_pace_init(void) { lm_pace_after(0); }

void lm_pace_change(void) {
    size_t left = lm_budget_left();
    size_t spent = pace.budget_bytes > left ? pace.budget_bytes - left : 0;
    pace.budget_bytes = pace_budget(pace.live_bytes);
    lm_budget_set(pace.budget_bytes > spent ? pace.budget_bytes - spent : 0);
}
