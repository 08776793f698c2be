// SPDX-License-Identifier: MIT
// see/log.h: a line a collection, and the report at exit.

#ifndef SEE_LOG_H
#define SEE_LOG_H

#include "collect/compact.h"
#include "collect/cycle.h"

#include <stdbool.h>

// lm_log_cycle is the listener of collections: it enters the pause, and writes
// a line where LOAM_LOG=gc asks for one.
void lm_log_cycle(const struct lm_cycle_event *event);

// lm_log_compact is the listener of compactions.
void lm_log_compact(const struct lm_compact_event *event);

// lm_log_report writes the figures to the file LOAM_REPORT names, as the loam
// command reads them. False, with a message on stderr, when it cannot.
bool lm_log_report(const char *path);

// lm_log_dump writes them to another file, after why an allocation failed. It
// takes no memory but by mmap, and where there is none, fewer types.
bool lm_log_dump(const char *path, const char *why);

#endif // SEE_LOG_H
