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
_Static_assert(offsetof(struct lm_slot, limit) ==
                   offsetof(struct loam_slot_, limit),
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
    // The reserve: blocks [0, filled) are ready, of which handlers have taken
    // the first `used`, atomically.
    uint32_t reserve[LM_HANDLER_BLOCKS];
    uint32_t filled;
    uint32_t used;
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
            cache->slots =
                (struct lm_slot *)((char *)cache + CACHE_BYTES -
                                   CACHE_SLOT_BYTES);
            cache->next = cache_table.all;
            cache_table.all = cache;
        }
    }
    lm_lock_release(&cache_table.lock);
    return cache;
}

void lm_cache_idle(struct lm_cache *cache) {
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
    cache->stash_count = 0;
    lm_cache_idle(cache);
}

// ---- Stretches -----------------------------------------------------------------

static void slot_set(struct lm_slot *slot, const struct lm_kind *k,
                     unsigned first, unsigned count) {
    uintptr_t start = slot->block_start + (size_t)first * k->cell_bytes;
    size_t bytes = (size_t)count * k->cell_bytes;
    if (k->is_zeroed && !slot->is_clean) {
        memset((void *)start, 0, bytes); // NOLINT: an address of the heap
    }
    slot->taken_count += count;
    slot->stretch = start;
    // A handler that interrupts between these sees a stretch that is used up,
    // whose bump lies past a limit of 0.
    slot->limit = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    slot->bump = start;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    slot->limit = start + bytes;
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
        slot_set(slot, k, slot->word_index * 64u + first, count);
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
        slot_set(slot, k, 0, k->cell_count);
        return;
    }
    memcpy(slot->word, cells->word, sizeof slot->word);
    slot->word_index = 0;
    slot_next_row(slot, k);
}

// ---- Freed cells ---------------------------------------------------------------

void lm_cache_free(struct lm_cache *cache, uint32_t kind, uint32_t block,
                   uintptr_t start) {
    struct lm_slot *slot = &cache->slots[kind];
    cache->freed_bytes += lm_kinds[kind].cell_bytes;
    // In a block that is still to be swept the cleared bit is enough, and the
    // cell must have no second owner.
    if (lm_sweep_is_taken(block)) {
        slot_activate(cache, slot, kind);
        *(uintptr_t *)start = slot->freed; // NOLINT: an address of the heap
        slot->freed = start;
        slot->freed_count++;
    }
}

// Takes the newest freed cell, which is the warmest.
static bool slot_next_freed(struct lm_slot *slot, uint32_t kind) {
    uintptr_t start = slot->freed;
    struct lm_object object = {0};
    if (start == 0) {
        return false;
    }
    uintptr_t next = *(uintptr_t *)start; // NOLINT: an address of the heap
    if (next && (!lm_space_has(next) || !lm_find_cell(next, &object) ||
                 object.start != next || object.kind != kind ||
                 lm_find_bit(&object, lm_space.live))) {
        lm_caller_error("an object is not used after loam_free",
                        "remove the loam_free, or run with "
                        "LOAM_TORTURE=collect:1 to come closer to the place",
                        "object %p of type %s was written to after it was freed",
                        (const void *)start, // NOLINT
                        lm_kinds[kind].type->name);
    }
    slot->freed = next;
    slot->freed_count--;
    lm_find_cell(start, &object);
    __atomic_fetch_or(
        &lm_space.bits[object.block].pair[object.cell / 64][lm_space.live],
        (uint64_t)1 << (object.cell % 64), __ATOMIC_RELAXED);
    if (lm_kinds[kind].is_zeroed) {
        memset((void *)start, 0, lm_kinds[kind].cell_bytes); // NOLINT
    }
    slot->taken_count++;
    slot->stretch = start;
    slot->limit = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    slot->bump = start;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    slot->limit = start + lm_kinds[kind].cell_bytes;
    return true;
}

// ---- Blocks ---------------------------------------------------------------------

// A free block for this thread, from its stash or the pool.
static enum lm_run_result stash_take(struct lm_cache *cache, bool can_grow,
                                     uint32_t *block, bool *is_clean) {
    if (cache->stash_count == 0) {
        struct lm_run run;
        size_t count = LM_STASH_BLOCKS;
        enum lm_run_result r = lm_run_take(count, 1, can_grow, &run);
        if (r != LM_RUN_OK) {
            count = 1;
            r = lm_run_take(count, 1, can_grow, &run);
        }
        if (r != LM_RUN_OK) {
            return r;
        }
        cache->stash_first = (uint32_t)run.block;
        cache->stash_count = (uint32_t)count;
        cache->stash_is_clean = run.is_clean;
    }
    *block = cache->stash_first++;
    *is_clean = cache->stash_is_clean;
    cache->stash_count--;
    return LM_RUN_OK;
}

static enum lm_refill block_find(struct lm_cache *cache, uint32_t kind,
                                 bool can_exceed) {
    struct lm_free_cells cells;
    if (!can_exceed && lm_budget_left() == 0) {
        return LM_REFILL_BUDGET;
    }
    if (lm_sweep_take(kind, &cells)) {
        slot_begin_block(cache, kind, &cells);
        return LM_REFILL_OK;
    }
    uint32_t block;
    bool is_clean;
    enum lm_run_result r = stash_take(cache, false, &block, &is_clean);
    if (r != LM_RUN_OK) {
        size_t freed;
        lm_sweep_some(CACHE_SWEEP_BLOCKS, &freed);
        r = freed ? stash_take(cache, false, &block, &is_clean) : r;
    }
    if (r != LM_RUN_OK) {
        r = stash_take(cache, true, &block, &is_clean);
    }
    if (r != LM_RUN_OK) {
        lm_sweep_rest();
        r = stash_take(cache, true, &block, &is_clean);
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
                               bool can_exceed, void **cell) {
    struct lm_slot *slot = &cache->slots[kind];
    const struct lm_kind *k = &lm_kinds[kind];
    for (;;) {
        uintptr_t p = loam_claim_(&slot->bump, k->cell_bytes);
        if (p + k->cell_bytes <= slot->limit) {
            *cell = (void *)p; // NOLINT: an address of the heap
            return LM_REFILL_OK;
        }
        if (!can_exceed && lm_unlikely(cache_wants_collection(cache))) {
            return LM_REFILL_BUDGET;
        }
        if (slot_next_row(slot, k) || slot_next_freed(slot, kind)) {
            continue;
        }
        enum lm_refill r = block_find(cache, kind, can_exceed);
        if (r != LM_REFILL_OK) {
            return r;
        }
    }
}

// ---- Signal handlers -------------------------------------------------------

void *lm_cache_nested(uint32_t kind) {
    const struct lm_kind *k = &lm_kinds[kind];
    uint32_t filled = __atomic_load_n(&cache_table.filled, __ATOMIC_ACQUIRE);
    uint32_t i = __atomic_load_n(&cache_table.used, __ATOMIC_RELAXED);
    do {
        if (i >= filled || k->cell_bytes == 0) {
            return NULL;
        }
    } while (!__atomic_compare_exchange_n(&cache_table.used, &i, i + 1, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    uint32_t block = cache_table.reserve[i];
    char *cell = lm_space_address(block);
    if (k->is_zeroed) {
        memset(cell, 0, k->cell_bytes);
    }
    lm_sweep_format_quietly(kind, block);
    return cell;
}

static void reserve_adopt(void) {
    for (uint32_t i = 0; i < cache_table.used; i++) {
        uint64_t rest[LM_CELL_WORDS];
        uint32_t block = cache_table.reserve[i];
        const struct lm_kind *k = &lm_kinds[lm_block_load(block).kind];
        for (unsigned w = 0; w < LM_CELL_WORDS; w++) {
            rest[w] = lm_bits_valid(k->cell_count, w);
        }
        rest[0] &= ~(uint64_t)1; // the handler's cell
        lm_sweep_untake(block, rest);
        lm_sweep_adopt(block);
    }
    for (uint32_t i = cache_table.used; i < cache_table.filled; i++) {
        cache_table.reserve[i - cache_table.used] = cache_table.reserve[i];
    }
    cache_table.filled -= cache_table.used;
    cache_table.used = 0;
}

void lm_cache_renew(void) {
    lm_lock_acquire(&cache_table.lock);
    uint32_t filled = cache_table.filled;
    struct lm_run run;
    while (filled < LM_HANDLER_BLOCKS &&
           lm_run_take(1, 1, true, &run) == LM_RUN_OK) {
        cache_table.reserve[filled++] = (uint32_t)run.block;
        // Release: a handler that sees the number sees the block.
        __atomic_store_n(&cache_table.filled, filled, __ATOMIC_RELEASE);
    }
    lm_lock_release(&cache_table.lock);
}

// ---- Retiring ------------------------------------------------------------------

static size_t slot_retire(struct lm_slot *slot, struct lm_kind *k) {
    uint64_t count = slot->taken_count;
    size_t unused = 0;
    if (slot->limit) {
        uintptr_t bump = slot->bump < slot->limit ? slot->bump : slot->limit;
        unsigned left = (unsigned)((slot->limit - bump) / k->cell_bytes);
        unsigned first =
            (unsigned)((bump - slot->block_start) / k->cell_bytes);
        // A stretch of a freed cell lies in a block of its own, and is full
        // or empty.
        if (slot->stretch - slot->block_start < LM_BLOCK_BYTES) {
            for (unsigned i = first; i < first + left; i++) {
                slot->word[i / 64] |= (uint64_t)1 << (i % 64);
            }
        } else if (left) {
            struct lm_object object = {0};
            uint64_t word[LM_CELL_WORDS] = {0};
            lm_find_cell(bump, &object);
            word[object.cell / 64] = (uint64_t)1 << (object.cell % 64);
            lm_sweep_untake(object.block, word);
        }
        count -= left;
    }
    if (slot->block) {
        lm_sweep_untake(slot->block, slot->word);
        for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
            unused += lm_bits_count(slot->word[i]);
        }
    }
    __atomic_fetch_add(&k->allocated_count, count, __ATOMIC_RELAXED);
    __atomic_fetch_add(&k->allocated_bytes, count * k->cell_bytes,
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
    if (cache->stash_count) {
        lm_run_give(cache->stash_first, cache->stash_count);
        cache->stash_count = 0;
    }
}

void lm_cache_retire_all(void) {
    for (struct lm_cache *c = cache_table.all; c; c = c->next) {
        cache_retire(c);
    }
    reserve_adopt();
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
            uint32_t cell_bytes = lm_kinds[kind].cell_bytes;
            uintptr_t bump = slot->bump, limit = slot->limit;
            uint64_t left = bump < limit ? (limit - bump) / cell_bytes : 0;
            uint64_t taken = slot->taken_count;
            counts[kind] += taken > left ? taken - left : 0;
        }
    }
    lm_lock_release(&cache_table.lock);
}

// ---- Beginning, end and fork -----------------------------------------------

bool lm_cache_init(void) {
    memset(&cache_table, 0, sizeof cache_table);
    lm_cache_renew();
    return true;
}

void lm_cache_fini(void) {
    while (cache_table.all) {
        struct lm_cache *cache = cache_table.all;
        cache_table.all = cache->next;
        lm_memory_release(cache, CACHE_BYTES);
    }
    memset(&cache_table, 0, sizeof cache_table);
}

void lm_cache_fork_prepare(void) { lm_lock_acquire(&cache_table.lock); }

void lm_cache_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&cache_table.lock);
    } else {
        lm_lock_release(&cache_table.lock);
    }
}
