// SPDX-License-Identifier: MIT
// due.c: a list of records, first in, first out.

#include "life/due.h"

static struct {
    uint32_t first;
    uint32_t last;
    size_t count;         // atomic
    size_t guarded_count; // guarded by the records' lock
} due;

static void list_append(uint32_t *first, uint32_t *last, uint32_t number) {
    lm_record_at(number)->queue = 0;
    if (*first) {
        lm_record_at(*last)->queue = number;
    } else {
        *first = number;
    }
    *last = number;
}

void lm_due_add(uint32_t number) {
    struct lm_record *r = lm_record_at(number);
    r->flags |= LM_RECORD_READY;
    if (r->kind == LM_RECORD_GUARD && r->holder == 0) {
        lm_record_remove(number); // it was freed meanwhile
        return;
    }
    lm_record_set_due(number, true);
    if (r->kind == LM_RECORD_GUARD) {
        struct loam_guardian *g = (struct loam_guardian *)r->holder; // NOLINT
        list_append(&g->first, &g->last, number);
        g->count++;
        due.guarded_count++;
        return;
    }
    list_append(&due.first, &due.last, number);
    __atomic_store_n(&due.count, due.count + 1, __ATOMIC_RELEASE);
}

uint32_t lm_due_last(const uint32_t *begun) {
    lm_record_lock();
    uint32_t last = *begun + (uint32_t)due.count;
    lm_record_unlock();
    return last;
}

bool lm_due_take(struct lm_record *record, uint32_t *begun) {
    lm_record_lock();
    uint32_t number = due.first;
    if (number) {
        *record = *lm_record_at(number);
        lm_record_set_due(number, false);
        due.first = record->queue;
        ++*begun;
        __atomic_store_n(&due.count, due.count - 1, __ATOMIC_RELAXED);
        lm_record_remove(number);
    }
    lm_record_unlock();
    return number != 0;
}

uintptr_t lm_due_take_guarded(struct loam_guardian *guardian) {
    uintptr_t target = 0;
    uint32_t number;
    lm_record_lock();
    // What was freed while it waited has no target any more.
    while (target == 0 && (number = guardian->first) != 0) {
        const struct lm_record *r = lm_record_at(number);
        target = r->target;
        lm_record_set_due(number, false);
        guardian->first = r->queue;
        guardian->count--;
        due.guarded_count--;
        lm_record_remove(number);
    }
    lm_record_unlock();
    return target;
}

size_t lm_due_count(void) {
    return __atomic_load_n(&due.count, __ATOMIC_ACQUIRE);
}

void lm_due_forget_guarded(uint32_t number) {
    lm_record_set_due(number, false);
    due.guarded_count--;
    lm_record_remove(number);
}

size_t lm_due_guarded_count(void) {
    return due.guarded_count;
}

void lm_due_fini(void) {
    due.first = due.last = 0;
    due.count = due.guarded_count = 0;
}
