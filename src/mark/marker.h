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

typedef void lm_marker_fn(struct loam_marker *m, uintptr_t start);

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
    bool is_parallel;   // and may have begun to, or the program runs
    // Empties a full stack, of one that marks nothing: see mark/refer.c. Or NULL.
    void (*spill)(struct loam_marker *m);
    // Called for each object that is marked, or NULL; it may push.
    lm_marker_fn *on_mark;
    size_t line_count;     // lines (see mark/lines.h) scanned again
    uint64_t *count;       // objects marked, by kind
    uint64_t *large_bytes; // of the large ones among them
};

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

// lm_marker_phase says what the markers are about to do: mark all or only what
// is young, while the program is stopped or while it runs, and until when (0:
// until all is done). No marker may be at work.
void lm_marker_phase(bool is_minor, bool is_concurrent, uint64_t deadline_ns);

// lm_marker_phase_after is for what is marked after a collection of all, beside
// the program: marks are added to what counts as allocated, and objects are
// those that were before it. Nothing may be swept meanwhile.
void lm_marker_phase_after(void);

// lm_marker_phase_stopped goes on with it in a stop, for lm_marker_recover, where
// lm_marker_has_lost says that something was lost or had to wait for that.
void lm_marker_phase_stopped(void);
bool lm_marker_has_lost(void);

// lm_marker_is_kept says whether the object that starts there is marked, or one
// that this phase keeps anyway.
bool lm_marker_is_kept(uintptr_t start);

// lm_marker_hurry says that somebody waits for the end of this marking: then all
// markers that work beside the program leave their work as it is, soon, for a
// stop; but for what is marked after a collection, which no stop would go on with.
// From any thread.
void lm_marker_hurry(bool is_hurried);
bool lm_marker_is_hurried(void);

// lm_marker_is_leaving says whether the markers of this phase are to leave their
// work as it is, for that reason or because the time is up; once true, true for
// the rest of the phase. In a stop without a deadline it never is.
bool lm_marker_is_leaving(void);

// lm_marker_pages puts on the stack that whole pages are to be scanned again,
// from start to end, each of them armed before: what this phase keeps there,
// which are objects that are marked, or old.
void lm_marker_pages(struct loam_marker *m, uintptr_t start, uintptr_t end);

// lm_marker_young puts on the stack that the old objects of a block that has young
// ones, too, are to be scanned again.
void lm_marker_young(struct loam_marker *m, uint32_t block);

// lm_marker_try adds a word; false when there is no room, and then it is not
// there.
bool lm_marker_try(struct loam_marker *m, uintptr_t word);

// lm_marker_inside adds what an object refers to and is not marked, without
// marking the object. What lm_marker_has_lost tells of is not recovered: the
// caller does it again.
void lm_marker_inside(struct loam_marker *m, uintptr_t start);

// lm_marker_drain marks until this marker has nothing left and nothing is on
// offer, or until lm_marker_is_leaving.
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
