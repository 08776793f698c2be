// SPDX-License-Identifier: MIT
// mark/marker.h: one thread's work of marking.

#ifndef MARK_MARKER_H
#define MARK_MARKER_H

#include "base/config.h"
#include "mark/chunk.h"

#include <loam/type.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct loam_marker is what the public header calls the collector. Each starts
// two cache lines of its own (processors fetch them in pairs): its stack
// pointer is written at every step, and next to another's made two markers
// slower than one.
struct __attribute__((aligned(2 * LM_LINE_BYTES))) loam_marker {
    // The stack: the entries of a chunk from bottom up to top. A marker at work
    // always has a chunk.
    struct lm_chunk *chunk;
    uintptr_t *top;
    uintptr_t *bottom;
    uintptr_t *limit;
    bool has_lost;      // an entry did not fit: rescan its object
    bool is_recovering; // scanning again what a full stack has lost
    bool has_company;   // helpers may take part in this phase
    bool is_parallel;   // and may have begun to: something was offered
    uint64_t *count;    // objects marked, by kind
};

// lm_marker_init gives a marker its memory; false when refused.
bool lm_marker_init(struct loam_marker *m);
void lm_marker_fini(struct loam_marker *m);

// lm_marker_begin readies a marker that has no chunk; NULL: with an empty one.
// False when there is none to be had.
bool lm_marker_begin(struct loam_marker *m, struct lm_chunk *chunk);

// lm_marker_end gives its chunk back.
void lm_marker_end(struct loam_marker *m);

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

// lm_marker_drain marks until this marker has nothing left and nothing is on
// offer.
void lm_marker_drain(struct loam_marker *m);

// lm_marker_recover scans again what a full stack has lost, until nothing is.
// Only one marker may be at work.
void lm_marker_recover(struct loam_marker *m);

// lm_marker_check marks nothing, but aborts if a marked object refers to an
// allocated one that is not marked. After a phase, while stopped.
void lm_marker_check(struct loam_marker *m);

#endif // MARK_MARKER_H
