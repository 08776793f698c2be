// SPDX-License-Identifier: MIT
// mark/marker.h: one thread's work of marking.

#ifndef MARK_MARKER_H
#define MARK_MARKER_H

#include "mark/stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_marker_init gives a marker its memory; false when refused.
bool lm_marker_init(struct loam_marker *m);
void lm_marker_fini(struct loam_marker *m);

// lm_marker_begin readies a marker that has no chunk; NULL: with an empty one.
// False when there is none to be had.
bool lm_marker_begin(struct loam_marker *m, struct lm_chunk *chunk);

// lm_marker_end gives its chunk back; lm_marker_offer gives it, with what is on
// it, to whoever looks for work.
void lm_marker_end(struct loam_marker *m);
void lm_marker_offer(struct loam_marker *m);
bool lm_marker_is_empty(const struct loam_marker *m);

// lm_marker_root marks what a word of a root points at or into.
void lm_marker_root(struct loam_marker *m, uintptr_t word);

// lm_marker_ambiguous marks also what the word points one past the end of: for
// registers and stacks, which a compiler fills as it likes.
void lm_marker_ambiguous(struct loam_marker *m, uintptr_t word);

// lm_marker_range does either for all aligned words from start to end.
void lm_marker_range(struct loam_marker *m, uintptr_t start, uintptr_t end,
                     bool has_ends);

// lm_marker_push adds a word found in an object being scanned.
void lm_marker_push(struct loam_marker *m, uintptr_t word);

// lm_marker_is_kept says whether the object that starts there is marked, or one
// that this phase keeps anyway.
bool lm_marker_is_kept(uintptr_t start);

// lm_marker_try adds a word; false when there is no room, and then it is not
// there.
bool lm_marker_try(struct loam_marker *m, uintptr_t word);

// lm_marker_inside adds what an object refers to and is not marked, without
// marking the object. What lm_scan_has_lost tells of is not recovered: the
// caller does it again.
void lm_marker_inside(struct loam_marker *m, uintptr_t start);

// lm_marker_drain marks until this marker has nothing left and nothing is on
// offer, or until lm_phase_is_leaving.
void lm_marker_drain(struct loam_marker *m);

// lm_marker_recover scans again what a full stack has lost, until nothing is.
// Only one marker may be at work.
void lm_marker_recover(struct loam_marker *m);

// lm_marker_each_word marks nothing, but calls fn with each word by which a marked
// object may refer to something, and the object's start. The program is stopped.
typedef void lm_word_fn(uintptr_t holder, uintptr_t word, void *argument);
void lm_marker_each_word(struct loam_marker *m, lm_word_fn *fn, void *argument);

// lm_marker_check marks nothing, but aborts if a marked object refers to an
// allocated one that is not marked. After a phase, while stopped.
void lm_marker_check(struct loam_marker *m);

#endif // MARK_MARKER_H
