// SPDX-License-Identifier: MIT
// heap/find.h: from a word to the object it points at or into.

#ifndef HEAP_FIND_H
#define HEAP_FIND_H

#include "heap/kind.h"
#include "heap/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_object is an object that has been found.
struct lm_object {
    uintptr_t start;
    uint32_t block; // of the cell, or the head of the run
    uint32_t cell;  // number within the block; 0 in a run
    uint32_t kind;
};

// lm_find_cell locates the cell or run that a word of the heap's range lies
// in, whether or not an object is there; false for a free block.
static inline bool lm_find_cell(uintptr_t word, struct lm_object *object) {
    size_t block = lm_space_block_of(word);
    struct lm_block entry = lm_block_load(block);
    if (entry.state == LM_BLOCK_CELLS) {
        uint64_t offset = (word - lm_space.base) & (LM_BLOCK_BYTES - 1);
        uint32_t cell = (uint32_t)((offset * entry.scale) >> 32);
        object->start = (uintptr_t)lm_space_address(block) +
                        (size_t)cell * lm_kinds[entry.kind].cell_bytes;
        object->cell = cell;
    } else if (entry.state == LM_BLOCK_FREE) {
        return false;
    } else {
        if (entry.state == LM_BLOCK_BODY) {
            block -= entry.scale;
            entry = lm_block_load(block);
            if (entry.state != LM_BLOCK_HEAD) {
                return false; // a stray word saw the run being made
            }
        }
        object->start = (uintptr_t)lm_space_address(block);
        object->cell = 0;
    }
    object->block = (uint32_t)block;
    object->kind = entry.kind;
    return true;
}

// lm_find_bit says whether a cell's bit of a side (lm_space.live: allocated;
// the other: marked) is set.
static inline bool lm_find_bit(const struct lm_object *object, unsigned side) {
    // Relaxed: a bit that another thread is changing may be seen either way.
    uint64_t word = __atomic_load_n(
        &lm_space.bits[object->block].pair[object->cell / 64][side],
        __ATOMIC_RELAXED);
    return (word >> (object->cell % 64)) & 1;
}

// lm_find finds the object at or around a word; false when there is none.
static inline bool lm_find(uintptr_t word, struct lm_object *object) {
    return lm_space_has(word) && lm_find_cell(word, object) &&
           lm_find_bit(object, lm_space.live);
}

// lm_find_fix makes the object that a word leads to, if any, stay where it is:
// somebody keeps its address where it cannot be changed; lm_find_fix_found where it
// has been found. By a member, inside.
static inline void lm_find_fix_found(const struct lm_object *object) {
    // Release: before the address is written where it cannot be changed.
    __atomic_store_n(&lm_space.is_fixed[object->block], true, __ATOMIC_RELEASE);
}

static inline void lm_find_fix(uintptr_t word) {
    struct lm_object object;
    if (lm_find(word, &object)) {
        lm_find_fix_found(&object);
    }
}

// lm_find_known returns what the program knows as the start of the object that
// starts there: behind the count of a counted one.
static inline uintptr_t lm_find_known(uintptr_t start) {
    struct lm_object object;
    return lm_find_cell(start, &object)
               ? start + lm_kinds[object.kind].type->lead_bytes
               : start;
}

// lm_find_size returns the bytes an object has room for.
static inline size_t lm_find_size(const struct lm_object *object) {
    uint32_t cell_bytes = lm_kinds[object->kind].cell_bytes;
    return cell_bytes ? cell_bytes : lm_space.large_bytes[object->block];
}

// lm_find_run_blocks returns how many blocks a large object of a size has. A
// byte is added, so that a pointer one past the end is still inside.
static inline size_t lm_find_run_blocks(size_t bytes) {
    return (bytes >> LM_BLOCK_SHIFT) + 1;
}

#endif // HEAP_FIND_H
