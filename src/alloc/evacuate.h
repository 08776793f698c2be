// SPDX-License-Identifier: MIT
// alloc/evacuate.h: emptying sparse blocks by moving what is in them into denser
// ones of the same kind.
//
//             lm_evacuate_begin        lm_evacuate_move
//   partial ---------------------> waiting ------------> moved
//      ^                             |  |                  |
//      |   lm_evacuate_end           |  | lm_evacuate_keep | lm_evacuate_settle
//      +-----------------------------+  v                  v
//      +------------------------------ kept            gone: free
//
// Who moves objects must know all that refers to them; see mark/refer.h.

#ifndef ALLOC_EVACUATE_H
#define ALLOC_EVACUATE_H

#include "base/config.h"
#include "heap/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lm_source_state {
    LM_SOURCE_WAITING,
    LM_SOURCE_KEPT,  // something stands against moving what is in it
    LM_SOURCE_MOVED, // in this stop; its cells say where to
    LM_SOURCE_GONE,
};

// struct lm_source is a block to be emptied. No thread allocates from it.
struct lm_source {
    uint32_t block;
    uint32_t state;
    // Of mark/refer.c: the newest record of a field that refers to one of its
    // objects, and how many there are.
    uint32_t record;
    uint32_t record_count;
};

struct lm_evacuation {
    struct lm_source *source; // by number, from 1
    uint32_t source_count;
    uint32_t *number;  // by block: of its source, or 0
    size_t word_limit; // bytes of the heap that `number` covers
    size_t moved_count;
    size_t moved_bytes;
    size_t emptied; // blocks
};
extern struct lm_evacuation lm_evacuation;

// lm_evacuate_begin chooses blocks whose objects fit into the holes of others of
// their kind, the sparsest first, none with more than `percent` of its cells in
// use. All blocks have been swept; no collection may happen before
// lm_evacuate_end. Returns how many it chose: 0 also where there is no memory
// for a table of them.
uint32_t lm_evacuate_begin(unsigned percent);

// lm_evacuate_gain returns how many blocks it would choose.
size_t lm_evacuate_gain(unsigned percent);

// lm_evacuate_end gives blocks that were not emptied back to allocators. In the
// child of a fork it does away with an evacuation of the parent's.
void lm_evacuate_end(void);

// lm_evacuate_find returns the number of the source that a word points into, or
// 0.
static inline uint32_t lm_evacuate_find(uintptr_t word) {
    return word - lm_space.base < lm_evacuation.word_limit
               ? lm_evacuation.number[lm_space_block_of(word)]
               : 0;
}

// lm_evacuate_keep lets a block be, for good.
void lm_evacuate_keep(uint32_t number);

// lm_evacuate_move moves a source's objects while the program is stopped; false
// when there is no room for them any more, and then it is kept. The program must
// not go on before all references have been changed and lm_evacuate_settle.
bool lm_evacuate_move(uint32_t number);

// lm_evacuate_forward returns where a word points now, if it points at or into
// an object that was moved in this stop; else the word.
uintptr_t lm_evacuate_forward(uintptr_t word);

// lm_evacuate_settle frees the blocks emptied in this stop.
void lm_evacuate_settle(void);

#endif // ALLOC_EVACUATE_H
