// SPDX-License-Identifier: MIT
// mark/phase.h: what the markers are about, and until when.

#ifndef MARK_PHASE_H
#define MARK_PHASE_H

#include "heap/find.h"
#include "heap/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_phase is what the phase under way marks. Set while no marker is at work.
struct lm_phase {
    uint8_t flag_mask; // a block is looked into only if its flags, under this
    uint8_t flag_want; // mask, are these: all blocks, or those with young ones
    bool is_minor;
    unsigned mark;        // which side of the bits says "marked": the other
                          // says "allocated"
    bool is_concurrent;   // the program runs
    bool can_hurry;       // what is left now can be done in a stop
    bool is_late;         // leave what is on the stacks: time is up; atomic
    uint64_t deadline_ns; // 0: none
};

extern struct lm_phase lm_phase;

// lm_phase_set says what the markers are about to do: mark all or only what is
// young, while the program is stopped or while it runs, and until when (0: until
// all is done). No marker may be at work.
void lm_phase_set(bool is_minor, bool is_concurrent, uint64_t deadline_ns);

// lm_phase_set_after is for what is marked after a collection of all, beside the
// program: marks are added to what counts as allocated, and objects are those that
// were before it. Nothing may be swept meanwhile.
void lm_phase_set_after(void);

// lm_phase_set_stopped goes on with it in a stop, for lm_marker_recover, where
// lm_scan_has_lost says that something was lost or had to wait for that.
void lm_phase_set_stopped(void);

// lm_phase_hurry says that somebody waits for the end of this marking: then all
// markers that work beside the program leave their work as it is, soon, for a stop;
// but for what is marked after a collection, which no stop would go on with. From
// any thread.
void lm_phase_hurry(bool is_hurried);
bool lm_phase_is_hurried(void);

// lm_phase_is_leaving says whether the markers of this phase are to leave their work
// as it is, for that reason or because the time is up; once true, true for the rest
// of the phase. In a stop without a deadline it never is.
bool lm_phase_is_leaving(void);

// lm_phase_is_over is the same, and looks at the clock: for each marker, every few
// microseconds.
bool lm_phase_is_over(void);

// lm_phase_side returns which of the bits says what this phase keeps of a block's
// objects: a minor collection keeps all that is old.
static inline unsigned lm_phase_side(struct lm_block entry) {
    return lm_phase.is_minor && !lm_block_is_young(entry) ? lm_space.live
                                                          : lm_phase.mark;
}

// lm_phase_find is lm_find, for the bits of this phase.
static inline bool lm_phase_find(uintptr_t word, struct lm_object *object) {
    return lm_space_has(word) && lm_find_cell(word, object) &&
           lm_find_bit(object, 1 - lm_phase.mark);
}

// lm_phase_keeps says whether an object is marked, or one that this phase keeps
// anyway.
static inline bool lm_phase_keeps(const struct lm_object *object) {
    return lm_find_bit(object, lm_phase_side(lm_block_load(object->block)));
}

#endif // MARK_PHASE_H
