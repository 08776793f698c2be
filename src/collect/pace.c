// SPDX-License-Identifier: MIT
// pace.c: the budget is a share of what is alive, and more where it pays.
//
// A collection costs about as much as there is alive, so collecting whenever a
// fixed share of that has been allocated makes its cost a fixed price per byte
// allocated, however large the heap. In a small heap memory is cheap: it may
// double. And for a program that allocates fast even that price is too high:
// while collecting takes more than PACE_SHARE of the time, the budget doubles,
// up to PACE_EXTRA_BYTES; when it takes far less, the budget shrinks again. It
// is the idea of Kirisame, Shenoy and Panchekha's "Optimal heap limits"
// (2022), that the heap should grow less than in proportion to what is alive
// and with the rate of allocation. A growth that was set is kept to.

#include "collect/pace.h"

#include "alloc/budget.h"
#include "base/config.h"
#include "base/settings.h"
#include "os/clock.h"

// The share of time for collecting, in percent, above which the budget grows
// and below a quarter of which it shrinks.
#define PACE_SHARE 12

// The most that is allocated between collections for that reason: measured on
// binary trees and gcbench, where it halves the time; see
// docs/internals/decisions/0004.
#define PACE_EXTRA_BYTES ((size_t)88 << 20)

// Under this a collection would cost more than what it can find.
#define PACE_LEAST_BYTES (16 * LM_BLOCK_BYTES)

static struct {
    size_t live_bytes;   // of the last collection
    size_t budget_bytes; // set then
    size_t extra_bytes;  // the budget that the program's speed asks for
    uint64_t ended_ns;   // the last collection
} pace;

static size_t pace_growth(size_t live) {
    // Relaxed: settings stand for themselves.
    size_t growth = __atomic_load_n(&lm_settings.growth, __ATOMIC_RELAXED);
    size_t budget;
    if (__builtin_mul_overflow(live / 100, growth, &budget)) {
        return SIZE_MAX / 2;
    }
    return budget + live % 100 * growth / 100;
}

static size_t pace_budget(size_t live) {
    size_t min = __atomic_load_n(&lm_settings.heap_min, __ATOMIC_RELAXED);
    size_t budget = pace_growth(live);
    if (!__atomic_load_n(&lm_settings.is_growth_fixed, __ATOMIC_RELAXED)) {
        size_t small = live < PACE_EXTRA_BYTES ? live : PACE_EXTRA_BYTES;
        small = small > pace.extra_bytes ? small : pace.extra_bytes;
        budget = budget > small ? budget : small;
    }
    if (min > live && budget < min - live) {
        budget = min - live;
    }
    return budget > PACE_LEAST_BYTES ? budget : PACE_LEAST_BYTES;
}

// Looks at how the time since the last collection was spent.
static void pace_adapt(uint64_t began_ns) {
    uint64_t now = lm_clock_ns();
    uint64_t collecting = now - began_ns;
    uint64_t whole = now - pace.ended_ns;
    if (collecting * 100 > whole * PACE_SHARE) {
        size_t more = pace.budget_bytes * 2;
        pace.extra_bytes = more < PACE_EXTRA_BYTES ? more : PACE_EXTRA_BYTES;
    } else if (collecting * 400 < whole * PACE_SHARE) {
        pace.extra_bytes = pace.extra_bytes / 4 * 3;
    }
    pace.ended_ns = now;
}

static void pace_set(size_t live_bytes) {
    pace.live_bytes = live_bytes;
    pace.budget_bytes = pace_budget(live_bytes);
    lm_budget_set(pace.budget_bytes, live_bytes);
}

void lm_pace_after(size_t live_bytes, uint64_t began_ns) {
    pace_adapt(began_ns);
    pace_set(live_bytes);
}

void lm_pace_init(void) {
    pace.extra_bytes = 0;
    pace.ended_ns = lm_clock_ns();
    pace_set(0);
}

void lm_pace_change(void) {
    size_t left = lm_budget_left();
    size_t spent = pace.budget_bytes > left ? pace.budget_bytes - left : 0;
    pace.budget_bytes = pace_budget(pace.live_bytes);
    lm_budget_set(pace.budget_bytes > spent ? pace.budget_bytes - spent : 0,
                  pace.live_bytes);
}
