// SPDX-License-Identifier: MIT
// collect/referrers.h: who refers to what.

#ifndef COLLECT_REFERRERS_H
#define COLLECT_REFERRERS_H

#include "mark/marker.h"

// lm_referrers_each stops the program and calls fn with each word by which a living
// object may refer to something, and the object's start; then with those of static
// data, roots and pins, with 0 for it. Stacks and registers are left out: what is in
// them may be stale. fn must neither wait nor allocate. Waiting is as in
// lm_cycle_hold.
void lm_referrers_each(lm_word_fn *fn, void *argument);

#endif // COLLECT_REFERRERS_H
