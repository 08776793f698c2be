// SPDX-License-Identifier: MIT
// world/roll.h: the roll of all members: joining, leaving, and walking it.
//
// A thread becomes a member when pthread_create makes it, or at its first
// allocation.

#ifndef WORLD_ROLL_H
#define WORLD_ROLL_H

#include "world/member.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool lm_roll_init(void);

// lm_roll_no_slots tells where the empty slots of non-members lie, which
// need no scanning.
void lm_roll_no_slots(uintptr_t *start, uintptr_t *end);

// lm_roll_new makes a record for a thread about to be created. Its argument is
// a root until it runs.
struct lm_member *lm_roll_new(void *(*start)(void *), void *argument);

// lm_roll_drop takes back a record whose thread could not be created.
void lm_roll_drop(struct lm_member *member);

// lm_roll_attach makes the calling thread a member, with the record made for
// it or NULL. False when refused: nothing has changed then.
bool lm_roll_attach(struct lm_member *member);

// lm_roll_detach makes the calling thread no member.
void lm_roll_detach(void);

// lm_roll_forget drops what is kept of a thread that was joined or detached.
void lm_roll_forget(pthread_t thread);

// lm_roll_first begins a walk of the list; the world's lock is held.
struct lm_member *lm_roll_first(void);
size_t lm_roll_count(void);

// lm_roll_bury forgets a member whose thread is gone without a word.
void lm_roll_bury(struct lm_member *member);

// After fork only the calling thread is left.
void lm_roll_fork_child(void);

#endif // WORLD_ROLL_H
