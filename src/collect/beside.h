// SPDX-License-Identifier: MIT
// collect/beside.h: a collection that marks while the program runs.

#ifndef COLLECT_BESIDE_H
#define COLLECT_BESIDE_H

#include "collect/event.h"

#include <stdbool.h>

// lm_beside_run does so, up to what was marked being what is allocated; false when
// there was no memory to do it: nothing has changed then.
bool lm_beside_run(struct lm_cycle_event *event);

// lm_beside_is_on says whether such a marking is under way.
bool lm_beside_is_on(void);

void lm_beside_fork_child(void);

#endif // COLLECT_BESIDE_H
