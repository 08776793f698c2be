// SPDX-License-Identifier: MIT
// collect/idle.h: what is done when the program does little.
//
// A thread of the library's own sweeps what nobody needed since the last
// collection, and, when no collection has come for a while, gives free memory
// back to the system.

#ifndef COLLECT_IDLE_H
#define COLLECT_IDLE_H

#include <stddef.h>

// lm_idle_notice tells it that a collection has ended, and starts it if it does
// not run yet.
void lm_idle_notice(void);

// lm_idle_release gives all free memory back now; returns the bytes.
size_t lm_idle_release(void);

// lm_idle_stop ends the thread and waits for it.
void lm_idle_stop(void);

void lm_idle_fork_child(void);

#endif // COLLECT_IDLE_H
