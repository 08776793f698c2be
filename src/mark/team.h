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

// lm_team_begin opens a marking, of all or of what is young, and returns the
// marker to give the roots to. The program is stopped.
struct loam_marker *lm_team_begin(bool is_minor);

// lm_team_marker returns that marker again.
struct loam_marker *lm_team_marker(void);

// lm_team_lines returns how many lines were scanned again since it was called
// last; not during lm_team_drain.
size_t lm_team_lines(void);

// lm_team_drain marks all that is reachable from what the marker was given,
// while the program runs or is stopped; false when interrupted, or when the
// deadline has passed, unless that is 0.
bool lm_team_drain(bool is_concurrent, uint64_t deadline_ns);

// lm_team_lend is for a thread of the program that sleeps until marking beside it
// has caught up: as many helpers more as such threads sleep at a time take part,
// on their processors, until the marking ends. Then lm_team_reclaim.
void lm_team_lend(void);
void lm_team_reclaim(void);

// lm_team_complete marks all that is reachable from what the markers were given,
// and more may be given then. lm_team_finish marks all that is reachable and fills
// in the figures of every kind.
void lm_team_complete(void);
void lm_team_finish(void);

// lm_team_begin_after opens a marking after a collection of all; see
// lm_phase_set_after. lm_team_drain_after marks what the marker was given, on
// the calling thread alone, and lm_team_end_after ends it.
struct loam_marker *lm_team_begin_after(void);
void lm_team_drain_after(void);
void lm_team_end_after(void);

// lm_team_abandon drops a marking, and all that is still to be scanned.
void lm_team_abandon(void);

// lm_team_size returns how many threads mark, the collecting one counted.
unsigned lm_team_size(void);

// lm_team_helper_cpu_ns returns what the helpers have spent since the start.
uint64_t lm_team_helper_cpu_ns(void);

void lm_team_fork_child(void);

#endif // MARK_TEAM_H
