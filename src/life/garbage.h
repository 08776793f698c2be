// SPDX-License-Identifier: MIT
// life/garbage.h: keeping what a collection would have freed, to look at it.
//
// With LOAM_KEEP=unreachable nothing that has died is freed. After each collection
// there is a list of it.

#ifndef LIFE_GARBAGE_H
#define LIFE_GARBAGE_H

#include "mark/marker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lm_garbage {
    uintptr_t start;
    bool is_referred; // by something else that has died
};

// lm_garbage_is_kept says whether it is, which is set before the first collection.
bool lm_garbage_is_kept(void);

// For settle.c: lm_garbage_begin begins a new list; then lm_garbage_list adds the
// dead objects of some blocks, lm_garbage_follow gives a marker what some of them
// refer to, and lm_garbage_raise the objects themselves. Each returns whether there
// is more to do.
void lm_garbage_begin(void);
bool lm_garbage_list(void);
bool lm_garbage_follow(struct loam_marker *m);
bool lm_garbage_raise(struct loam_marker *m);

// lm_garbage_count returns how long the list of the last collection is, and
// lm_garbage_at one of it. Collections are held off.
size_t lm_garbage_count(void);
struct lm_garbage lm_garbage_at(size_t index);

void lm_garbage_fini(void);

#endif // LIFE_GARBAGE_H
