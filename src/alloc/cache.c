// SPDX-License-Identifier: MIT
// cache.c: stretches of free cells.
//
// The order in which a slot looks for its next stretch is the order of cost:
// the rest of its block, cells this thread has freed, a block of the kind that
// the last collection left with free cells, a free block, then blocks of other
// kinds that may turn out to be empty, and last a larger heap.

#include "alloc/cache.h"

#include <loam/heap.h>

#include "alloc/budget.h"
#include "alloc/sweep.h"
#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/run.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/thread.h"

#include <string.h>

_Static_assert(sizeof(struct lm_slot) == sizeof(struct loam_slot_),
               "the header's slot and ours are one");

#define CACHE_SLOT_BYTES (LM_KIND_MAX * sizeof(struct lm_slot))
#define CACHE_BYTES                                                            \
    (((sizeof(struct lm_cache) + 4095) & ~(size_t)4095) + CACHE_SLOT_BYTES)

// How many blocks of other kinds are swept before the heap grows by one stash:
// enough that growing costs more than looking.
#define CACHE_SWEEP_BLOCKS 64

static struct {
    struct lm_lock lock; // guards the lists
    struct lm_cache *all;
    struct lm_cache *idle;
    uint64_t tenancies; // that there have been
} cache_table;

// ---- Caches of threads -----------------------------------------------------

struct lm_cache *lm_cache_new(void) {
    lm_lock_acquire(&cache_table.lock);
    struct lm_cache *cache = cache_table.idle;
    if (cache) {
        cache_table.idle = cache->next_idle;
    } else {
        cache = lm_memory_map(CACHE_BYTES);
        if (cache) {
            cache->slots = (struct lm_slot *)((char *)cache + CACHE_BYTES -
                                              CACHE_SLOT_BYTES);
            cache->next = cache_table.all;
            cache_table.all = cache;
        }
    }
    if (cache) {
        cache->tenancy = ++cache_table.tenancies;
    }
    lm_lock_release(&cache_table.lock);
    return cache;
}

void lm_cache_idle(struct lm_cache *cache) {
    // Release: who sees that its thread is gone sees what that has written.
    __atomic_store_n(&cache->tenancy, 0, __ATOMIC_RELEASE);
    lm_lock_acquire(&cache_table.lock);
    cache->next_idle = cache_table.idle;
    cache_table.idle = cache;
    lm_lock_release(&cache_table.lock);
}

void lm_cache_abandon(struct lm_cache *cache) {
    if (!lm_memory_discard(cache->slots, CACHE_SLOT_BYTES)) {
        memset(cache->slots, 0, CACHE_SLOT_BYTES);
    }
    cache->active_count = 0;
    memset(cache->stash, 0, sizeof cache->stash);
    lm_cache_idle(cache);
}

// ---- Stretches -----------------------------------------------------------------

static void slot_set(struct lm_slot *slot, const struct lm_kind *k,
                     uintptr_t start, size_t count, bool is_clean) {
    if (k->is_zeroed && !is_clean) {
        memset((void *)start, 0, count * k->cell_bytes); // NOLINT
    }
    slot->taken_count += count;
    slot->stretch = start | (uintptr_t)count << LOAM_STRETCH_SHIFT_;
}

static uintptr_t slot_cell(const struct lm_slot *slot, const struct lm_kind *k,
                           unsigned index) {
    return slot->block_start + (size_t)index * k->cell_bytes;
}

// The next row of free cells of the slot's block.
static bool slot_next_row(struct lm_slot *slot, const struct lm_kind *k) {
    for (; slot->word_index < LM_CELL_WORDS; slot->word_index++) {
        uint64_t word = slot->word[slot->word_index];
        if (word == 0) {
            continue;
        }
        unsigned first = lm_bits_first(word);
        uint64_t rest = ~(word >> first);
        unsigned count = rest ? lm_bits_first(rest) : 64;
        if (count > 64 - first) {
            count = 64 - first;
        }
        if (lm_unlikely(lm_settings.torture_collect)) {
            count = 1; // so that every allocation comes here
        }
        slot->word[slot->word_index] &= ~(lm_bits_low(count) << first);
        slot_set(slot, k, slot_cell(slot, k, slot->word_index * 64u + first),
                 count, slot->is_clean);
        return true;
    }
    return false;
}

static void slot_activate(struct lm_cache *cache, struct lm_slot *slot,
                          uint32_t kind) {
    if (!slot->is_active) {
        slot->is_active = 1;
        cache->active[cache->active_count++] = (uint16_t)kind;
    }
}

static void slot_begin_block(struct lm_cache *cache, uint32_t kind,
                             const struct lm_free_cells *cells) {
    struct lm_slot *slot = &cache->slots[kind];
    const struct lm_kind *k = &lm_kinds[kind];
    slot_activate(cache, slot, kind);
    lm_budget_charge((size_t)cells->count * k->cell_bytes);
    slot->block = cells->block;
    slot->block_start = (uintptr_t)lm_space_address(cells->block);
    slot->is_clean = cells->is_clean;
    if (cells->count == k->cell_count && !lm_settings.torture_collect) {
        slot->word_index = LM_CELL_WORDS;
        memset(slot->word, 0, sizeof slot->word);
        slot_set(slot, k, slot->block_start, k->cell_count, cells->is_clean);
        return;
    }
    memcpy(slot->word, cells->word, sizeof slot->word);
    slot->word_index = 0;
    slot_next_row(slot, k);
}

// ---- Freed cells ---------------------------------------------------------------

// Of two threads that free the same cell at once one finds the bit clear.
// Relaxed: the block's entry orders it against who takes the block. While
// markers look for changes a cell must not come back unmarked (lines.1), so
// whoever takes the block is told; release: before it sees the bit clear.
// Returns which of the bits were set.
static uint64_t cells_unset(const struct lm_object *o, uint64_t bits) {
    uint64_t *pair = lm_space.bits[o->block].pair[o->cell / 64];
    if (lm_space.is_marking) {
        __atomic_store_n(&lm_space.has_freed[o->block], true, __ATOMIC_RELAXED);
    }
    if (lm_space.is_marking || lm_space.is_sticky) {
        // A marker that sets it again only delays the cell's reuse.
        __atomic_fetch_and(&pair[1 - lm_space.live], ~bits, __ATOMIC_RELAXED);
    }
    return __atomic_fetch_and(&pair[lm_space.live], ~bits, __ATOMIC_RELEASE) &
           bits;
}

// A freed cell's first word is the next one, in the order of reuse. If the lowest
// bit of who refers to it is set, some cells behind it in its word of bits are
// free, too: a bit each in its second word, its own bit being the lowest, and 0.
#define FREED_ROW ((uintptr_t)1)

static void freed_push(struct lm_slot *slot, uintptr_t start, uint64_t others) {
    uintptr_t *cell = (uintptr_t *)start; // NOLINT: an address of the heap
    cell[0] = slot->freed;
    slot->freed = start;
    if (others) {
        cell[1] = others;
        slot->freed |= FREED_ROW;
    }
}

bool lm_cache_free(struct lm_cache *cache, const struct lm_object *o) {
    struct lm_slot *slot = &cache->slots[o->kind];
    // Asked before the bit is cleared: a block that is not taken yet may be
    // taken any moment, and whoever takes it then owns the cell. In such a
    // block the cleared bit is enough.
    bool is_taken = lm_sweep_is_taken(o->block);
    if (!cells_unset(o, (uint64_t)1 << (o->cell % 64))) {
        return false;
    }
    cache->freed_bytes += lm_kinds[o->kind].cell_bytes;
    if (is_taken) {
        slot_activate(cache, slot, o->kind);
        freed_push(slot, o->start, 0);
    }
    return true;
}

void lm_cache_free_row(struct lm_cache *cache, const struct lm_object *o,
                       uint64_t cells) {
    struct lm_slot *slot = &cache->slots[o->kind];
    size_t cell_bytes = lm_kinds[o->kind].cell_bytes;
    bool is_taken = lm_sweep_is_taken(o->block); // as above
    cells = cells_unset(o, cells);
    cache->freed_bytes += lm_bits_count(cells) * cell_bytes;
    if (!is_taken || cells == 0) {
        return;
    }
    slot_activate(cache, slot, o->kind);
    unsigned first = lm_bits_first(cells);
    uintptr_t start =
        o->start + first * cell_bytes - (o->cell % 64) * cell_bytes;
    freed_push(slot, start, (cells >> first) & ~(uint64_t)1);
}

// Whether a word of a freed cell is as freed_push left it.
static bool freed_is_sound(uintptr_t freed, uint32_t kind) {
    struct lm_object o;
    uintptr_t start = freed & ~FREED_ROW;
    return start == 0 || (lm_space_has(start) && lm_find_cell(start, &o) &&
                          o.start == start && o.kind == kind &&
                          !lm_find_bit(&o, lm_space.live));
}

__attribute__((noreturn)) static void freed_error(uintptr_t start,
                                                  uint32_t kind) {
    lm_caller_error("an object is not used after loam_free",
                    "remove the loam_free, or run with "
                    "LOAM_TORTURE=collect:1 to come closer to the place",
                    "object %p of type %s was written to after it was freed",
                    (const void *)start, // NOLINT
                    lm_kinds[kind].type->name);
}

// Takes cells that are free, the first of a row, off the list.
static void freed_take(struct lm_slot *slot, const struct lm_object *o,
                       size_t count) {
    uint64_t bits = lm_bits_low((unsigned)count) << (o->cell % 64);
    uint64_t *pair = lm_space.bits[o->block].pair[o->cell / 64];
    slot_set(slot, &lm_kinds[o->kind], o->start, count, false);
    if (lm_space.is_marking) {
        __atomic_fetch_or(&pair[1 - lm_space.live], bits, __ATOMIC_RELAXED);
    }
    uint64_t before =
        __atomic_fetch_or(&pair[lm_space.live], bits, __ATOMIC_RELAXED);
    if (before & bits) {
        freed_error(o->start, o->kind);
    }
}

// Takes the newest freed cell, which is the warmest, and those that were freed
// with it and are adjacent.
static bool slot_next_freed(struct lm_slot *slot, uint32_t kind) {
    uintptr_t start = slot->freed & ~FREED_ROW;
    size_t cell_bytes = lm_kinds[kind].cell_bytes;
    struct lm_object o = {0};
    if (start == 0) {
        return false;
    }
    const uintptr_t *cell = (const uintptr_t *)start; // NOLINT: of the heap
    uint64_t row = slot->freed & FREED_ROW ? cell[1] | 1 : 1;
    lm_find_cell(start, &o);
    unsigned last = o.cell % 64 + lm_bits_last(row);
    if (!freed_is_sound(cell[0], kind) || last > 63 ||
        (o.cell & ~63u) + last >= lm_kinds[kind].cell_count) {
        freed_error(start, kind);
    }
    slot->freed = cell[0];
    unsigned count = row == ~(uint64_t)0 ? 64 : lm_bits_first(~row);
    if (lm_unlikely(lm_settings.torture_collect)) {
        count = 1; // so that every allocation comes to lm_cache_refill
    }
    uint64_t rest = row & ~lm_bits_low(count);
    if (rest) {
        unsigned next = lm_bits_first(rest);
        freed_push(slot, start + next * cell_bytes,
                   (rest >> next) & ~(uint64_t)1);
    }
    freed_take(slot, &o, count);
    return true;
}

// ---- Blocks ---------------------------------------------------------------------

// A free block for this thread, from its stash or the pool.
static enum lm_run_result stash_take(struct lm_stash *stash, enum lm_zone zone,
                                     enum lm_run_how how, uint32_t *block,
                                     bool *is_clean) {
    if (stash->count == 0) {
        struct lm_run run;
        size_t count = LM_STASH_BLOCKS;
        enum lm_run_result r = lm_run_take(count, 1, zone, how, &run);
        if (r != LM_RUN_OK) {
            count = 1;
            r = lm_run_take(count, 1, zone, how, &run);
        }
        if (r != LM_RUN_OK) {
            return r;
        }
        *stash = (struct lm_stash){(uint32_t)run.block, (uint32_t)count,
                                   run.is_clean};
    }
    *block = stash->first++;
    *is_clean = stash->is_clean;
    stash->count--;
    return LM_RUN_OK;
}

// Whether more blocks are in use than this budget accounts for: then some are
// dead, and their memory is warmer than that of free ones.
static bool heap_is_large(void) {
    return lm_run_used() << LM_BLOCK_SHIFT > lm_budget_heap_bytes();
}

// Where there is no other memory.
static bool block_find_last(struct lm_cache *cache, uint32_t kind) {
    struct lm_free_cells cells;
    if (!lm_sweep_take(kind, true, &cells)) {
        return false;
    }
    slot_begin_block(cache, kind, &cells);
    return true;
}

static enum lm_refill block_find(struct lm_cache *cache, uint32_t kind,
                                 enum lm_effort effort) {
    struct lm_free_cells cells;
    bool can_exceed = effort != LM_EFFORT_BUDGET;
    if (!can_exceed && lm_budget_left() == 0) {
        return LM_REFILL_BUDGET;
    }
    if (lm_sweep_take(kind, false, &cells)) {
        slot_begin_block(cache, kind, &cells);
        return LM_REFILL_OK;
    }
    uint32_t block;
    bool is_clean;
    enum lm_zone zone = lm_kind_zone(&lm_kinds[kind]);
    struct lm_stash *stash = &cache->stash[zone];
    if (stash->count == 0 && !can_exceed && lm_run_is_high(LM_STASH_BLOCKS)) {
        lm_sweep_rest();
        if (lm_run_is_high(LM_STASH_BLOCKS)) {
            return block_find_last(cache, kind) ? LM_REFILL_OK : LM_REFILL_HIGH;
        }
    }
    if (stash->count == 0 && heap_is_large()) {
        lm_sweep_some(CACHE_SWEEP_BLOCKS, NULL);
    }
    enum lm_run_result r =
        stash_take(stash, zone, LM_RUN_USED, &block, &is_clean);
    if (r != LM_RUN_OK) {
        size_t freed;
        lm_sweep_some(CACHE_SWEEP_BLOCKS, &freed);
        r = freed ? stash_take(stash, zone, LM_RUN_USED, &block, &is_clean) : r;
    }
    if (r != LM_RUN_OK) {
        r = stash_take(stash, zone, LM_RUN_GROW, &block, &is_clean);
    }
    if (r != LM_RUN_OK) {
        lm_sweep_rest();
        r = stash_take(stash, zone, LM_RUN_GROW, &block, &is_clean);
    }
    if (r != LM_RUN_OK && block_find_last(cache, kind)) {
        return LM_REFILL_OK;
    }
    if (r == LM_RUN_LIMIT && lm_budget_claim_last(effort, &lm_kinds[kind], 1)) {
        struct lm_run run = {0};
        r = lm_run_take(1, 1, zone, LM_RUN_LAST, &run);
        block = (uint32_t)run.block;
        is_clean = run.is_clean;
    }
    if (r != LM_RUN_OK) {
        return r == LM_RUN_LIMIT ? LM_REFILL_LIMIT : LM_REFILL_REFUSED;
    }
    lm_sweep_format(kind, block, is_clean, &cells);
    slot_begin_block(cache, kind, &cells);
    return LM_REFILL_OK;
}

static bool cache_wants_collection(struct lm_cache *cache) {
    cache->slow_count++;
    if (lm_settings.torture_yield &&
        cache->slow_count % lm_settings.torture_yield == 0) {
        lm_thread_yield();
    }
    return lm_settings.torture_collect &&
           cache->slow_count % lm_settings.torture_collect == 0;
}

enum lm_refill lm_cache_refill(struct lm_cache *cache, uint32_t kind,
                               enum lm_effort effort, void **cell) {
    struct lm_slot *slot = &cache->slots[kind];
    const struct lm_kind *k = &lm_kinds[kind];
    for (;;) {
        uintptr_t p =
            loam_slot_claim_((struct loam_slot_ *)slot, k->cell_bytes);
        if (p) {
            *cell = (void *)p; // NOLINT: an address of the heap
            return LM_REFILL_OK;
        }
        if (effort == LM_EFFORT_BUDGET &&
            lm_unlikely(cache_wants_collection(cache))) {
            return LM_REFILL_BUDGET;
        }
        if (slot_next_row(slot, k) || slot_next_freed(slot, kind)) {
            continue;
        }
        enum lm_refill r = block_find(cache, kind, effort);
        if (r != LM_REFILL_OK) {
            return r;
        }
    }
}

// ---- Retiring ------------------------------------------------------------------

// Gives back the cells of the stretch that were not handed out.
static void stretch_retire(struct lm_slot *slot, const struct lm_kind *k) {
    size_t left = lm_slot_left(slot);
    if (left == 0) {
        return;
    }
    slot->taken_count -= left;
    uintptr_t next = lm_slot_next(slot);
    if (next - slot->block_start < LM_BLOCK_BYTES) {
        size_t first = (next - slot->block_start) / k->cell_bytes;
        for (size_t i = first; i < first + left; i++) {
            slot->word[i / 64] |= (uint64_t)1 << (i % 64);
        }
        return;
    }
    // Cells that were freed by hand, in one word of another block.
    struct lm_object object = {0};
    uint64_t word[LM_CELL_WORDS] = {0};
    lm_find_cell(next, &object);
    word[object.cell / 64] = lm_bits_low((unsigned)left) << (object.cell % 64);
    lm_sweep_untake(object.block, word);
}

// Returns the bytes that were charged to the budget and not used.
static size_t slot_retire(struct lm_slot *slot, struct lm_kind *k) {
    size_t unused = 0;
    stretch_retire(slot, k);
    if (slot->block) {
        lm_sweep_untake(slot->block, slot->word);
        for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
            unused += lm_bits_count(slot->word[i]);
        }
    }
    __atomic_fetch_add(&k->allocated_count, slot->taken_count,
                       __ATOMIC_RELAXED);
    __atomic_fetch_add(&k->allocated_bytes, slot->taken_count * k->cell_bytes,
                       __ATOMIC_RELAXED);
    memset(slot, 0, sizeof *slot);
    return unused * k->cell_bytes;
}

static void cache_retire(struct lm_cache *cache) {
    for (uint32_t i = 0; i < cache->active_count; i++) {
        uint32_t kind = cache->active[i];
        lm_budget_refund(slot_retire(&cache->slots[kind], &lm_kinds[kind]));
    }
    cache->active_count = 0;
    for (enum lm_zone zone = LM_ZONE_SCANNED; zone < LM_ZONES; zone++) {
        struct lm_stash *stash = &cache->stash[zone];
        if (stash->count) {
            lm_run_give(stash->first, stash->count, zone);
            stash->count = 0;
        }
    }
}

void lm_cache_retire_all(void) {
    for (struct lm_cache *c = cache_table.all; c; c = c->next) {
        cache_retire(c);
    }
}

// ---- Figures -------------------------------------------------------------------

uint64_t lm_cache_freed_bytes(void) {
    uint64_t bytes = 0;
    lm_lock_acquire(&cache_table.lock);
    for (struct lm_cache *c = cache_table.all; c; c = c->next) {
        bytes += __atomic_load_n(&c->freed_bytes, __ATOMIC_RELAXED);
    }
    lm_lock_release(&cache_table.lock);
    return bytes;
}

LM_NO_SANITIZE void lm_cache_allocated(uint64_t counts[LM_KIND_MAX]) {
    lm_lock_acquire(&cache_table.lock);
    for (struct lm_cache *c = cache_table.all; c; c = c->next) {
        uint32_t active = c->active_count;
        for (uint32_t i = 0; i < active; i++) {
            uint32_t kind = c->active[i];
            const struct lm_slot *slot = &c->slots[kind];
            uint64_t left = lm_slot_left(slot);
            uint64_t taken = slot->taken_count;
            counts[kind] += taken > left ? taken - left : 0;
        }
    }
    lm_lock_release(&cache_table.lock);
}

// ---- End and fork ----------------------------------------------------------

void lm_cache_fini(void) {
    while (cache_table.all) {
        struct lm_cache *cache = cache_table.all;
        cache_table.all = cache->next;
        lm_memory_release(cache->seats,
                          cache->seat_room * sizeof *cache->seats);
        lm_memory_release(cache, CACHE_BYTES);
    }
    memset(&cache_table, 0, sizeof cache_table);
}

void lm_cache_fork_prepare(void) {
    lm_lock_acquire(&cache_table.lock);
}

void lm_cache_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&cache_table.lock);
    } else {
        lm_lock_release(&cache_table.lock);
    }
}
