// SPDX-License-Identifier: MIT
// life.c: from a pointer of the program's to an object that something is to be
// known about.

#include "api/life.h"

#include <loam/heap.h>

#include "api/runtime.h"
#include "api/status.h"

// A cell that this thread has taken as free, but not handed out yet, has its
// bit set though nothing is there.
static bool cell_is_waiting(const struct lm_member *self,
                            const struct lm_object *o) {
    const struct lm_slot *slot = &self->cache->slots[o->kind];
    size_t cell_bytes = lm_kinds[o->kind].cell_bytes;
    if (o->start - lm_slot_next(slot) < lm_slot_left(slot) * cell_bytes) {
        return true;
    }
    return slot->block == o->block && cell_bytes &&
           (slot->word[o->cell / 64] >> (o->cell % 64) & 1);
}

bool lm_life_find(struct lm_member *self, const void *p,
                  struct lm_object *object) {
    // Inside, so that no collection exchanges the bitmaps between a look at which
    // is which and a look at the bit.
    lm_member_inside(self);
    bool is_found =
        lm_find((uintptr_t)p, object) && !cell_is_waiting(self, object);
    lm_member_outside(self);
    return is_found;
}

struct lm_member *lm_life_enter(const void *p, struct lm_object *object,
                                const char *call) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    if (!lm_life_find(self, p, object)) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: %s(%p), which points to no object", call,
                      p);
        return NULL;
    }
    lm_member_inside(self);
    lm_find_fix_found(object);
    return self;
}

void *lm_life_fail(const char *what) {
    lm_status_set(LOAM_NO_MEMORY, "no memory: the system gave none for %s",
                  what);
    return NULL;
}
