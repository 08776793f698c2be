// SPDX-License-Identifier: MIT
// heap/space.h: the reserved range, its blocks, and what is known of each.
//
// The heap is one range of addresses, cut into blocks of 8 KiB. What is known
// about a block lies in tables beside the range, none of it inside, so a
// program that scribbles over its memory cannot make us lose count of it.
//
//   base                                                  base + bytes
//   | block 0 (never used) | block 1 | ... | frontier ... | reserved |
//
// A word is a heap pointer if one subtraction and one compare say so.

#ifndef HEAP_SPACE_H
#define HEAP_SPACE_H

#include "base/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a block is used for.
enum lm_block_state {
    LM_BLOCK_FREE = 0,  // in the pool, in a thread's stash, or never used
    LM_BLOCK_CELLS = 1, // cells of one kind
    LM_BLOCK_HEAD = 2,  // the first of a run that holds one large object
    LM_BLOCK_BODY = 3,  // another of such a run
};

// The flags of a block: whether its marked objects must be scanned again
// because a mark stack overflowed, and when its free cells were last taken. A
// block taken since the last collection is no allocator's business until the
// next one: 2c - 1 says that it was in cycle c and that there were free cells,
// so it may hold young objects; 2c that it was found full; 0 neither.
#define LM_BLOCK_RESCAN 0x80
#define LM_BLOCK_TAKEN 0x7f
#define LM_CYCLE_MAX 63

// struct lm_block is what marking needs of a block, in 8 bytes, so that the
// table of 1 GiB of heap takes 1 MiB and stays in the cache.
struct __attribute__((aligned(8))) lm_block {
    // CELLS: 2^32 over the cell size, rounded up, so that a multiplication
    // finds the cell of an offset. BODY: blocks back to the head. HEAD: the
    // head before it in its kind's list.
    uint32_t scale;
    uint16_t kind;
    uint8_t state;
    uint8_t flags; // atomic while marking
};

// struct lm_bits holds a block's two bitmaps of cells, a word of each in
// turn, so that asking both costs one cache line. Which of the pair is which
// is lm_space.live: after each collection they change places, so what was
// marked becomes what is allocated in no time at all.
//
// The marks outlive their collection where there are generations: in a block
// with young objects they say which objects are old.
//
//   space.1  The bits of cells that a block does not have are zero.
//   space.2  Between collections the mark word of a swept block is zero, but
//            in a block with young objects, where it has the old ones if there
//            are generations.
//   space.3  A marked cell is an allocated cell, or was freed by loam_free in
//            this collection.
struct __attribute__((aligned(LM_LINE_BYTES))) lm_bits {
    uint64_t pair[LM_CELL_WORDS][2];
};

// struct lm_space is the range and its tables. The pointers never change
// between init and fini.
struct lm_space {
    uintptr_t base;
    size_t bytes; // of the part ever used; grows; atomic
    size_t reserved_bytes;
    size_t ready_bytes; // of the part that may be written; guarded by the pool
    struct lm_block *block; // by block number, as all below
    struct lm_bits *bits;
    uint32_t *next;      // links blocks of a kind; guarded by the kind
    size_t *large_bytes; // size asked for the object of a HEAD
    bool *is_fixed;      // an address in it was given away; atomic
    bool *has_freed;     // a cell of it was freed by loam_free in the marking
                         // under way beside the program; atomic
    unsigned live;       // which of a pair of bits says "allocated"
    unsigned cycle;      // 1 to LM_CYCLE_MAX in turn, see LM_BLOCK_TAKEN; the
                         // next with each collection of all
    // What allocators do with marks; both change only while the program is
    // stopped.
    bool is_marking; // the program runs beside the markers
    bool is_sticky;  // there are generations: marks of old objects are kept
    void *tables;    // one reservation that holds all the tables
    size_t tables_bytes;
};

extern struct lm_space lm_space;

// lm_space_init reserves the range and its tables; false when the system has
// no such range even for the smallest heap.
bool lm_space_init(void);

// lm_space_fini gives it all back.
void lm_space_fini(void);

// lm_space_grow makes blocks up to (not including) `block` usable. The caller
// holds the pool's lock.
bool lm_space_grow(size_t block, bool huge);

// lm_space_ready makes at least that many bytes writable, and some more, so that
// it is seldom done: the system holds up every page fault meanwhile. The caller
// holds the pool's lock.
bool lm_space_ready(size_t bytes, bool huge);
// lm_space_forget gives back memory of the tables that holds nothing but what is
// known of free blocks, which is zero.
void lm_space_forget(size_t block, size_t count);

// lm_space_table_bytes returns how much memory the tables take for the part ever
// used.
size_t lm_space_table_bytes(void);

// lm_space_block_count returns how many blocks the range has.
static inline size_t lm_space_block_count(void) {
    return lm_space.reserved_bytes >> LM_BLOCK_SHIFT;
}

// lm_space_used_blocks returns one more than the highest block ever used.
static inline size_t lm_space_used_blocks(void) {
    // Relaxed: the part only grows, and who got a pointer into it from
    // another thread has synchronised with that thread.
    return __atomic_load_n(&lm_space.bytes, __ATOMIC_RELAXED) >> LM_BLOCK_SHIFT;
}

// lm_space_has_bits says whether any bit of that side of a block's is set.
static inline bool lm_space_has_bits(size_t block, unsigned side) {
    uint64_t any = 0;
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        // Relaxed: a bit that is being changed may be seen either way.
        any |= __atomic_load_n(&lm_space.bits[block].pair[i][side],
                               __ATOMIC_RELAXED);
    }
    return any != 0;
}

static inline char *lm_space_address(size_t block) {
    return (char *)(lm_space.base + (block << LM_BLOCK_SHIFT)); // NOLINT
}

// lm_space_has says whether a word may point into the heap.
static inline bool lm_space_has(uintptr_t word) {
    return word - lm_space.base <
           __atomic_load_n(&lm_space.bytes, __ATOMIC_RELAXED);
}

// lm_block_is_young says whether a block may hold objects made since the last
// collection.
static inline bool lm_block_is_young(struct lm_block entry) {
    return (entry.flags & LM_BLOCK_TAKEN) == 2 * lm_space.cycle - 1;
}

// lm_block_load reads a block's entry in one piece, since another thread may
// be giving the block to a new use. Acquire: who sees a use sees its bits.
static inline struct lm_block lm_block_load(size_t block) {
    uint64_t word;
    struct lm_block entry;
    __atomic_load((uint64_t *)&lm_space.block[block], &word, __ATOMIC_ACQUIRE);
    __builtin_memcpy(&entry, &word, sizeof entry);
    return entry;
}

// lm_block_head loads the entry of a block, or of the first block of the large
// object that it is a part of, and then *block is that one.
static inline struct lm_block lm_block_head(size_t *block) {
    struct lm_block entry = lm_block_load(*block);
    if (entry.state == LM_BLOCK_BODY) {
        *block -= entry.scale;
        entry = lm_block_load(*block);
    }
    return entry;
}

// lm_block_store writes it in one piece. Release: the bits come first.
static inline void lm_block_store(size_t block, struct lm_block entry) {
    uint64_t word;
    __builtin_memcpy(&word, &entry, sizeof word);
    __atomic_store((uint64_t *)&lm_space.block[block], &word, __ATOMIC_RELEASE);
}

static inline size_t lm_space_block_of(uintptr_t word) {
    return (word - lm_space.base) >> LM_BLOCK_SHIFT;
}

#endif // HEAP_SPACE_H
