// SPDX-License-Identifier: MIT
// alloc/sweep.h: finding free cells in blocks, a block at a time.
//
// After a collection every block of a kind is unswept. An allocating thread
// takes one, reads its free cells off the bitmap and has swept it. What nobody
// takes is swept in the background, so that wholly free blocks become
// available to other kinds.
//
//        new block                 taken by a thread
//   pool -----------------------------------> taken
//    ^                                          |  the next collection
//    |  empty                                   v
//    +----------- sweep ---------------- unswept (all; after a minor collection
//                   |  has free cells           |  those taken that have room)
//                   v     taken by a thread     |
//         full   partial --------> taken <------+

#ifndef ALLOC_SWEEP_H
#define ALLOC_SWEEP_H

#include "heap/kind.h"
#include "heap/space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_free_cells is what a thread gets to allocate from.
struct lm_free_cells {
    uint32_t block;
    uint32_t count;
    bool is_clean; // they read as zeroes
    uint64_t word[LM_CELL_WORDS];
};

// lm_sweep_take gives the caller a block of the kind with at least one free
// cell. False when the kind has none left since the last collection. With
// generations only blocks with many are given, unless is_last says that there is
// no other memory.
bool lm_sweep_take(uint32_t kind, bool is_last, struct lm_free_cells *cells);

// lm_sweep_format makes a block from the pool one of the kind and gives the
// caller all of its cells.
void lm_sweep_format(uint32_t kind, uint32_t block, bool is_clean,
                     struct lm_free_cells *cells);

// lm_sweep_untake gives cells back; the program is stopped, or the block is
// the calling thread's.
void lm_sweep_untake(uint32_t block, const uint64_t word[LM_CELL_WORDS]);

// lm_sweep_some sweeps at most that many blocks of any kind, and returns how
// many it did; *freed, unless NULL, is how many of them became free.
size_t lm_sweep_some(size_t blocks, size_t *freed);

// lm_sweep_rest sweeps whatever is unswept.
void lm_sweep_rest(void);

// lm_sweep_prepare clears the marks of what is still unswept; after it a
// collection may mark. The program is stopped.
void lm_sweep_prepare(void);

// lm_sweep_forget_ages clears the marks of old objects. Beside the program, once
// there are no generations (lm_space.is_sticky).
void lm_sweep_forget_ages(void);

// lm_sweep_forget_freed begins anew with lm_space.has_freed, before a marking
// beside the program.
void lm_sweep_forget_freed(void);

// lm_sweep_begin makes what was marked what is allocated, and every block
// unswept. The program is stopped.
void lm_sweep_begin(void);

// lm_sweep_hold keeps all blocks unswept for a while, since what a collection of
// all found dead may still be kept: who needs memory takes free blocks. Set while
// the program is stopped, and taken back before the next collection.
void lm_sweep_hold(bool is_held);

// lm_sweep_begin_minor makes what was marked in blocks with young objects what
// is allocated in them, and those unswept; all others stay as they are. It calls
// on_settled for each block that will not be taken before the next collection of
// all, and has pointers. The program is stopped.
void lm_sweep_begin_minor(void (*on_settled)(uint32_t block));

// lm_sweep_dead_runs returns to the pool the runs of large objects that a minor
// collection has found dead.
void lm_sweep_dead_runs(void);

// lm_sweep_each_young calls fn for each block of cells that may hold young
// objects, and pointers. The program is stopped.
void lm_sweep_each_young(void (*fn)(void *, uint32_t block), void *argument);

// lm_sweep_forget_marks clears all marks, of a marking that will not be
// finished: in the child of a fork.
void lm_sweep_forget_marks(void);

// lm_sweep_dead_blocks returns how many unswept blocks hold nothing alive.
size_t lm_sweep_dead_blocks(void);

// lm_sweep_large returns the runs of dead large objects to the pool.
void lm_sweep_large(void);

// For evacuation. lm_sweep_detach takes all swept blocks with free cells out of
// their kind's list, and returns the first, linked by lm_space.next, or 0.
// lm_sweep_detach_one takes one, or 0. lm_sweep_attach puts one back: first of
// them, last, or where the full ones are if it is one.
uint32_t lm_sweep_detach(uint32_t kind);
uint32_t lm_sweep_detach_one(uint32_t kind);
void lm_sweep_attach(uint32_t kind, uint32_t block, bool is_first);

// lm_sweep_free_cells reads the free cells of a block off.
void lm_sweep_free_cells(uint32_t block, struct lm_free_cells *cells);

// lm_sweep_is_taken says whether a block's free cells belong to allocators
// until the next collection.
bool lm_sweep_is_taken(uint32_t block);

// Entering a large object into its kind's list, and taking it out of there and
// out of what is allocated; false when it was out already.
void lm_sweep_add_large(uint32_t kind, uint32_t block);
bool lm_sweep_remove_large(uint32_t kind, uint32_t block);

#endif // ALLOC_SWEEP_H
