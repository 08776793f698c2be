// SPDX-License-Identifier: MIT
// heap/kind.h: a kind is a type and a cell size; a block holds one kind.
//
// So the type of an object is a property of its block: no object has a
// header, marking looks at nothing but the block, and the census of a type is
// a count of bits.

#ifndef HEAP_KIND_H
#define HEAP_KIND_H

#include "base/config.h"
#include "heap/run.h"
#include "heap/type.h"
#include "os/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How the objects of a kind are scanned, the common cases apart.
enum lm_shape {
    LM_SHAPE_LEAF,    // not at all
    LM_SHAPE_MASK,    // pointers among the first 64 words, no more
    LM_SHAPE_WORDS,   // every word
    LM_SHAPE_GENERAL, // by the layout, or a mark function, or large
};

// struct lm_scan is what marking reads of a kind, for every object: a table of
// its own, small enough to stay in the first-level cache.
struct __attribute__((aligned(16))) lm_scan {
    // For LM_SHAPE_MASK: which words hold pointers, word i as bit 63 - i, so
    // that the lowest bit is the last pointer.
    uint64_t pointer_mask;
    uint32_t cell_bytes; // as in struct lm_kind
    uint32_t shape;      // enum lm_shape
};

// struct lm_block_list is a list linked by lm_space.next; 0 is its end.
struct lm_block_list {
    uint32_t first;
    uint32_t last;
};

// Of a size of its own, so that the locks of two kinds are never on one line.
struct __attribute__((aligned(LM_LINE_BYTES))) lm_kind {
    const struct lm_layout *layout;
    uint32_t cell_bytes; // 0 for large objects
    uint16_t cell_count; // in a block
    bool is_leaf;        // never scanned
    bool is_zeroed;      // cells are handed out zeroed
    bool has_ends;       // a pointer one past the end is likely: all but
                         // single objects of a described type
    uint8_t size_class;
    // So many fewer quarters of a block have to be free than at first: see
    // alloc/sweep.c. Guarded by the lock.
    uint8_t fewer_quarters;
    uint32_t scale; // see struct lm_block
    const struct loam_type *type;

    // Each block of the kind is in one of five lists. Guarded by the lock.
    struct lm_lock lock;
    struct lm_block_list unswept; // as the last collection left them
    struct lm_block_list partial; // swept, with free cells
    struct lm_block_list passed;  // the same, with fewer than are wanted now
    struct lm_block_list taken;   // since the last collection, their free cells
                                  // given to threads; of a large kind: all of
                                  // them, linked both ways, newest first
    struct lm_block_list full;    // swept, with none
    // Of the last blocks below the maximum: how many it was given when a
    // collection had not helped, and what is left of them; atomic.
    uint32_t last_given;
    uint32_t last_left;
    // Figures of the last collection; written while the program is stopped.
    uint64_t live_count;
    uint64_t live_bytes;
    // Since the start; atomic.
    uint64_t allocated_count;
    uint64_t allocated_bytes;
};

// Kinds by number; 0 is none, then two for each size class of untyped memory
// (LOAM_KIND_RAW_, LOAM_KIND_LEAF_), then in the order of first use.
extern struct lm_kind *lm_kinds;
extern struct lm_scan *lm_scans;

#define LM_KIND_RAW_LARGE (2 * LOAM_SIZE_CLASS_COUNT + 1)
#define LM_KIND_LEAF_LARGE (2 * LOAM_SIZE_CLASS_COUNT + 2)
#define LM_KIND_LARGE_CLASS 31

// lm_kind_init makes the kinds of untyped memory; false without memory for
// the table.
bool lm_kind_init(void);
void lm_kind_fini(void);

// lm_kind_count returns one more than the highest kind there is.
uint32_t lm_kind_count(void);

// lm_kind_zone returns where the blocks of a kind belong.
static inline enum lm_zone lm_kind_zone(const struct lm_kind *k) {
    return k->is_leaf ? LM_ZONE_LEAF : LM_ZONE_SCANNED;
}

// lm_kind_of returns the kind of a type, of one object or an array, for
// objects of that many bytes; 0 when the table is full.
uint32_t lm_kind_of(const struct loam_type *type, bool is_array, size_t bytes);

void lm_kind_fork_prepare(void);
void lm_kind_fork_done(bool in_child);

#endif // HEAP_KIND_H
