// SPDX-License-Identifier: MIT
// mark/scan.h: the words of an object by which it may refer to others.

#ifndef MARK_SCAN_H
#define MARK_SCAN_H

#include "heap/kind.h"
#include "heap/space.h"
#include "mark/stack.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_bounds is where words have to point to be of interest.
struct lm_bounds {
    uintptr_t base;
    size_t bytes;
};

// lm_bounds_get returns all of the range, though most of it has never been used: the
// heap grows while it is marked, and what is beyond has a table that says free.
static inline struct lm_bounds lm_bounds_get(void) {
    return (struct lm_bounds){lm_space.base, lm_space.reserved_bytes};
}

static inline const uintptr_t *lm_words_at(uintptr_t address) {
    return (const uintptr_t *)address; // NOLINT: an address of the heap
}

// lm_scan_word pushes a word if it may point into the heap.
void lm_scan_word(struct loam_marker *m, uintptr_t word);

// lm_scan_spans pushes the words that a row of spans names in one repetition, last
// first; lm_scan_repeats those of the repetitions [first, last) of a layout's
// pattern, of which an object of so many bytes has lm_scan_repeat_count.
void lm_scan_spans(struct loam_marker *m, struct lm_bounds in, uintptr_t at,
                   const struct lm_span *spans, size_t count);
void lm_scan_repeats(struct loam_marker *m, struct lm_bounds in,
                     uintptr_t start, const struct lm_layout *layout,
                     size_t first, size_t last);

static inline size_t lm_scan_repeat_count(const struct lm_layout *layout,
                                          size_t bytes) {
    return layout->repeat_count == 0 || bytes < layout->repeat_start_bytes
               ? 0
               : (bytes - layout->repeat_start_bytes) /
                     layout->repeat_stride_bytes;
}

// lm_scan_slice does so for one slice of a large object, an entry of the stack; the
// rest goes back on the stack first, where others can take it.
void lm_scan_slice(struct loam_marker *m, struct lm_bounds in, uintptr_t entry);

// lm_scan_shifted does so for any object, one word at a time. Its words are read
// `shift` bytes further on, where they have been copied to.
void lm_scan_shifted(struct loam_marker *m, struct lm_bounds in,
                     uintptr_t start, uintptr_t shift, const struct lm_kind *k);

static inline void lm_scan_object(struct loam_marker *m, struct lm_bounds in,
                                  uintptr_t start, const struct lm_kind *k) {
    lm_scan_shifted(m, in, start, 0, k);
}

// lm_scan_flag flags a block, of which words were lost, to be scanned again.
void lm_scan_flag(struct loam_marker *m, size_t block);

// lm_scan_has_lost says whether any was flagged since lm_scan_take_lost, which says
// so, too.
bool lm_scan_has_lost(void);
bool lm_scan_take_lost(void);

#endif // MARK_SCAN_H
