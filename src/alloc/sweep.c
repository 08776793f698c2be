// SPDX-License-Identifier: MIT
// sweep.c: lists of blocks, and reading their bitmaps.
//
//   sweep.1  Each block in state CELLS is in exactly one list of its kind.
//   sweep.2  All cells of a taken block count as allocated, but for those that
//            loam_free has cleared since.
//   sweep.3  A block outside the unswept list has a clear mark side.

#include "alloc/sweep.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/run.h"

// ---- Lists -------------------------------------------------------------------

static void list_append(struct lm_block_list *list, uint32_t block) {
    lm_space.next[block] = 0;
    if (list->first) {
        lm_space.next[list->last] = block;
    } else {
        list->first = block;
    }
    list->last = block;
}

static uint32_t list_pop(struct lm_block_list *list) {
    uint32_t block = list->first;
    if (block) {
        list->first = lm_space.next[block];
    }
    return block;
}

static void list_splice(struct lm_block_list *to, struct lm_block_list *from) {
    if (from->first == 0) {
        return;
    }
    if (to->first) {
        lm_space.next[to->last] = from->first;
    } else {
        to->first = from->first;
    }
    to->last = from->last;
    *from = (struct lm_block_list){0, 0};
}

// ---- One block ----------------------------------------------------------------

static unsigned word_count(const struct lm_kind *k) {
    return (k->cell_count + 63u) / 64;
}

static void block_set_taken(uint32_t block) {
    struct lm_block entry = lm_block_load(block);
    entry.flags = (uint8_t)lm_space.cycle;
    // Release: whoever sees the block taken sees its cells allocated.
    lm_block_store(block, entry);
}

bool lm_sweep_is_taken(uint32_t block) {
    struct lm_block entry = lm_block_load(block);
    return (entry.flags & LM_BLOCK_CYCLE) == lm_space.cycle;
}

// Reads the free cells off, makes them all allocated and clears the marks.
// A loam_free that comes between the load and the store is lost, and its cell
// found by the next collection. Relaxed: block_set_taken orders them.
static void block_take(const struct lm_kind *k, struct lm_free_cells *cells) {
    struct lm_bits *bits = &lm_space.bits[cells->block];
    unsigned live = lm_space.live;
    cells->count = 0;
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        cells->word[i] = 0;
    }
    for (unsigned i = 0; i < word_count(k); i++) {
        uint64_t valid = lm_bits_valid(k->cell_count, i);
        uint64_t *word = &bits->pair[i][live];
        uint64_t free = valid & ~__atomic_load_n(word, __ATOMIC_RELAXED);
        __atomic_store_n(word, valid, __ATOMIC_RELAXED);
        bits->pair[i][1 - live] = 0;
        cells->word[i] = free;
        cells->count += lm_bits_count(free);
    }
    block_set_taken(cells->block);
}

// Clears the marks of a block that stays in a list, and the number of the cycle
// in which it was last taken, which another cycle may have some day. Returns
// how many cells are allocated.
static unsigned block_clean(const struct lm_kind *k, uint32_t block) {
    struct lm_bits *bits = &lm_space.bits[block];
    struct lm_block entry = lm_block_load(block);
    entry.flags = 0;
    lm_block_store(block, entry);
    unsigned live = lm_space.live;
    unsigned count = 0;
    for (unsigned i = 0; i < word_count(k); i++) {
        count += lm_bits_count(
            __atomic_load_n(&bits->pair[i][live], __ATOMIC_RELAXED));
        bits->pair[i][1 - live] = 0;
    }
    return count;
}

// ---- Taking --------------------------------------------------------------------

bool lm_sweep_take(uint32_t kind, struct lm_free_cells *cells) {
    struct lm_kind *k = &lm_kinds[kind];
    for (;;) {
        lm_lock_acquire(&k->lock);
        uint32_t block = list_pop(&k->partial);
        if (block == 0) {
            block = list_pop(&k->unswept);
        }
        if (block) {
            list_append(&k->taken, block);
            __builtin_prefetch(&lm_space.bits[k->unswept.first]);
        }
        lm_lock_release(&k->lock);
        if (block == 0) {
            return false;
        }
        cells->block = block;
        cells->is_clean = false;
        block_take(k, cells);
        if (cells->count > 0) {
            return true;
        }
    }
}

void lm_sweep_format(uint32_t kind, uint32_t block, bool is_clean,
                     struct lm_free_cells *cells) {
    struct lm_kind *k = &lm_kinds[kind];
    struct lm_bits *bits = &lm_space.bits[block];
    cells->block = block;
    cells->count = k->cell_count;
    cells->is_clean = is_clean;
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        cells->word[i] = lm_bits_valid(k->cell_count, i);
        bits->pair[i][lm_space.live] = cells->word[i];
        bits->pair[i][1 - lm_space.live] = 0;
    }
    lm_block_store(block,
                   (struct lm_block){k->scale, (uint16_t)kind, LM_BLOCK_CELLS,
                                     (uint8_t)lm_space.cycle});
    lm_lock_acquire(&k->lock);
    list_append(&k->taken, block);
    lm_lock_release(&k->lock);
}

void lm_sweep_untake(uint32_t block, const uint64_t word[LM_CELL_WORDS]) {
    struct lm_bits *bits = &lm_space.bits[block];
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        if (word[i]) {
            __atomic_fetch_and(&bits->pair[i][lm_space.live], ~word[i],
                               __ATOMIC_RELAXED);
        }
    }
}

// ---- Sweeping on behalf of others ------------------------------------------

// Sweeps the kind's next unswept block; *is_freed says whether it went to the
// pool. False when there is none.
static bool kind_sweep_one(struct lm_kind *k, bool *is_freed) {
    lm_lock_acquire(&k->lock);
    uint32_t block = list_pop(&k->unswept);
    if (block == 0) {
        lm_lock_release(&k->lock);
        return false;
    }
    unsigned count = block_clean(k, block);
    *is_freed = count == 0;
    if (count == k->cell_count) {
        block_set_taken(block);
        list_append(&k->taken, block);
    } else if (count > 0) {
        list_append(&k->partial, block);
    }
    lm_lock_release(&k->lock);
    if (*is_freed) {
        lm_run_give(block, 1);
    }
    return true;
}

// Where lm_sweep_some goes on; relaxed, any kind will do.
static uint32_t sweep_cursor;

size_t lm_sweep_some(size_t blocks, size_t *freed) {
    uint32_t kinds = lm_kind_count();
    uint32_t start = __atomic_load_n(&sweep_cursor, __ATOMIC_RELAXED);
    size_t swept = 0;
    size_t gained = 0;
    for (uint32_t i = 0; i < kinds && swept < blocks; i++) {
        uint32_t kind = (start + i) % kinds;
        struct lm_kind *k = &lm_kinds[kind];
        bool is_freed = false;
        __atomic_store_n(&sweep_cursor, kind, __ATOMIC_RELAXED);
        while (k->cell_bytes && swept < blocks &&
               kind_sweep_one(k, &is_freed)) {
            gained += is_freed;
            swept++;
        }
    }
    if (freed) {
        *freed = gained;
    }
    return swept;
}

void lm_sweep_rest(void) {
    // A piece at a time, so that no lock is held for long.
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        bool is_freed;
        while (k->cell_bytes && kind_sweep_one(k, &is_freed)) {
        }
    }
}

static bool block_is_dead(const struct lm_kind *k, uint32_t block) {
    uint64_t any = 0;
    for (unsigned i = 0; i < word_count(k); i++) {
        any |= __atomic_load_n(&lm_space.bits[block].pair[i][lm_space.live],
                               __ATOMIC_RELAXED);
    }
    return any == 0;
}

size_t lm_sweep_dead_blocks(void) {
    size_t count = 0;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes == 0) {
            continue;
        }
        lm_lock_acquire(&k->lock);
        for (uint32_t b = k->unswept.first; b; b = lm_space.next[b]) {
            count += block_is_dead(k, b);
        }
        lm_lock_release(&k->lock);
    }
    return count;
}

// ---- Around a collection -----------------------------------------------------

void lm_sweep_prepare(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes == 0) {
            continue;
        }
        for (uint32_t b = k->unswept.first; b; b = lm_space.next[b]) {
            block_clean(k, b);
        }
    }
}

void lm_sweep_begin(void) {
    lm_space.live = 1 - lm_space.live;
    lm_space.cycle = lm_space.cycle % 127 + 1;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes) {
            list_splice(&k->unswept, &k->partial);
            list_splice(&k->unswept, &k->taken);
        }
    }
}

// ---- Large objects -------------------------------------------------------------

void lm_sweep_add_large(uint32_t kind, uint32_t block) {
    struct lm_kind *k = &lm_kinds[kind];
    lm_lock_acquire(&k->lock);
    uint32_t first = k->taken.first;
    lm_space.next[block] = first;
    lm_space.block[block].scale = 0;
    if (first) {
        lm_space.block[first].scale = block;
    }
    k->taken.first = block;
    lm_lock_release(&k->lock);
}

static void large_unlink(struct lm_kind *k, uint32_t block) {
    uint32_t next = lm_space.next[block];
    uint32_t before = lm_space.block[block].scale;
    if (before) {
        lm_space.next[before] = next;
    } else {
        k->taken.first = next;
    }
    if (next) {
        lm_space.block[next].scale = before;
    }
}

void lm_sweep_remove_large(uint32_t kind, uint32_t block) {
    struct lm_kind *k = &lm_kinds[kind];
    lm_lock_acquire(&k->lock);
    large_unlink(k, block);
    lm_lock_release(&k->lock);
}

static void kind_sweep_large(struct lm_kind *k) {
    lm_lock_acquire(&k->lock);
    for (uint32_t b = k->taken.first; b;) {
        uint32_t next = lm_space.next[b];
        struct lm_bits *bits = &lm_space.bits[b];
        bits->pair[0][1 - lm_space.live] = 0;
        if (__atomic_load_n(&bits->pair[0][lm_space.live], __ATOMIC_RELAXED) ==
            0) {
            large_unlink(k, b);
            lm_run_give(b, lm_find_run_blocks(lm_space.large_bytes[b]));
        }
        b = next;
    }
    lm_lock_release(&k->lock);
}

void lm_sweep_large(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        if (lm_kinds[kind].cell_bytes == 0) {
            kind_sweep_large(&lm_kinds[kind]);
        }
    }
}
