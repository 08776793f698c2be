// SPDX-License-Identifier: MIT
// see/watch.h: the program's function that is told of collections.

#ifndef SEE_WATCH_H
#define SEE_WATCH_H

#include "collect/cycle.h"
#include "world/member.h"

#include <loam/collect.h>

#include <stdint.h>

// lm_watch_set sets it, or takes it away.
void lm_watch_set(struct lm_member *self,
                  void (*fn)(const struct loam_collection *, void *),
                  void *argument);

// Both are called by the collecting thread, with the cycle's lock.
void lm_watch_begin(uint64_t number);
void lm_watch_end(const struct lm_cycle_event *event);

void lm_watch_fork_child(void);

#endif // SEE_WATCH_H
