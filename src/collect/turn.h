// SPDX-License-Identifier: MIT
// collect/turn.h: from one collection to the next: what was marked is what is
// allocated, and what is old is remembered or forgotten.

#ifndef COLLECT_TURN_H
#define COLLECT_TURN_H

#include "collect/event.h"
#include "collect/pace.h"

#include <stdbool.h>
#include <stdint.h>

// lm_turn makes what is marked what is allocated, and decides what comes next.
// The program is stopped, since `began`.
void lm_turn(struct lm_cycle_event *event, uint64_t began);

// lm_turn_count fills in what is alive, and returns what the pace is set by.
struct lm_pace_event lm_turn_count(struct lm_cycle_event *event,
                                   uint64_t began);

// lm_turn_forget_ages ends the generations, if there are any, until the next
// collection of all. The caller holds collections off.
void lm_turn_forget_ages(struct lm_cycle_event *event);

// lm_turn_is_forgetting says, in a child, whether that was under way.
bool lm_turn_is_forgetting(void);
void lm_turn_fork_child(void);

#endif // COLLECT_TURN_H
