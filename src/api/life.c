// SPDX-License-Identifier: MIT
// life.c: from a pointer of the program's to an object that something is to be
// known about.

#include "api/life.h"

#include <loam/heap.h>

#include "api/runtime.h"
#include "api/status.h"

struct lm_member *lm_life_enter(const void *p, struct lm_object *object,
                                const char *call) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    if (loam_base_of(p) == NULL) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: %s(%p), which points to no object", call,
                      p);
        return NULL;
    }
    lm_member_inside(self);
    lm_find((uintptr_t)p, object);
    lm_find_fix((uintptr_t)p);
    return self;
}

void *lm_life_fail(const char *what) {
    lm_status_set(LOAM_NO_MEMORY, "no memory: the system gave none for %s",
                  what);
    return NULL;
}
