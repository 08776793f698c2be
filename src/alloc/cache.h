// SPDX-License-Identifier: MIT
// alloc/cache.h: what one thread allocates from.
//
// A cache has a slot for each kind. The inline fast path of loam/heap.h takes
// cells off a slot's stretch; everything here is for when the stretch ends.
// When its thread ends a cache is kept as it is for the next thread; at a
// collection all caches are retired, their free cells given back.

#ifndef ALLOC_CACHE_H
#define ALLOC_CACHE_H

#include "alloc/budget.h"
#include "base/config.h"
#include "heap/find.h"
#include "heap/kind.h"

#include <loam/heap.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_slot is the inside of the public struct loam_slot_.
//
//   slot.1  The cells of the stretch are free, adjacent, of this kind, and zero
//           where the kind promises it.
//   slot.2  A count of zero or less means that the stretch is used up.
struct __attribute__((aligned(sizeof(struct loam_slot_)))) lm_slot {
    uintptr_t stretch; // count and next address, see loam/heap.h
    uintptr_t block_start;
    uint32_t block;      // 0: none, and the slot is not in the active list
    uint16_t word_index; // the next word of free cells to look at
    uint8_t is_clean;    // the block's free cells read as zeroes
    uint8_t is_active;
    uintptr_t freed;      // cells freed by this thread, linked, or 0
    uint64_t taken_count; // cells in stretches since the last retirement
    uint64_t word[LM_CELL_WORDS]; // free cells not yet in a stretch
};

static inline uintptr_t lm_slot_next(const struct lm_slot *slot) {
    return slot->stretch & (((uintptr_t)1 << LOAM_STRETCH_SHIFT_) - 1);
}

static inline size_t lm_slot_left(const struct lm_slot *slot) {
    intptr_t count = (intptr_t)slot->stretch >> LOAM_STRETCH_SHIFT_;
    return count > 0 ? (size_t)count : 0;
}

struct lm_seat; // see pool/shared.h

struct lm_cache {
    struct lm_cache *next; // in the list of all; guarded by its lock
    struct lm_cache *next_idle;
    struct lm_slot *slots; // LM_KIND_MAX of them
    uint32_t active_count;
    uint32_t slow_count; // for torture
    struct lm_stash {
        uint32_t first;
        uint32_t count;
        bool is_clean;
    } stash[LM_ZONES];    // free blocks taken from the pool
    uint64_t freed_bytes; // by loam_free, since the start
    // Which thread has it: no two the same, 0 while it is idle; atomic.
    uint64_t tenancy;
    // For floors above, which keep with a cache what the next thread that has it
    // may use. Only its thread reads this.
    struct lm_seat **seats;
    uint32_t seat_room;
    uint16_t active[LM_KIND_MAX]; // kinds whose slot is in use
};

enum lm_refill {
    LM_REFILL_OK,
    LM_REFILL_BUDGET,  // a collection is due
    LM_REFILL_HIGH,    // the soft limit is reached
    LM_REFILL_LIMIT,   // the heap's maximum is reached
    LM_REFILL_REFUSED, // the system gave no memory
};

// lm_cache_new returns a cache, an idle one if there is; NULL when refused.
struct lm_cache *lm_cache_new(void);

// lm_cache_idle keeps the cache of a thread that ends.
void lm_cache_idle(struct lm_cache *cache);

// lm_cache_abandon empties and keeps the cache of a thread that did not live
// to leave it in order: after fork. Its cells stay allocated until the next
// collection.
void lm_cache_abandon(struct lm_cache *cache);

// lm_cache_refill finds the slot a new stretch and takes *cell off it.
enum lm_refill lm_cache_refill(struct lm_cache *cache, uint32_t kind,
                               enum lm_effort effort, void **cell);

// lm_cache_free takes back a cell that this thread frees; false when its bit was
// clear already.
bool lm_cache_free(struct lm_cache *cache, const struct lm_object *object);

// lm_cache_free_row takes back cells of the word of bits that one of them is in,
// which this thread frees together.
void lm_cache_free_row(struct lm_cache *cache, const struct lm_object *object,
                       uint64_t cells);

// lm_cache_retire_all gives back what all caches hold. The program is stopped.
void lm_cache_retire_all(void);

// lm_cache_freed_bytes returns what loam_free has freed since the start.
uint64_t lm_cache_freed_bytes(void);

// lm_cache_allocated adds, for every kind, the cells that caches have handed
// out since the last retirement, which the kind's own figure does not have.
void lm_cache_allocated(uint64_t counts[LM_KIND_MAX]);

void lm_cache_fini(void);
void lm_cache_fork_prepare(void);
void lm_cache_fork_done(bool in_child);

#endif // ALLOC_CACHE_H
