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
#include "collect/dirty.h"
#include "collect/room.h"
#include "heap/kind.h"
#include "mark/lines.h"
#include "os/clock.h"
#include "os/track.h"

#include <string.h>

// The share of time for collecting, in percent, above which the budget grows
// and below a quarter of which it shrinks.
#define PACE_SHARE 12

// The most that is allocated between collections for that reason: measured on
// binary trees and gcbench, where it halves the time; see
// docs/internals/decisions/0004.
#define PACE_EXTRA_BYTES ((size_t)88 << 20)

// Under this a collection would cost more than what it can find.
#define PACE_LEAST_BYTES (16 * LM_BLOCK_BYTES)

// Pauses that nobody notices: at 60 pictures a second one takes 16 ms.
#define PACE_TARGET_NS 1000000u

// Generations are tried where a minor collection should free a byte at less than
// this part of the price of a collection of all, given up when three of them in a
// row have freed it at more than the whole of it, and tried again when collections
// of all have cost so many times what those did: so trying costs a share of that,
// whatever the heap and however often it fails.
#define PACE_PRICE 2
#define PACE_MISSES 3
#define PACE_TRIAL 16

// What visiting a written page costs a minor collection: between half of that and
// twice as much where it was measured.
#define PACE_PAGE_NS 1000u

// The same in a stop, where neither the page nor what it leads to is in a cache: 1
// us in a heap of 10 MiB, 7 in one of 220.
#define PACE_COLD_PAGE_NS 4000u

static struct {
    size_t live_bytes;   // after the last collection
    size_t full_bytes;   // alive after the last full one
    size_t budget_bytes; // set then
    size_t extra_bytes;  // the budget that the program's speed asks for
    size_t growth_bytes; // what may become old until the next full one
    uint64_t ended_ns;   // the last collection
    uint64_t mark_rate;  // bytes marked in a second, beside the program
    bool has_rate;       // that was measured, and not in a stop
    bool is_tight;       // a limit leaves no time to mark beside the program
    unsigned misses;     // minor collections in a row that freed little
    bool has_paid;       // one of them has, since the last collection of all
    uint64_t trial_ns;   // what the misses cost
    uint64_t rest_ns; // what collections of all are to cost until the next try
    uint64_t full_price;  // of a collection of all, in ns for a page freed
    uint64_t full_ns;     // and of all of the last one
    bool is_quiet;        // little was written during the last marking
    size_t nursery_bytes; // allocated between minor collections
    bool is_generational;
    bool is_begun; // there has been a collection
} pace;

// Relaxed: settings stand for themselves.
static enum lm_toggle pace_concurrent(void) {
    return __atomic_load_n(&lm_settings.concurrent, __ATOMIC_RELAXED);
}

static enum lm_toggle pace_generations(void) {
    return __atomic_load_n(&lm_settings.generations, __ATOMIC_RELAXED);
}

static size_t pace_growth(size_t live) {
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
    budget = budget > PACE_LEAST_BYTES ? budget : PACE_LEAST_BYTES;
    return lm_room_cap(live, budget);
}

// Looks at how the time since the last collection was spent.
static void pace_adapt(uint64_t began_ns, uint64_t now) {
    uint64_t collecting = now - began_ns;
    uint64_t whole = now - pace.ended_ns;
    if (collecting * 100 > whole * PACE_SHARE) {
        size_t more = pace.growth_bytes * 2; // the budget, but for a nursery
        pace.extra_bytes = more < PACE_EXTRA_BYTES ? more : PACE_EXTRA_BYTES;
    } else if (collecting * 400 < whole * PACE_SHARE) {
        pace.extra_bytes = pace.extra_bytes / 4 * 3;
    }
}

// A marking beside the program should end when the budget does: it begins when
// what is left is what the program will allocate meanwhile, and half as much.
static uint64_t pace_need(uint64_t since_ns, size_t allocated) {
    uint64_t micros = since_ns / 1000 + 1;
    uint64_t marking = pace.mark_rate
                           ? pace.live_bytes / (pace.mark_rate / 1000000 + 1)
                           : pace.live_bytes / 500;
    return allocated / micros * (marking + 1000) / 2 * 3;
}

static size_t pace_low(uint64_t need) {
    uint64_t most = pace.budget_bytes / 8 * 7;
    return need < most ? (size_t)need + 1 : most;
}

static void pace_set(void) {
    lm_budget_set(pace.budget_bytes, pace.live_bytes);
}

// Bytes allocated on the budget under way.
static size_t pace_spent(void) {
    size_t left = lm_budget_left();
    return (pace.budget_bytes > left ? pace.budget_bytes - left : 0) +
           lm_budget_over();
}

uint64_t lm_pace_target_ns(void) {
    uint64_t ns =
        __atomic_load_n(&lm_settings.pause_target_ns, __ATOMIC_RELAXED);
    return ns ? ns : PACE_TARGET_NS;
}

// Where stores are told by the program, objects of types that are not have to be
// scanned in each stop: no short one then.
bool lm_pace_is_tracked(void) {
    size_t untold = 0;
    if (lm_track_rung() != LM_TRACK_BARRIER) {
        return true;
    }
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        const struct lm_kind *k = &lm_kinds[kind];
        untold += k->is_leaf || k->type->is_barriered ? 0 : k->live_bytes;
    }
    return untold < LM_BESIDE_BYTES;
}

bool lm_pace_is_concurrent(void) {
    // Before the first collection all may be alive.
    size_t live = pace.is_begun ? pace.live_bytes : pace_spent();
    return pace_concurrent() != LM_OFF &&
           (pace_concurrent() == LM_ON ||
            (!pace.is_tight && live >= LM_BESIDE_BYTES &&
             lm_pace_is_tracked())) &&
           lm_dirty_may_open();
}

// Generations may pay where a minor collection, which visits what the program has
// written of the old, would be clearly cheaper than one of all, for what is
// allocated between them. What is written in many places at once is met once in a
// long marking, and in each of the minor collections that fit its time: whether
// they do pay they show themselves.
static bool pace_is_quiet_now(const struct lm_pace_event *e, uint64_t since_ns,
                              size_t spent) {
    uint64_t share = since_ns > e->mark_ns ? e->mark_ns * 64 / since_ns : 64;
    uint64_t pages = ((spent >> LM_PAGE_SHIFT) * share / 64) + 1;
    uint64_t price = e->written_pages * PACE_PAGE_NS / pages;
    return price * PACE_PRICE < pace.full_price;
}

static bool pace_wants_generations(void) {
    return pace_generations() != LM_OFF && lm_track_rung() != LM_TRACK_AUTO &&
           lm_dirty_may_open() &&
           (pace_generations() == LM_ON ||
            (pace.rest_ns == 0 && pace.live_bytes >= LM_NURSERY_BYTES / 4 &&
             pace.growth_bytes >= LM_NURSERY_BYTES / 4 && pace.is_quiet &&
             !lm_room_gives_way()));
}

bool lm_pace_is_generational(void) {
    return pace.is_generational;
}

bool lm_pace_wants_full(void) {
    return !pace.is_generational ||
           pace.live_bytes > pace.full_bytes + pace.growth_bytes;
}

static void pace_nursery(void) {
    if (pace.nursery_bytes > LM_NURSERY_BYTES) {
        pace.nursery_bytes = LM_NURSERY_BYTES;
    }
    if (pace.nursery_bytes < LM_NURSERY_BYTES / 16) {
        pace.nursery_bytes = LM_NURSERY_BYTES / 16;
    }
    pace.budget_bytes = pace.growth_bytes < pace.nursery_bytes
                            ? pace.growth_bytes
                            : pace.nursery_bytes;
    size_t min = __atomic_load_n(&lm_settings.heap_min, __ATOMIC_RELAXED);
    if (min > pace.live_bytes && pace.budget_bytes < min - pace.live_bytes) {
        size_t wanted = min - pace.live_bytes;
        pace.budget_bytes =
            wanted < pace.growth_bytes ? wanted : pace.growth_bytes;
    }
}

// What becomes old and what is young have to fit the room together.
static void pace_share(void) {
    if (lm_room_is_limited()) {
        size_t half = pace.growth_bytes / 2;
        pace.growth_bytes -=
            half < pace.nursery_bytes ? half : pace.nursery_bytes;
    }
}

void lm_pace_after(const struct lm_pace_event *e) {
    uint64_t now = lm_clock_ns();
    size_t spent = pace_spent();
    uint64_t since = now - pace.ended_ns;
    lm_room_spend(spent, e->cpu_ns);
    lm_room_after(e->used_bytes, pace.live_bytes + spent, e->was_full);
    pace_adapt(now - e->cost_ns, now);
    pace.live_bytes = pace.full_bytes = e->live_bytes;
    if (e->mark_ns > 100000 && (e->is_beside || !pace.has_rate)) {
        pace.mark_rate = e->live_bytes / (e->mark_ns / 1000) * 1000000;
        pace.has_rate = e->is_beside;
    }
    pace.rest_ns -= pace.rest_ns < e->cost_ns ? pace.rest_ns : e->cost_ns;
    pace.full_ns = e->cost_ns;
    pace.budget_bytes = pace.growth_bytes = pace_budget(e->live_bytes);
    pace.full_price =
        e->cost_ns / ((pace.growth_bytes >> LM_PAGE_SHIFT) + 1) + 1;
    pace.is_quiet = pace_is_quiet_now(e, since, spent);
    pace.has_paid = false;
    pace.misses = 0;
    pace.trial_ns = 0;
    bool was_generational = pace.is_generational;
    pace.is_generational = pace_wants_generations();
    if (!was_generational) { // a fair trial
        if (pace.nursery_bytes < LM_NURSERY_BYTES / 8) {
            pace.nursery_bytes = LM_NURSERY_BYTES / 8;
        }
    }
    pace.is_begun = true;
    if (pace.is_generational) {
        pace_share();
        pace_nursery();
    }
    pace_set();
    lm_room_set_ceiling(e->live_bytes);
    // What cannot end before the limit would be ended there in a long stop, and
    // has by then kept alive what died meanwhile: better a short one at once.
    // Nor must one end before the budget does that pays for it.
    uint64_t need = pace_need(since, spent);
    pace.is_tight = lm_room_is_limited() &&
                    (lm_room_gives_way() || need > pace.budget_bytes);
    bool is_beside =
        !pace.is_generational && !pace.is_tight && lm_pace_is_concurrent();
    lm_budget_set_low(is_beside ? pace_low(need) : 0);
    pace.ended_ns = now;
}

size_t lm_pace_minor_pages(void) {
    return pace_generations() == LM_ON
               ? SIZE_MAX
               : 2 * lm_pace_target_ns() / PACE_COLD_PAGE_NS;
}

// Ends generations for a while. Until the next collection of all there is what they
// would have let become old, of which so much is spent.
static void pace_rest(uint64_t trial_ns, size_t spent) {
    pace.is_generational = false;
    pace.rest_ns = trial_ns * PACE_TRIAL;
    spent += pace.live_bytes > pace.full_bytes
                 ? pace.live_bytes - pace.full_bytes
                 : 0;
    pace.budget_bytes =
        pace.growth_bytes > spent ? pace.growth_bytes - spent : 0;
    pace.budget_bytes = pace.budget_bytes > PACE_LEAST_BYTES ? pace.budget_bytes
                                                             : PACE_LEAST_BYTES;
    pace_set();
    lm_budget_set_low(lm_pace_is_concurrent() ? pace.budget_bytes / 2 : 0);
}

void lm_pace_give_up(void) {
    // To look for what was written costs next to nothing, but the program has
    // paid for each page of it. If one has paid before, it was this one alone.
    pace_rest(pace.has_paid ? 0 : pace.trial_ns + pace.full_ns / 4,
              pace_spent());
}

void lm_pace_after_minor(const struct lm_pace_event *e) {
    size_t spent = pace_spent();
    size_t kept =
        e->live_bytes > pace.live_bytes ? e->live_bytes - pace.live_bytes : 0;
    pace.live_bytes = e->live_bytes;
    lm_room_spend(spent, e->cpu_ns);
    size_t freed = spent > kept ? (spent - kept) >> LM_PAGE_SHIFT : 0;
    uint64_t price = e->cost_ns / (freed + 1);
    bool is_miss = price > pace.full_price;
    pace.misses = is_miss ? pace.misses + 1 : 0;
    pace.trial_ns = is_miss ? pace.trial_ns + e->cost_ns : 0;
    pace.has_paid |= !is_miss;
    pace.ended_ns = lm_clock_ns();
    if (pace.misses >= PACE_MISSES && pace_generations() != LM_ON) {
        pace_rest(pace.trial_ns, 0);
        return;
    }
    // As large as can be collected in the time for a pause, but for the look for
    // what was written, which takes as long for a smaller one.
    uint64_t target = lm_pace_target_ns();
    uint64_t own_ns = e->cost_ns > e->look_ns ? e->cost_ns - e->look_ns : 0;
    if (own_ns > target) {
        // Not by half at once: blocks that are left over have all been written.
        pace.nursery_bytes = pace.nursery_bytes / 4 * 3;
    } else if (own_ns < target / 2) {
        pace.nursery_bytes = pace.nursery_bytes * 2;
    }
    pace_nursery();
    pace_set();
    lm_budget_set_low(0);
}

void lm_pace_forget(void) {
    pace.is_generational = false;
}

void lm_pace_init(void) {
    memset(&pace, 0, sizeof pace);
    pace.ended_ns = lm_clock_ns();
    pace.budget_bytes = pace.growth_bytes = pace_budget(0);
    lm_room_set_ceiling(0);
    pace_set();
}

void lm_pace_change(void) {
    size_t spent = pace_spent();
    pace.growth_bytes = pace_budget(pace.full_bytes);
    pace.budget_bytes = pace.growth_bytes;
    lm_room_set_ceiling(pace.full_bytes);
    lm_budget_set(pace.budget_bytes > spent ? pace.budget_bytes - spent : 0,
                  pace.live_bytes);
}
