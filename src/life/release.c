// SPDX-License-Identifier: MIT
// release.c: what is known of an object ends with it, or goes with it.

#include "life/release.h"

#include "heap/kind.h"
#include "life/due.h"

static struct {
    const struct loam_type *weak_type;     // of weak references; atomic
    const struct loam_type *guardian_type; // atomic
} release;

void lm_release_target(const struct lm_record *r) {
    struct loam_weak *weak = (struct loam_weak *)r->holder; // NOLINT
    // Release: who sees it cleared may see its memory used anew.
    __atomic_store_n(&weak->target_, NULL, __ATOMIC_RELEASE);
}

static void record_release(uint32_t number) {
    struct lm_record *r = lm_record_at(number);
    bool is_weak = r->kind == LM_RECORD_WEAK;
    if (is_weak) {
        lm_release_target(r);
    }
    if (is_weak && r->fn) {
        lm_record_detach(number);
        r->target = 0;
        lm_due_add(number);
        return;
    }
    lm_record_remove(number);
}

// A call that is due keeps its place, and does nothing.
static void due_release(uint32_t number) {
    struct lm_record *r = lm_record_at(number);
    lm_record_set_due(number, false);
    r->target = 0;
    r->fn = NULL;
}

// What was guarded is guarded no more; what is on a list is dropped later.
static void guards_release(uintptr_t guardian) {
    lm_record_lock();
    for (uint32_t n = 1; n < lm_record_end(); n++) {
        struct lm_record *r = lm_record_at(n);
        if (r->kind != LM_RECORD_GUARD || r->holder != guardian) {
            continue;
        }
        if (r->flags & LM_RECORD_READY) {
            r->holder = 0;
        } else {
            lm_record_remove(n);
        }
    }
    lm_record_unlock();
}

void lm_release_know_guardian(const struct loam_type *type) {
    __atomic_store_n(&release.guardian_type, type, __ATOMIC_RELAXED);
}

void lm_release_know_weak(const struct loam_type *type) {
    __atomic_store_n(&release.weak_type, type, __ATOMIC_RELAXED);
}

static bool object_is(const struct lm_object *object,
                      const struct loam_type *const *known) {
    const struct loam_type *type = __atomic_load_n(known, __ATOMIC_RELAXED);
    return type && lm_kinds[object->kind].type == type;
}

// False for a map, which somebody may be settling: nothing has been done then.
static bool records_release(const struct lm_object *object) {
    uint32_t number;
    lm_record_lock();
    bool ok = lm_record_find(object, LM_RECORD_MAP, 0) == 0;
    while (ok && (number = lm_record_find_any(object)) != 0) {
        record_release(number);
    }
    while (ok && (number = lm_record_find_due(object, 0)) != 0) {
        due_release(number);
    }
    lm_record_unlock();
    return ok;
}

bool lm_release_object(const struct lm_object *object) {
    if (lm_record_count() == 0) {
        return true;
    }
    if (object_is(object, &release.weak_type)) {
        lm_release_weak((struct loam_weak *)object->start); // NOLINT
    }
    if (object_is(object, &release.guardian_type)) {
        guards_release(object->start);
    }
    return (!lm_record_may_have(object) || records_release(object)) &&
           !lm_record_is_watched(object);
}

void lm_release_weak(struct loam_weak *weak) {
    lm_record_lock();
    // A reference that was cleared has no record, and another may have its number,
    // unless somebody is to be told.
    struct lm_record *r = lm_record_at(weak->record_);
    if (__atomic_exchange_n(&weak->target_, NULL, __ATOMIC_RELAXED)) {
        lm_record_remove(weak->record_);
    } else if (r->kind == LM_RECORD_WEAK && r->holder == (uintptr_t)weak) {
        r->holder = 0;
        r->fn = NULL;
    }
    lm_record_unlock();
}

bool lm_release_moved(const struct lm_object *from,
                      const struct lm_object *to) {
    uint32_t number;
    if (!lm_record_may_have(from)) {
        return true;
    }
    lm_record_lock();
    bool ok = lm_record_reserve(to);
    for (number = 0; ok && (number = lm_record_find_due(from, number)) != 0;) {
        lm_record_set_due(number, false);
        lm_record_at(number)->target = to->start;
        lm_record_set_due(number, true);
        lm_record_touch(number);
    }
    while (ok && (number = lm_record_find_any(from)) != 0) {
        struct lm_record *r = lm_record_at(number);
        lm_record_detach(number);
        r->target = to->start;
        lm_record_move(number, to);
        if (r->kind == LM_RECORD_WEAK) {
            struct loam_weak *weak = (struct loam_weak *)r->holder; // NOLINT
            char *target = weak->target_;
            target += to->start - from->start;
            __atomic_store_n(&weak->target_, target, __ATOMIC_RELEASE);
        }
    }
    lm_record_unlock();
    return ok;
}
