// SPDX-License-Identifier: MIT
// root.c: loam/root.h.

#include <loam/root.h>

#include <loam/heap.h>

#include "api/runtime.h"
#include "api/status.h"
#include "base/check.h"
#include "heap/find.h"
#include "world/roots.h"
#include "world/stop.h"

int loam_root_add(void *start, size_t bytes) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return -1;
    }
    if (start == NULL || bytes == 0) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: a root of %zu bytes at %p; it must be at "
                      "least one byte, not at NULL",
                      bytes, (const void *)start);
        return -1;
    }
    lm_member_inside(self);
    bool ok = lm_roots_add((uintptr_t)start, bytes);
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(LOAM_NO_MEMORY,
                      "no memory: the system gave none for the table of roots");
    }
    return ok ? 0 : -1;
}

void loam_root_remove(void *start) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return;
    }
    lm_member_inside(self);
    bool ok = lm_roots_remove((uintptr_t)start);
    lm_member_outside(self);
    if (!ok) {
        lm_caller_error("loam_root_remove takes back a loam_root_add of the "
                        "same start",
                        "remove each root once, by the address it was added "
                        "with",
                        "loam_root_remove(%p), where no root starts",
                        (const void *)start);
    }
}

void *loam_pin(void *p) {
    void *base = loam_base_of(p);
    struct lm_member *self = lm_self;
    if (base == NULL) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: loam_pin(%p), which points to no object",
                      (const void *)p);
        return NULL;
    }
    lm_member_inside(self);
    bool ok = lm_roots_pin((uintptr_t)base);
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(LOAM_NO_MEMORY,
                      "no memory: the system gave none for the table of pins");
        return NULL;
    }
    return p;
}

uintptr_t loam_address(const void *p) {
    struct lm_member *self = lm_runtime_self();
    struct lm_object o;
    if (self == NULL) {
        return 0;
    }
    // Inside, so that the object is not moved before its block is fixed.
    lm_member_inside(self);
    bool ok = lm_find((uintptr_t)p, &o);
    if (ok) {
        __atomic_store_n(&lm_space.is_fixed[o.block], true, __ATOMIC_RELEASE);
    }
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: loam_address(%p), which points to no "
                      "object",
                      p);
        return 0;
    }
    return (uintptr_t)p;
}

void loam_unpin(void *p) {
    void *base = loam_base_of(p);
    struct lm_member *self = lm_runtime_self();
    bool ok = false;
    if (base && self) {
        lm_member_inside(self);
        ok = lm_roots_unpin((uintptr_t)base);
        lm_member_outside(self);
    }
    if (!ok) {
        lm_caller_error("loam_unpin takes back one loam_pin of the same object",
                        "call it once for each loam_pin",
                        "loam_unpin(%p), whose object is not pinned",
                        (const void *)p);
    }
}
