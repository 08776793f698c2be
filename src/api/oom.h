// SPDX-License-Identifier: MIT
// api/oom.h: the end of an allocation that failed.

#ifndef API_OOM_H
#define API_OOM_H

#include "alloc/cache.h"
#include "base/settings.h"

#include <stdbool.h>
#include <stddef.h>

// lm_oom_fail explains why memory could not be had, writes the report that was
// asked for, and returns NULL or ends the program, as was set.
void *lm_oom_fail(enum lm_refill why, size_t bytes);

// What the calls of loam/limit.h set. A path is copied; false when it is too
// long.
bool lm_oom_set_dump(const char *path);
void lm_oom_set_action(enum lm_oom_action action, int status);

// lm_oom_set_limits is lm_limit_set for the calling thread, and has the budget
// under way follow.
void lm_oom_set_limits(const struct lm_share *heap_max,
                       const struct lm_share *soft, enum lm_toggle container);

#endif // API_OOM_H
