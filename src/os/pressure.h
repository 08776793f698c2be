// SPDX-License-Identifier: MIT
// os/pressure.h: whether the system is short of memory.
//
// Linux counts the share of time in which somebody waited for memory ("pressure
// stall information"). It is read when somebody asks: a trigger would need
// rights, and who collects looks often enough.

#ifndef OS_PRESSURE_H
#define OS_PRESSURE_H

#include <stdbool.h>

// lm_pressure_open finds where to read it: in the folder of the process's group
// (or ""), or else of the whole system, under root as in lm_cgroup_read.
void lm_pressure_open(const char *root, const char *folder);

// lm_pressure_percent returns the share of the last ten seconds in which some
// thread waited for memory, or -1 where that cannot be read.
int lm_pressure_percent(void);

// lm_pressure_watch returns the same to one thread that asks again and again: the
// file stays open, if descriptors are not scarce, so that no number comes and goes
// beside a program that gives files numbers of its choice.
int lm_pressure_watch(void);

// lm_pressure_reason says where it is read, or that it cannot be.
const char *lm_pressure_reason(void);

#endif // OS_PRESSURE_H
