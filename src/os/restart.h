// SPDX-License-Identifier: MIT
// os/restart.h: steps that the kernel begins again when it interrupts them.
//
// A thread may say that a few of its instructions are one step (rseq(2)). If the
// kernel takes the processor from it before the last of them, or delivers a
// signal, the thread goes on elsewhere, as if it had not begun. So the step needs
// no atomic instruction towards what the thread alone may change, and another
// thread can make sure that none is under way (membarrier(2)).

#ifndef OS_RESTART_H
#define OS_RESTART_H

#include <stdbool.h>

// lm_restart_init says whether both are to be had: Linux 5.10, glibc 2.35, a
// processor for which loam/machine.h has such steps, and nobody who forbids it.
bool lm_restart_init(void);

// lm_restart_area returns the calling thread's area that the kernel looks at, or
// NULL where the thread has none.
void *lm_restart_area(void);

// lm_restart_others returns when no other thread is in a step that it began
// before, and they see what was written before. False when refused.
bool lm_restart_others(void);

#endif // OS_RESTART_H
