// SPDX-License-Identifier: MIT
// life/due.h: calls that are due since an object has died.
//
// Finalizers, and functions to be told of a weak reference's end, wait here until
// the library's thread or the program calls them. Guarded objects wait at their
// guardian.

#ifndef LIFE_DUE_H
#define LIFE_DUE_H

#include "life/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The inside of the public struct loam_guardian.
struct loam_guardian {
    uint32_t
        first;     // record of an object that has died; guarded by the records'
    uint32_t last; // lock, as all here
    size_t count;
};

// lm_due_add appends a record, which has been detached; it is READY from now on.
// With the lock, or while the program is stopped.
void lm_due_add(uint32_t number);

// lm_due_take takes the oldest call, counts it in *begun and forgets its record;
// false when there is none. lm_due_last returns what *begun will be when all that
// are due now have been taken. lm_due_take_guarded does so for an object of a
// guardian; 0: none.
bool lm_due_take(struct lm_record *record, uint32_t *begun);
uint32_t lm_due_last(const uint32_t *begun);
uintptr_t lm_due_take_guarded(struct loam_guardian *guardian);

// lm_due_count returns how many calls are due: a hint.
size_t lm_due_count(void);

// lm_due_forget_guarded forgets one that waits at a guardian that is gone. With the
// lock.
void lm_due_forget_guarded(uint32_t number);

// lm_due_guarded_count returns how many objects wait at guardians.
size_t lm_due_guarded_count(void);

void lm_due_fini(void);

#endif // LIFE_DUE_H
