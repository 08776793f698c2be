// SPDX-License-Identifier: MIT
// life/finalizer.h: calling finalizers, and those who watch weak references.

#ifndef LIFE_FINALIZER_H
#define LIFE_FINALIZER_H

#include "world/member.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_finalizer_run calls at most so many of those that are due, on the calling
// member, and returns how many.
size_t lm_finalizer_run(struct lm_member *self, size_t most);

// lm_finalizer_on_demand leaves that to the program; see loam/finalize.h.
void lm_finalizer_on_demand(struct lm_member *self, void (*notify)(void *),
                            void *argument);

// lm_finalizer_wait waits until those have returned that are due now; false when
// the time has passed (0: never does), or in one of them.
bool lm_finalizer_wait(struct lm_member *self, uint64_t timeout_ns);

// lm_finalizer_notice is told that a collection has ended, on the collecting
// thread, which holds the cycle's lock: some may have come due.
void lm_finalizer_notice(void);

// lm_finalizer_check reports one that has been running for long.
void lm_finalizer_check(void);

// lm_finalizer_exit calls all there are, newest registration first, at the end of
// the program, if that was asked for. lm_finalizer_stop ends the library's thread.
void lm_finalizer_exit(struct lm_member *self);
void lm_finalizer_stop(void);

void lm_finalizer_fork_child(void);

#endif // LIFE_FINALIZER_H
