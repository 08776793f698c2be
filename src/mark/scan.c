// SPDX-License-Identifier: MIT
// scan.c: the words of an object by which it may refer to others.

#include "mark/scan.h"

#include "base/check.h"
#include "heap/find.h"
#include "mark/phase.h"

#define WORD sizeof(uintptr_t)

// Whether pushing a word again would be for nothing. Asked only when objects
// are scanned once more, so that each time more of them fits the stack.
static bool word_is_done(uintptr_t word) {
    struct lm_object object;
    return !lm_phase_find(word, &object) || lm_phase_keeps(&object);
}

// Pushes a word if it may point into the heap.
static inline void scan_word(struct loam_marker *m, struct lm_bounds in,
                             uintptr_t word) {
    if (word - in.base < in.bytes &&
        !(lm_unlikely(m->is_recovering) && word_is_done(word))) {
        lm_stack_push(m, word);
    }
}

LM_NO_SANITIZE void lm_scan_spans(struct loam_marker *m, struct lm_bounds in,
                                  uintptr_t at, const struct lm_span *spans,
                                  size_t count) {
    for (size_t i = count; i-- > 0;) {
        const uintptr_t *words = lm_words_at(at + spans[i].offset_bytes);
        for (size_t j = spans[i].word_count; j-- > 0;) {
            scan_word(m, in, words[j]);
        }
    }
}

// How far ahead a long row is asked for: measured on the bench's sizes, where
// scanning takes a fifth less time than without, and 64 or 256 gain less.
#define SCAN_AHEAD_WORDS 128

// A row of words that may all be pointers, last first. Most are not, so four at
// a time are dismissed with one branch.
LM_NO_SANITIZE static void scan_row(struct loam_marker *m, struct lm_bounds in,
                                    const uintptr_t *words, size_t count) {
    for (; count % 4 != 0; count--) {
        scan_word(m, in, words[count - 1]);
    }
    for (; count > 0; count -= 4) {
        const uintptr_t *w = words + count - 4;
        if (count > SCAN_AHEAD_WORDS) {
            __builtin_prefetch(w - SCAN_AHEAD_WORDS);
        }
        bool any = (w[0] - in.base < in.bytes) | (w[1] - in.base < in.bytes) |
                   (w[2] - in.base < in.bytes) | (w[3] - in.base < in.bytes);
        if (any) {
            scan_word(m, in, w[3]);
            scan_word(m, in, w[2]);
            scan_word(m, in, w[1]);
            scan_word(m, in, w[0]);
        }
    }
}

LM_NO_SANITIZE void lm_scan_repeats(struct loam_marker *m, struct lm_bounds in,
                                    uintptr_t start,
                                    const struct lm_layout *layout,
                                    size_t first, size_t last) {
    size_t stride = layout->repeat_stride_bytes;
    uintptr_t at = start + layout->repeat_start_bytes + last * stride;
    if (stride == WORD) {
        size_t count = last - first;
        scan_row(m, in, lm_words_at(at - count * WORD), count);
        return;
    }
    for (size_t n = last - first; n > 0; n--) {
        at -= stride;
        lm_scan_spans(m, in, at, layout->repeat, layout->repeat_count);
    }
}

// Whether any block was flagged since the last recovery; atomic.
static bool scan_has_flags;

void lm_scan_flag(struct loam_marker *m, size_t block) {
    m->has_lost = false;
    __atomic_store_n(&scan_has_flags, true, __ATOMIC_RELAXED);
    // Relaxed: read after all markers have met.
    __atomic_fetch_or(&lm_space.block[block].flags, LM_BLOCK_RESCAN,
                      __ATOMIC_RELAXED);
}

bool lm_scan_has_lost(void) {
    return __atomic_load_n(&scan_has_flags, __ATOMIC_RELAXED);
}

bool lm_scan_take_lost(void) {
    return __atomic_exchange_n(&scan_has_flags, false, __ATOMIC_RELAXED);
}

void lm_scan_slice(struct loam_marker *m, struct lm_bounds in,
                   uintptr_t entry) {
    size_t block = (entry & ~LM_ENTRY_SLICE) >> 32;
    size_t slice = (uint32_t)entry;
    const struct lm_layout *layout = lm_kinds[lm_block_load(block).kind].layout;
    uintptr_t start = (uintptr_t)lm_space_address(block);
    size_t count = lm_scan_repeat_count(layout, lm_space.large_bytes[block]);
    size_t each =
        layout->repeat_count ? LM_SLICE_BYTES / layout->repeat_stride_bytes : 0;
    each = each ? each : 1;
    size_t first = slice * each;
    size_t last = count - first < each ? count : first + each;
    if (last < count) {
        lm_stack_push(m, entry + 1);
    }
    if (first < last) {
        lm_scan_repeats(m, in, start, layout, first, last);
    }
    if (slice == 0) {
        lm_scan_spans(m, in, start, layout->fixed, layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        lm_scan_flag(m, block);
    }
}

void lm_scan_shifted(struct loam_marker *m, struct lm_bounds in,
                     uintptr_t start, uintptr_t shift,
                     const struct lm_kind *k) {
    const struct lm_layout *layout = k->layout;
    size_t block = (start - in.base) >> LM_BLOCK_SHIFT;
    size_t bytes = k->cell_bytes ? k->cell_bytes : lm_space.large_bytes[block];
    if (layout->mark && lm_phase.is_concurrent) {
        // The program's function must not meet an object that the program is
        // changing: it is called when the program has stopped.
        m->has_lost = true;
    } else if (layout->mark) {
        layout->mark(m, lm_words_at(start), bytes);
    } else if (k->cell_bytes == 0) {
        lm_scan_slice(m, in, LM_ENTRY_SLICE | block << 32);
    } else {
        start += shift;
        lm_scan_repeats(m, in, start, layout, 0,
                        lm_scan_repeat_count(layout, bytes));
        lm_scan_spans(m, in, start, layout->fixed, layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        lm_scan_flag(m, block);
    }
}

void lm_scan_word(struct loam_marker *m, uintptr_t word) {
    scan_word(m, lm_bounds_get(), word);
}
