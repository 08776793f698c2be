// SPDX-License-Identifier: MIT
// mark/view.h: what the loops of marking need of the tables.
//
// It does not change while they run, and is kept apart from the tables, so that the
// compiler need not read it again after each store.

#ifndef MARK_VIEW_H
#define MARK_VIEW_H

#include "mark/phase.h"
#include "mark/scan.h"
#include "mark/stack.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct lm_view {
    struct lm_bounds in;
    const struct lm_block *block;
    uint64_t (*bits)[LM_CELL_WORDS][2]; // from the mark side on
    const struct lm_scan *scans;
    uint64_t *count;
    uint8_t flag_mask; // as in struct lm_phase
    uint8_t flag_want;
    lm_marker_fn *on_mark; // as in struct loam_marker
};

static inline struct lm_view lm_view_get(const struct loam_marker *m) {
    return (struct lm_view){lm_bounds_get(),
                            lm_space.block,
                            (uint64_t(*)[LM_CELL_WORDS][2]) &
                                lm_space.bits->pair[0][lm_phase.mark],
                            lm_scans,
                            m->count,
                            lm_phase.flag_mask,
                            lm_phase.flag_want,
                            m->on_mark};
}

// lm_view_entry is lm_block_load, where order is __ATOMIC_ACQUIRE. In no order bits
// may be older than the entry: then they say that there is no object, and what
// refers to it is on a page that was written meanwhile.
static inline struct lm_block lm_view_entry(const struct lm_block *block,
                                            int order) {
    struct lm_block entry;
    uint64_t word;
    __atomic_load((const uint64_t *)block, &word, order);
    memcpy(&entry, &word, sizeof entry);
    return entry;
}

// lm_view_ask returns where it is said whether what an offset into the range leads
// to is marked, asked for from memory; NULL where that takes a closer look.
static inline const uint64_t *lm_view_ask(const struct lm_view *v,
                                          uintptr_t offset, uint8_t *bit) {
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = lm_view_entry(&v->block[block], __ATOMIC_ACQUIRE);
    uint64_t cell = ((offset & (LM_BLOCK_BYTES - 1)) * entry.scale) >> 32;
    if (entry.state == LM_BLOCK_HEAD) {
        cell = 0;
    } else if (entry.state != LM_BLOCK_CELLS) {
        return NULL;
    }
    if ((entry.flags & v->flag_mask) != v->flag_want) {
        return NULL;
    }
    const uint64_t *bits = v->bits[block][cell / 64];
    __builtin_prefetch(bits);
    *bit = cell % 64;
    return bits;
}

#endif // MARK_VIEW_H
