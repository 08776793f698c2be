// SPDX-License-Identifier: MIT
// collect/pause.h: stopping the program for a collection, and what attends that.

#ifndef COLLECT_PAUSE_H
#define COLLECT_PAUSE_H

#include "collect/event.h"
#include "os/image.h"

#include <stdbool.h>
#include <stdint.h>

// lm_pause_gate keeps the program from being stopped by a collection, and the
// figures of objects from changing, until lm_pause_ungate. A marking beside the
// program goes on. The calling thread waits in a safe state.
void lm_pause_gate(void);
void lm_pause_ungate(void);

// lm_pause_listen sets what is told of each pause.
void lm_pause_listen(void (*on_pause)(uint64_t ns));

// lm_pause_attend sets what is called in stops: `before` in the first one of a
// collection of everything, before it marks; `after` in the last one of each
// collection, when what is allocated is what is alive. They must not allocate,
// nor wait for anybody who may be stopped. Where lifetimes are settled after the
// last stop, there is another one for `after` when they are, if is_wanted says so.
void lm_pause_attend(void (*before)(void), void (*after)(void),
                     bool (*is_wanted)(void));
void lm_pause_before(void);
void lm_pause_after(void);
bool lm_pause_after_is_wanted(void);

// lm_pause_begin stops the program, with the gate held, and returns when that
// began. lm_pause_enter does so for the first time in a collection: caches are
// retired, too. lm_pause_end lets it go on.
uint64_t lm_pause_begin(struct lm_cycle_event *event);
uint64_t lm_pause_enter(struct lm_cycle_event *event);
void lm_pause_end(struct lm_cycle_event *event, uint64_t began);

// lm_pause_for passes the gate and runs fn in a stop.
void lm_pause_for(struct lm_cycle_event *event, void (*fn)(void));

// lm_pause_run stops the program, retires all caches, calls fn, which gets the
// moment at which the pause began, and lets the program go on. The caller holds
// collections off. Returns how long it took; 0 when there was no memory to do
// it, and fn was not called.
typedef void lm_pause_fn(const struct lm_images *images, uint64_t began_ns,
                         void *argument);
uint64_t lm_pause_run(lm_pause_fn *fn, void *argument);

// lm_pause_figures_get fills in the figures of pauses, with the gate held.
void lm_pause_figures_get(struct lm_cycle_figures *figures);

// lm_pause_fork_child makes the gate the only thread's.
void lm_pause_fork_child(void);

#endif // COLLECT_PAUSE_H
