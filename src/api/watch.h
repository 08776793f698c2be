// SPDX-License-Identifier: MIT
// api/watch.h: the program's function that is told of collections.

#ifndef API_WATCH_H
#define API_WATCH_H

#include "collect/cycle.h"

#include <stdint.h>

// Both are called by the collecting thread, with the cycle's lock.
void lm_watch_begin(uint64_t number);
void lm_watch_end(const struct lm_cycle_event *event);

void lm_watch_fork_child(void);

#endif // API_WATCH_H
