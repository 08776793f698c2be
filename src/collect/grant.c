// SPDX-License-Identifier: MIT
// grant.c: the allocator proposes, this decides.
//
// Within the budget memory is simply given. When the budget is spent there is
// a collection, and then memory is given even if it did not help: a program is
// never refused for want of a collection's success; so it is at the soft limit.
// When the heap's maximum or the system says no, one full collection must have
// come after that, and then all that collect/last.c knows, before the program is
// told.

#include "collect/grant.h"

#include "alloc/budget.h"
#include "alloc/large.h"
#include "base/settings.h"
#include "collect/beside.h"
#include "collect/collector.h"
#include "collect/compact.h"
#include "collect/cycle.h"
#include "collect/last.h"
#include "collect/level.h"
#include "collect/pace.h"
#include "heap/run.h"
#include "heap/space.h"
#include "life/settle.h"
#include "mark/team.h"
#include "os/thread.h"
#include "world/stop.h"

// How far a budget may be exceeded for nothing, as a part of the heap, and what
// is slept for each eighth of that beyond.
#define GRANT_SLACK 16
#define GRANT_NAP_NS 10000u
#define GRANT_NAP_MAX_NS 2000000u

// What is wanted; bytes is 0 for a cell.
struct wish {
    uint32_t kind;
    size_t bytes;
    size_t align;
};

static enum lm_refill grant_try(struct lm_member *self, const struct wish *wish,
                                enum lm_effort effort, void **object) {
    return wish->bytes
               ? lm_large_new(wish->kind, wish->bytes, wish->align, effort,
                              object)
               : lm_cache_refill(self->cache, wish->kind, effort, object);
}

static void grant_collect(struct lm_member *self, enum lm_cycle_kind kind,
                          enum lm_cause cause, uint64_t seen) {
    lm_member_outside(self);
    lm_cycle_collect(kind, cause, seen);
    lm_member_inside(self);
}

// A thread that allocates faster than the collector marks sleeps a little at
// each block it takes, the longer the further the budget is exceeded.
static void grant_pace(struct lm_member *self) {
    size_t over = lm_budget_over();
    size_t slack = lm_budget_heap_bytes() / GRANT_SLACK;
    if (over <= slack) {
        return;
    }
    uint64_t ns = over / (slack / 8 + 1) * GRANT_NAP_NS;
    lm_member_retreat(self);
    lm_team_lend();
    lm_thread_sleep(ns < GRANT_NAP_MAX_NS ? ns : GRANT_NAP_MAX_NS);
    lm_team_reclaim();
    lm_member_resume(self);
}

// Starting the thread is libc's business, which must not be done inside.
static bool grant_request(struct lm_member *self) {
    if (lm_collector_request()) {
        return true;
    }
    lm_member_outside(self);
    lm_collector_begin();
    lm_member_inside(self);
    return lm_collector_request();
}

// The budget is spent. A marking beside the program is not waited for: it ends
// soon, or is begun now; but it may be some time until its thread runs. At the
// soft limit there is no time.
static void grant_budget(struct lm_member *self, uint64_t seen) {
    if (lm_run_is_high(LM_STASH_BLOCKS)) {
        grant_collect(self, LM_CYCLE_FULL, LM_CAUSE_SOFT, seen);
    } else if (lm_beside_is_on() || lm_compact_is_on()) {
        grant_pace(self);
    } else if (!lm_pace_wants_full() && lm_space.is_sticky &&
               lm_settle_allows_minor()) {
        grant_collect(self, LM_CYCLE_MINOR, LM_CAUSE_GROWTH, seen);
    } else if (lm_pace_is_concurrent() && grant_request(self)) {
        grant_pace(self);
    } else {
        grant_collect(self, LM_CYCLE_FULL, LM_CAUSE_GROWTH, seen);
    }
}

// Takes turns at all there is.
static void grant_torture(struct lm_member *self, uint64_t seen) {
    static const enum lm_cycle_kind kinds[] = {LM_CYCLE_MINOR, LM_CYCLE_FULL,
                                               LM_CYCLE_MINOR, LM_CYCLE_BESIDE};
    enum lm_cycle_kind kind = kinds[seen % 4];
    bool is_beside = kind == LM_CYCLE_BESIDE && lm_pace_is_concurrent();
    if (!is_beside || !grant_request(self)) {
        grant_collect(self, is_beside ? LM_CYCLE_FULL : kind, LM_CAUSE_TORTURE,
                      seen);
    }
}

static bool refill_is_no(enum lm_refill r) {
    return r == LM_REFILL_LIMIT || r == LM_REFILL_REFUSED;
}

// After a collection.
static enum lm_refill grant_last(struct lm_member *self,
                                 const struct wish *wish, void **object) {
    enum lm_refill r = grant_try(self, wish, LM_EFFORT_EXCEED, object);
    if (r == LM_REFILL_OK) {
        lm_budget_has_helped(&lm_kinds[wish->kind]);
    }
    return refill_is_no(r) ? grant_try(self, wish, LM_EFFORT_LAST, object) : r;
}

// One more attempt, for who tries the last things.
struct attempt {
    struct lm_member *self;
    const struct wish *wish;
    void **object;
    enum lm_refill result;
};

static bool grant_attempt(void *argument) {
    struct attempt *a = argument;
    a->result = grant_last(a->self, a->wish, a->object);
    return a->result == LM_REFILL_OK;
}

// The maximum, or the system, says no.
static enum lm_refill grant_full(struct lm_member *self,
                                 const struct wish *wish, enum lm_refill r,
                                 void **object) {
    enum lm_cause cause =
        r == LM_REFILL_LIMIT ? LM_CAUSE_LIMIT : LM_CAUSE_REFUSED;
    if (lm_beside_is_on()) {
        // The one under way may be enough.
        grant_collect(self, LM_CYCLE_FULL, LM_CAUSE_SOFT, lm_cycle_number());
        r = grant_try(self, wish, LM_EFFORT_EXCEED, object);
    }
    if (refill_is_no(r)) {
        // Not that one: what died since it was begun is alive for it.
        grant_collect(self, LM_CYCLE_FULL, cause, lm_cycle_begun());
        r = grant_last(self, wish, object);
    }
    if (refill_is_no(r)) {
        struct attempt a = {self, wish, object, r};
        size_t bytes =
            wish->bytes ? wish->bytes : lm_kinds[wish->kind].cell_bytes;
        lm_last_resort(self, &(struct lm_last){bytes, grant_attempt, &a});
        r = a.result;
    }
    return r;
}

static enum lm_refill grant(struct lm_member *self, const struct wish *wish,
                            void **object) {
    lm_last_notice(self);
    lm_member_inside(self);
    uint64_t seen = lm_cycle_number();
    enum lm_refill r = grant_try(self, wish, LM_EFFORT_BUDGET, object);
    if (r == LM_REFILL_BUDGET) {
        if (lm_settings.torture_collect) {
            grant_torture(self, seen);
        } else {
            grant_budget(self, seen);
        }
        seen = lm_cycle_number();
        r = grant_try(self, wish, LM_EFFORT_EXCEED, object);
    }
    if (r == LM_REFILL_HIGH) {
        grant_collect(self, LM_CYCLE_FULL, LM_CAUSE_SOFT, seen);
        r = grant_try(self, wish, LM_EFFORT_EXCEED, object);
    }
    if (refill_is_no(r) && lm_settle_is_under_way()) {
        // Until then nothing that has died has been swept.
        lm_member_outside(self);
        lm_settle_wait(self);
        r = grant_try(self, wish, LM_EFFORT_EXCEED, object);
    }
    if (refill_is_no(r)) {
        r = grant_full(self, wish, r, object);
    }
    lm_member_outside(self);
    lm_level_tell();
    return r;
}

enum lm_refill lm_grant_cell(struct lm_member *self, uint32_t kind,
                             void **object) {
    return grant(self, &(struct wish){.kind = kind}, object);
}

enum lm_refill lm_grant_large(struct lm_member *self, uint32_t kind,
                              size_t bytes, size_t align, void **object) {
    return grant(self, &(struct wish){kind, bytes, align}, object);
}
