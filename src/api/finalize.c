// SPDX-License-Identifier: MIT
// finalize.c: loam/finalize.h.

#include <loam/finalize.h>

#include <loam/heap.h>
#include <loam/type.h>

#include "api/life.h"
#include "api/runtime.h"
#include "base/settings.h"
#include "life/due.h"
#include "life/finalizer.h"
#include "life/record.h"
#include "life/release.h"

// ---- Registering ---------------------------------------------------------------------

static uint32_t final_find(const struct lm_object *object) {
    return lm_record_find(object, LM_RECORD_FINAL, 0);
}

static bool final_set(const struct lm_object *object,
                      const struct lm_record *record) {
    uint32_t number = final_find(object);
    if (record->fn == NULL) {
        if (number) {
            lm_record_remove(number);
        }
        return true;
    }
    if (number == 0) {
        return lm_record_add(object, record) != 0;
    }
    struct lm_record *r = lm_record_at(number);
    r->fn = record->fn;
    r->argument = record->argument;
    r->flags = record->flags;
    lm_record_touch(number);
    return true;
}

static int finalize(void *p, const struct lm_record *record, const char *name) {
    struct lm_object object;
    struct lm_member *self = lm_life_enter(p, &object, name);
    if (self == NULL) {
        return -1;
    }
    lm_record_lock();
    bool ok = final_set(&object, record);
    lm_record_unlock();
    lm_member_outside(self);
    if (!ok) {
        lm_life_fail("a finalizer");
        return -1;
    }
    return 0;
}

int loam_finalize(void *p, loam_finalizer_fn *fn, void *argument) {
    return finalize(p,
                    &(struct lm_record){.kind = LM_RECORD_FINAL,
                                        .fn = fn,
                                        .argument = (uintptr_t)argument},
                    "loam_finalize");
}

int loam_finalize_ordered(void *p, loam_finalizer_fn *fn, void *argument) {
    return finalize(p,
                    &(struct lm_record){.kind = LM_RECORD_FINAL,
                                        .flags = LM_RECORD_ORDERED,
                                        .fn = fn,
                                        .argument = (uintptr_t)argument},
                    "loam_finalize_ordered");
}

// ---- Calling -------------------------------------------------------------------

size_t loam_finalizers_run(size_t most) {
    struct lm_member *self = lm_runtime_self();
    return self ? lm_finalizer_run(self, most) : 0;
}

size_t loam_finalizers_due(void) {
    return lm_due_count();
}

void loam_finalizers_on_demand(void (*notify)(void *), void *argument) {
    struct lm_member *self = lm_runtime_self();
    if (self) {
        lm_finalizer_on_demand(self, notify, argument);
    }
}

int loam_finalizers_wait(uint64_t timeout_ns) {
    struct lm_member *self = lm_runtime_self();
    return self && lm_finalizer_wait(self, timeout_ns) ? 0 : -1;
}

void loam_finalizers_at_exit(enum loam_choice choice) {
    lm_runtime_init();
    __atomic_store_n(&lm_settings.finalize_at_exit, choice == LOAM_ON,
                     __ATOMIC_RELAXED);
}
// ---- Guardians -----------------------------------------------------------------------

struct loam_guardian *loam_guardian_new(void) {
    static const struct loam_type_spec spec = {.name = "struct loam_guardian",
                                               .size_bytes =
                                                   sizeof(struct loam_guardian),
                                               .scan = LOAM_SCAN_LEAF};
    const struct loam_type *type = loam_type_define(&spec);
    lm_release_know_guardian(type);
    struct loam_guardian *guardian = loam_new_of(type, 0);
    struct lm_member *self = lm_self;
    if (guardian) {
        *guardian = (struct loam_guardian){0, 0, 0};
        lm_member_inside(self);
        lm_find_fix((uintptr_t)guardian);
        lm_member_outside(self);
    }
    return guardian;
}

int loam_guard(struct loam_guardian *guardian, void *p) {
    struct lm_object object;
    struct lm_member *self = lm_life_enter(p, &object, "loam_guard");
    if (self == NULL) {
        return -1;
    }
    lm_record_lock();
    bool ok =
        lm_record_add(&object,
                      &(struct lm_record){.kind = LM_RECORD_GUARD,
                                          .holder = (uintptr_t)guardian}) != 0;
    lm_record_unlock();
    lm_member_outside(self);
    if (!ok) {
        lm_life_fail("a guarded object");
        return -1;
    }
    return 0;
}

void *loam_guardian_next(struct loam_guardian *guardian) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    lm_member_inside(self);
    uintptr_t target = lm_due_take_guarded(guardian);
    target = target ? lm_find_known(target) : 0;
    lm_member_outside(self);
    return (void *)target; // NOLINT
}
