// SPDX-License-Identifier: MIT
// api/life.h: what the calls about lifetimes have in common.

#ifndef API_LIFE_H
#define API_LIFE_H

#include "heap/find.h"
#include "world/member.h"

// lm_life_find finds the object that p points at or into; false when there is none
// that the program has been given.
bool lm_life_find(struct lm_member *self, const void *p,
                  struct lm_object *object);

// lm_life_enter finds the object that p points at or into, makes it stay where it
// is, and leaves the calling member inside. NULL with a status, and not inside,
// when p is no object or the thread is no member.
struct lm_member *lm_life_enter(const void *p, struct lm_object *object,
                                const char *call);

// lm_life_fail says that there was no memory for something; returns NULL.
void *lm_life_fail(const char *what);

#endif // API_LIFE_H
