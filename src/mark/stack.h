// SPDX-License-Identifier: MIT
// mark/stack.h: what one thread has still to mark.
//
// An entry is a word that may point at an object, or one of two others:
//
//   bit 63          a slice of a large object: bits 32 to 62 are its block, bits 0 to
//                   31 which slice
//   bit 62, not 63  a row of pages to scan again: bits 0 to 39 are the first, counted
//                   from the start of the heap's range, bits 40 to 47 how many; bit
//                   61 says that they are of a young block

#ifndef MARK_STACK_H
#define MARK_STACK_H

#include "base/check.h"
#include "base/config.h"
#include "mark/chunk.h"

#include <loam/type.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LM_ENTRY_SLICE ((uintptr_t)1 << 63)
#define LM_ENTRY_PAGES ((uintptr_t)1 << 62)
#define LM_ENTRY_PAGES_SHIFT 40
#define LM_ENTRY_YOUNG ((uintptr_t)1 << 61)

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

// lm_stack_set makes a chunk the stack, and what is in it the entries.
void lm_stack_set(struct loam_marker *m, struct lm_chunk *chunk);

// lm_stack_grow makes room on a full stack: a fresh chunk, the full one going on
// offer. False when there is no memory, and then m->has_lost is set.
bool lm_stack_grow(struct loam_marker *m);

// lm_stack_split gives the oldest half away, if somebody can use it.
void lm_stack_split(struct loam_marker *m);

static inline size_t lm_stack_count(const struct loam_marker *m) {
    return (size_t)(m->top - m->bottom);
}

// lm_stack_push adds an entry, or sets m->has_lost.
static inline void lm_stack_push(struct loam_marker *m, uintptr_t entry) {
    if (lm_likely(m->top < m->limit) || lm_stack_grow(m)) {
        *m->top++ = entry;
    }
}

#endif // MARK_STACK_H
