// SPDX-License-Identifier: MIT
// collect/limit.h: the limits, from what was set and what the machine has.

#ifndef COLLECT_LIMIT_H
#define COLLECT_LIMIT_H

#include "base/settings.h"

#include <stdbool.h>
#include <stddef.h>

// lm_limit_init reads what the machine and the container have, under root as in
// lm_cgroup_read, and makes the limits of it and the settings.
void lm_limit_init(const char *root);

// lm_limit_set makes them anew with another maximum, soft limit (each unless
// NULL), or container setting (unless LM_ON, which it never is).
void lm_limit_set(const struct lm_share *heap_max, const struct lm_share *soft,
                  enum lm_toggle container);

// lm_limit_available returns how many bytes the process may have, which shares
// are taken of: what the machine has, or what the container allows if less.
size_t lm_limit_available(void);

// lm_limit_headroom returns how much of a container's limit is not the heap's:
// a tenth, at least 16 MiB, at most a quarter.
size_t lm_limit_headroom(size_t limit);

// lm_limit_is_container says whether the heap's maximum is the container's.
bool lm_limit_is_container(void);

// lm_limit_reason says in words what was found.
const char *lm_limit_reason(void);

void lm_limit_fork_child(void);

#endif // COLLECT_LIMIT_H
