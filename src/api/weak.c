// SPDX-License-Identifier: MIT
// weak.c: loam/weak.h.

#include <loam/weak.h>

#include <loam/heap.h>
#include <loam/root.h>
#include <loam/type.h>

#include "api/life.h"
#include "api/runtime.h"
#include "api/status.h"
#include "life/record.h"
#include "life/release.h"

static const struct loam_type *weak_type(void) {
    static const struct loam_type_spec spec = {.name = "struct loam_weak",
                                               .size_bytes =
                                                   sizeof(struct loam_weak),
                                               .scan = LOAM_SCAN_LEAF};
    const struct loam_type *type = loam_type_define(&spec);
    lm_release_know_weak(type);
    return type;
}

struct weak_wish {
    void *p;
    uint32_t flags;
    loam_weak_fn *fn;
    void *argument;
};

// A reference that is like the one that is wanted. One that has died in the
// collection being settled is not to be given out again.
static struct loam_weak *weak_find(const struct lm_object *object,
                                   const struct weak_wish *wish) {
    struct lm_object holder;
    uint32_t number = 0;
    while ((number = lm_record_find(object, LM_RECORD_WEAK, number)) != 0) {
        const struct lm_record *r = lm_record_at(number);
        struct loam_weak *weak = (struct loam_weak *)r->holder; // NOLINT
        if (r->fn == NULL && r->flags == wish->flags &&
            weak->target_ == wish->p && lm_find(r->holder, &holder)) {
            return weak;
        }
    }
    return NULL;
}

static struct loam_weak *weak_link(struct loam_weak *weak,
                                   const struct lm_object *object,
                                   const struct weak_wish *wish) {
    struct lm_record record = {.kind = LM_RECORD_WEAK,
                               .flags = (uint8_t)wish->flags,
                               .holder = (uintptr_t)weak,
                               .fn = (lm_record_fn *)wish->fn,
                               .argument = (uintptr_t)wish->argument};
    lm_find_fix((uintptr_t)weak);
    uint32_t number = lm_record_add(object, &record);
    if (number == 0) {
        return NULL;
    }
    weak->flags_ = wish->flags;
    weak->record_ = number;
    // Release: who is handed the reference sees all of it.
    __atomic_store_n(&weak->target_, wish->p, __ATOMIC_RELEASE);
    return weak;
}

static struct loam_weak *weak_make(const struct weak_wish *wish,
                                   const char *call) {
    struct lm_object object;
    struct lm_member *self = lm_life_enter(wish->p, &object, call);
    if (self == NULL) {
        return NULL;
    }
    lm_record_lock();
    struct loam_weak *found = wish->fn ? NULL : weak_find(&object, wish);
    lm_record_unlock();
    lm_member_outside(self);
    if (found) {
        return found;
    }
    struct loam_weak *weak = loam_new_of(weak_type(), 0);
    if (weak == NULL) {
        return NULL;
    }
    lm_member_inside(self);
    lm_record_lock();
    // Another thread may have made one meanwhile.
    found = wish->fn ? NULL : weak_find(&object, wish);
    found = found ? found : weak_link(weak, &object, wish);
    lm_record_unlock();
    lm_member_outside(self);
    loam_keep_alive(wish->p);
    return found ? found : lm_life_fail("a weak reference");
}

struct loam_weak *loam_weak_new(void *p) {
    return weak_make(&(struct weak_wish){.p = p}, "loam_weak_new");
}

struct loam_weak *loam_weak_new_long(void *p) {
    return weak_make(&(struct weak_wish){.p = p, .flags = LM_RECORD_LONG},
                     "loam_weak_new_long");
}

struct loam_weak *loam_soft_new(void *p) {
    return weak_make(&(struct weak_wish){.p = p, .flags = LM_RECORD_SOFT},
                     "loam_soft_new");
}

struct loam_weak *loam_weak_watch(void *p, loam_weak_fn *fn, void *argument) {
    if (fn == NULL) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: loam_weak_watch without a function");
        return NULL;
    }
    return weak_make(&(struct weak_wish){p, 0, fn, argument},
                     "loam_weak_watch");
}

void loam_weak_clear(struct loam_weak *weak) {
    struct lm_member *self = weak ? lm_runtime_self() : NULL;
    if (self) {
        lm_member_inside(self);
        lm_release_weak(weak);
        lm_member_outside(self);
    }
}
