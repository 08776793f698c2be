// SPDX-License-Identifier: MIT
// collect/cycle.h: one collection, from the decision to the line in the log.

#ifndef COLLECT_CYCLE_H
#define COLLECT_CYCLE_H

#include "collect/event.h"

#include <stdbool.h>
#include <stdint.h>

const char *lm_cause_name(enum lm_cause cause);

const char *lm_cycle_kind_name(enum lm_cycle_kind kind);

// The listener, called after each collection on the collecting thread, which
// is not stopped then but holds the cycle's lock: it must not allocate.
typedef void lm_cycle_listener(const struct lm_cycle_event *event);

// lm_cycle_listen sets the listener; wants_heap_after says whether to count
// heap_after_bytes, which looks at every block.
void lm_cycle_listen(lm_cycle_listener *listener, bool wants_heap_after);

// lm_cycle_watch sets what is told before each collection, where the listener is
// told after it.
void lm_cycle_watch(void (*on_begin)(uint64_t number));

// lm_cycle_number returns how many collections there have been.
uint64_t lm_cycle_number(void);

// lm_cycle_begun returns that of the last one that was begun: it may be under way,
// and does not know what has died since.
uint64_t lm_cycle_begun(void);

// lm_cycle_collect runs a collection on the calling thread, unless one has come
// since the one whose number is `seen` and the cause is content with that. A kind that is not to be had now becomes LM_CYCLE_FULL. False when
// there was no memory to do it.
bool lm_cycle_collect(enum lm_cycle_kind kind, enum lm_cause cause,
                      uint64_t seen);

// lm_cycle_figures_get returns figures of the last collection, and in all.
void lm_cycle_figures_get(struct lm_cycle_figures *figures);

// lm_cycle_hold keeps collections from happening until lm_cycle_let; the
// calling thread waits in a safe state. lm_pause_gate waits for less.
void lm_cycle_hold(void);
void lm_cycle_let(void);

// lm_cycle_stopped runs fn with the program stopped, as a collection would
// find it, with all caches retired and nothing unswept.
void lm_cycle_stopped(void (*fn)(void *), void *argument);

// lm_cycle_is_awaited says whether somebody waits for a collection, which whoever
// holds them off should let happen.
bool lm_cycle_is_awaited(void);

void lm_cycle_fork_prepare(void);
void lm_cycle_fork_done(bool in_child);

#endif // COLLECT_CYCLE_H
