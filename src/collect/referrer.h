// SPDX-License-Identifier: MIT
// collect/referrer.h: who refers to some objects, for checks.

#ifndef COLLECT_REFERRER_H
#define COLLECT_REFERRER_H

#include "heap/type.h"

#include <stdbool.h>
#include <stdint.h>

// struct lm_referrer is a word that refers to what was asked about.
struct lm_referrer {
    const struct loam_type *type; // of the object with it; NULL: static data
    const void *object;
    const void *place; // of the word
    const void *word;
};

// lm_referrer_fn says whether a word refers to what is asked about. The program is
// stopped.
typedef bool lm_referrer_fn(uintptr_t word, const void *argument);

// lm_referrer_find collects and then looks for such a word in the objects that are
// left, other than those asked about, and in static data; not where mark functions
// say what is a pointer. False where there is none.
bool lm_referrer_find(lm_referrer_fn *refers, const void *argument,
                      struct lm_referrer *found);

#endif // COLLECT_REFERRER_H
