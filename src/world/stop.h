// SPDX-License-Identifier: MIT
// world/stop.h: stopping the program and letting it go on.

#ifndef WORLD_STOP_H
#define WORLD_STOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

// lm_world_init installs the handler of the stop signal; false when the system
// refuses it.
bool lm_world_init(void);

// lm_world_signal returns the number of the stop signal.
int lm_world_signal(void);

// lm_world_mask returns a set, or NULL, that the program gave, without the stop
// signal and others that no thread may block; copy is room for that.
const sigset_t *lm_world_mask(const sigset_t *set, sigset_t *copy);

// lm_world_let_in unblocks these in the calling thread, which may have come with
// them blocked: out of a program that knows nothing of Loam.
void lm_world_let_in(void);

// lm_world_stop stops all members but the calling one, which becomes the
// collector and gets the world's lock. Returns the nanoseconds it took.
uint64_t lm_world_stop(void);

// lm_world_start lets them go on, and gives the lock back.
void lm_world_start(void);

// lm_world_go lets them go on and keeps the lock. For fork: after the stop
// nobody is inside the allocator, so all its locks are free; with them taken
// nobody can be where the child must not find it.
void lm_world_go(void);
void lm_world_fork_done(bool in_child);

#endif // WORLD_STOP_H
