// SPDX-License-Identifier: MIT
// api/life.h: what the calls about lifetimes have in common.

#ifndef API_LIFE_H
#define API_LIFE_H

#include "heap/find.h"
#include "world/member.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_life_enter finds the object that p points at or into, makes it stay where it
// is, and leaves the calling member inside. NULL with a status, and not inside,
// when p is no object or the thread is no member.
struct lm_member *lm_life_enter(const void *p, struct lm_object *object,
                                const char *call);

// lm_life_fix makes the object that a word leads to stay where it is: somebody
// keeps its address where it cannot be changed. By a member, inside.
void lm_life_fix(uintptr_t word);

// lm_life_fail says that there was no memory for something; returns NULL.
void *lm_life_fail(const char *what);

// lm_life_is_weak says whether an object is a weak reference.
bool lm_life_is_weak(const struct lm_object *object);

// lm_life_notice is told that a collection has ended, on the collecting thread,
// which holds the cycle's lock: calls may have come due.
void lm_life_notice(void);

// lm_life_check reports a finalizer that has been running for long.
void lm_life_check(void);

// lm_life_exit calls all finalizers, at the end of the program, if that was asked
// for. lm_life_stop ends the library's thread.
void lm_life_exit(void);
void lm_life_stop(void);

void lm_life_fork_child(void);

#endif // API_LIFE_H
