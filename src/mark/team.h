// SPDX-License-Identifier: MIT
// mark/team.h: the markers, and a phase of marking as its caller sees it.

#ifndef MARK_TEAM_H
#define MARK_TEAM_H

#include "mark/marker.h"

#include <stdbool.h>
#include <stdint.h>

// lm_team_init makes the first marker; false when refused.
bool lm_team_init(void);
void lm_team_fini(void);

// lm_team_prepare starts the helper threads that a heap of this size is worth,
// up to the number the settings allow. Before the program is stopped, since
// starting a thread takes libc's locks.
void lm_team_prepare(size_t heap_bytes);

// lm_team_begin opens a phase and returns the marker to give the roots to. The
// program is stopped.
struct loam_marker *lm_team_begin(void);

// lm_team_finish marks all that is reachable and fills in the figures of every
// kind.
void lm_team_finish(void);

// lm_team_size returns how many threads mark, the collecting one counted.
unsigned lm_team_size(void);

// lm_team_helper_cpu_ns returns what the helpers have spent since the start.
uint64_t lm_team_helper_cpu_ns(void);

void lm_team_fork_child(void);

#endif // MARK_TEAM_H
