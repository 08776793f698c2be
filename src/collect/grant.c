// SPDX-License-Identifier: MIT
// grant.c: the allocator proposes, this decides.
//
// Within the budget memory is simply given. When the budget is spent there is
// a collection, and then memory is given even if it did not help: a program is
// never refused for want of a collection's success. When the heap's maximum or
// the system says no, one full collection must have come after that before the
// program is told.

#include "collect/grant.h"

#include "alloc/large.h"
#include "base/settings.h"
#include "collect/cycle.h"
#include "world/stop.h"

// What is wanted; bytes is 0 for a cell.
struct wish {
    uint32_t kind;
    size_t bytes;
    size_t align;
};

static enum lm_refill grant_try(struct lm_member *self, const struct wish *wish,
                                bool can_exceed, void **object) {
    return wish->bytes
               ? lm_large_new(wish->kind, wish->bytes, wish->align, can_exceed,
                              object)
               : lm_cache_refill(self->cache, wish->kind, can_exceed, object);
}

static void grant_collect(struct lm_member *self, enum lm_cause cause,
                          uint64_t seen) {
    lm_member_outside(self);
    lm_cycle_collect(cause, seen);
    lm_member_inside(self);
}

static enum lm_refill grant(struct lm_member *self, const struct wish *wish,
                            void **object) {
    lm_member_inside(self);
    uint64_t seen = lm_cycle_number();
    enum lm_refill r = grant_try(self, wish, false, object);
    if (r == LM_REFILL_BUDGET) {
        grant_collect(self,
                      lm_settings.torture_collect ? LM_CAUSE_TORTURE
                                                  : LM_CAUSE_GROWTH,
                      seen);
        seen = lm_cycle_number();
        r = grant_try(self, wish, true, object);
    }
    if (r == LM_REFILL_LIMIT || r == LM_REFILL_REFUSED) {
        grant_collect(self,
                      r == LM_REFILL_LIMIT ? LM_CAUSE_LIMIT : LM_CAUSE_REFUSED,
                      seen);
        r = grant_try(self, wish, true, object);
    }
    lm_member_outside(self);
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
