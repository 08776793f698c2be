// SPDX-License-Identifier: MIT
// sweep.c: lists of blocks, and reading their bitmaps.
//
//   sweep.1  Each block in state CELLS is in exactly one list of its kind, unless
//            it is being evacuated.
//   sweep.2  All cells of a taken block count as allocated, but for those that
//            loam_free has cleared since.
//   sweep.3  A block outside the unswept list has a clear mark side.
//   sweep.4  Outside a collection the bit of a large object is cleared only by
//            who takes it out of its kind's list at the same time, under the
//            kind's lock: so one alone gives its run back.

#include "alloc/sweep.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/run.h"

#include <string.h>

// While this is set no block is swept, since what is dead may be needed; atomic.
static bool sweep_is_held;

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

// Acquire: who sees it cleared sees what was kept meanwhile.
static bool sweep_is_held_now(void) {
    return __atomic_load_n(&sweep_is_held, __ATOMIC_ACQUIRE);
}

void lm_sweep_hold(bool is_held) {
    __atomic_store_n(&sweep_is_held, is_held, __ATOMIC_RELEASE);
}

static unsigned word_count(const struct lm_kind *k) {
    return (k->cell_count + 63u) / 64;
}

// A marker may be setting LM_BLOCK_RESCAN at the same time. Release: whoever
// sees the block taken sees its cells allocated.
static void block_set_taken(uint32_t block, bool is_young) {
    uint8_t *flags = &lm_space.block[block].flags;
    uint8_t taken = (uint8_t)(2 * lm_space.cycle - is_young);
    uint8_t was = __atomic_load_n(flags, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(flags, &was,
                                        (was & LM_BLOCK_RESCAN) | taken, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

bool lm_sweep_is_taken(uint32_t block) {
    unsigned taken = lm_block_load(block).flags & LM_BLOCK_TAKEN;
    return taken && (taken + 1) / 2 == lm_space.cycle;
}

// Reads the free cells off.
static void block_read(const struct lm_kind *k, struct lm_free_cells *cells) {
    const struct lm_bits *bits = &lm_space.bits[cells->block];
    cells->count = 0;
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        cells->word[i] = 0;
    }
    for (unsigned i = 0; i < word_count(k); i++) {
        uint64_t free =
            lm_bits_valid(k->cell_count, i) &
            ~__atomic_load_n(&bits->pair[i][lm_space.live], __ATOMIC_RELAXED);
        cells->word[i] = free;
        cells->count += lm_bits_count(free);
    }
}

// A cell may be met by a marker beside the program before it is handed out.
static void cells_zero(const struct lm_kind *k, struct lm_free_cells *cells) {
    char *start = lm_space_address(cells->block);
    if (!k->is_zeroed || cells->is_clean) {
        return;
    }
    for (unsigned i = 0; i < word_count(k); i++) {
        for (uint64_t rest = cells->word[i]; rest; rest &= rest - 1) {
            size_t cell = i * 64u + lm_bits_first(rest);
            memset(start + cell * k->cell_bytes, 0, k->cell_bytes);
        }
    }
    cells->is_clean = true;
}

// Marks the free cells, where one may have been freed in this marking: see
// lines.1. Acquire: their bits were read before.
static void cells_mark_freed(const struct lm_free_cells *cells) {
    uint64_t(*pair)[2] = lm_space.bits[cells->block].pair;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!__atomic_load_n(&lm_space.has_freed[cells->block], __ATOMIC_RELAXED)) {
        return;
    }
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        __atomic_fetch_or(&pair[i][1 - lm_space.live], cells->word[i],
                          __ATOMIC_RELAXED);
    }
}

// Makes the free cells allocated. The marks: a marking under way goes on; with
// generations they keep which objects are old; else they are cleared. A
// loam_free that comes between the load and the store is lost, and its cell
// found by the next collection. Relaxed: block_set_taken orders them.
static void block_take(const struct lm_kind *k, struct lm_free_cells *cells) {
    uint64_t(*pair)[2] = lm_space.bits[cells->block].pair;
    unsigned live = lm_space.live;
    block_read(k, cells);
    if (lm_space.is_marking) {
        cells_zero(k, cells);
        cells_mark_freed(cells);
    }
    for (unsigned i = 0; i < word_count(k); i++) {
        uint64_t valid = lm_bits_valid(k->cell_count, i);
        uint64_t old = valid & ~cells->word[i];
        if (!lm_space.is_marking) {
            bool is_kept = lm_space.is_sticky && cells->count > 0;
            __atomic_store_n(&pair[i][1 - live], is_kept ? old : 0,
                             __ATOMIC_RELAXED);
        }
        __atomic_store_n(&pair[i][live], valid, __ATOMIC_RELAXED);
    }
    block_set_taken(cells->block, cells->count > 0);
}

// How many cells are allocated.
static unsigned block_count(const struct lm_kind *k, uint32_t block) {
    unsigned count = 0;
    for (unsigned i = 0; i < word_count(k); i++) {
        count += lm_bits_count(__atomic_load_n(
            &lm_space.bits[block].pair[i][lm_space.live], __ATOMIC_RELAXED));
    }
    return count;
}

// Clears the marks of a block that stays in a list, and the number of the cycle
// in which it was last taken, which another cycle may have some day. Returns
// how many cells are allocated.
static unsigned block_clean(const struct lm_kind *k, uint32_t block) {
    struct lm_bits *bits = &lm_space.bits[block];
    unsigned live = lm_space.live;
    unsigned count = block_count(k, block);
    if (lm_space.is_marking) {
        return count; // the marks are of this marking, and so is the flag
    }
    for (unsigned i = 0; i < word_count(k); i++) {
        bits->pair[i][1 - live] = 0;
    }
    __atomic_store_n(&lm_space.block[block].flags, 0, __ATOMIC_RELEASE);
    return count;
}

// With generations a block with few free cells is left alone: each minor collection
// would look at all the old objects of a young block. First those are taken of
// which so many quarters are free, then those with fewer; less than a quarter is
// not worth it.
#define SWEEP_QUARTERS 3

// So many blocks with less are met before there may be none: nobody can stop a
// thread meanwhile.
#define SWEEP_MOST_DENSE 256

static bool kind_is_choosy(const struct lm_kind *k) {
    return lm_space.is_sticky && !k->is_leaf;
}

static bool count_is_sparse(const struct lm_kind *k, unsigned count) {
    unsigned quarters = SWEEP_QUARTERS - k->fewer_quarters;
    return (k->cell_count - count) * 4 >= k->cell_count * quarters;
}

// Puts a block where one belongs that has been swept; *is_freed says whether that
// is the pool. With the kind's lock.
static void block_sort(struct lm_kind *k, uint32_t block, bool *is_freed) {
    unsigned count = block_clean(k, block);
    *is_freed = count == 0;
    if (count == k->cell_count) {
        block_set_taken(block, false);
        list_append(&k->full, block);
    } else if (count > 0 && kind_is_choosy(k)) {
        list_append(count_is_sparse(k, count) ? &k->partial : &k->passed,
                    block);
    } else if (count > 0) {
        list_append(&k->partial, block);
    } else {
        // With the lock, so that a child of fork finds the block somewhere.
        lm_run_give(block, 1, lm_kind_zone(k));
    }
}

// ---- Taking --------------------------------------------------------------------

static bool list_is_sparse(const struct lm_kind *k,
                           const struct lm_block_list *list) {
    return list->first && count_is_sparse(k, block_count(k, list->first));
}

// When there are no more blocks as sparse as wanted, those that were passed over are
// gone through again for less. False when that is not worth it.
static bool kind_want_less(struct lm_kind *k) {
    if (k->fewer_quarters == SWEEP_QUARTERS - 1) {
        return false;
    }
    k->fewer_quarters++;
    list_splice(&k->partial, &k->passed);
    return true;
}

// A block with enough free cells, those of the last minor collection first: they
// are in the cache. Others are swept on the way.
static uint32_t kind_pop_sparse(struct lm_kind *k) {
    bool is_freed;
    for (unsigned i = 0; i < SWEEP_MOST_DENSE && !sweep_is_held_now(); i++) {
        if (list_is_sparse(k, &k->unswept)) {
            return list_pop(&k->unswept);
        }
        if (k->unswept.first) {
            block_sort(k, list_pop(&k->unswept), &is_freed);
        } else if (list_is_sparse(k, &k->partial)) {
            break;
        } else if (k->partial.first) {
            list_append(&k->passed, list_pop(&k->partial));
        } else if (!kind_want_less(k)) {
            break;
        }
    }
    return list_is_sparse(k, &k->partial) ? list_pop(&k->partial) : 0;
}

static uint32_t kind_pop(struct lm_kind *k) {
    uint32_t block = list_pop(&k->partial);
    block = block ? block : list_pop(&k->passed);
    return block || sweep_is_held_now() ? block : list_pop(&k->unswept);
}

bool lm_sweep_take(uint32_t kind, bool is_last, struct lm_free_cells *cells) {
    struct lm_kind *k = &lm_kinds[kind];
    for (;;) {
        lm_lock_acquire(&k->lock);
        uint32_t block =
            kind_is_choosy(k) && !is_last ? kind_pop_sparse(k) : kind_pop(k);
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
    }
    if (lm_space.is_marking) {
        cells_zero(k, cells);
    }
    // With the lock, so that a child of fork finds the block either untouched or in
    // a list.
    lm_lock_acquire(&k->lock);
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        bits->pair[i][lm_space.live] = cells->word[i];
        bits->pair[i][1 - lm_space.live] = 0;
    }
    lm_space.is_fixed[block] = false;
    lm_block_store(block,
                   (struct lm_block){k->scale, (uint16_t)kind, LM_BLOCK_CELLS,
                                     (uint8_t)(2 * lm_space.cycle - 1)});
    list_append(&k->taken, block);
    lm_lock_release(&k->lock);
}

void lm_sweep_untake(uint32_t block, const uint64_t word[LM_CELL_WORDS]) {
    struct lm_bits *bits = &lm_space.bits[block];
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        if (word[i]) {
            __atomic_fetch_and(&bits->pair[i][0], ~word[i], __ATOMIC_RELAXED);
            __atomic_fetch_and(&bits->pair[i][1], ~word[i], __ATOMIC_RELAXED);
        }
    }
}

// ---- Sweeping on behalf of others ------------------------------------------

// Sweeps the kind's next unswept block; *is_freed says whether it went to the
// pool. False when there is none.
static bool kind_sweep_one(struct lm_kind *k, bool *is_freed) {
    lm_lock_acquire(&k->lock);
    uint32_t block = sweep_is_held_now() ? 0 : list_pop(&k->unswept);
    if (block == 0) {
        lm_lock_release(&k->lock);
        return false;
    }
    block_sort(k, block, is_freed);
    lm_lock_release(&k->lock);
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

size_t lm_sweep_dead_blocks(void) {
    size_t count = 0;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes == 0) {
            continue;
        }
        lm_lock_acquire(&k->lock);
        for (uint32_t b = k->unswept.first; b; b = lm_space.next[b]) {
            count += !lm_space_has_bits(b, lm_space.live);
        }
        lm_lock_release(&k->lock);
    }
    return count;
}

// ---- Around a collection -----------------------------------------------------

static void list_clean(const struct lm_kind *k,
                       const struct lm_block_list *list) {
    for (uint32_t b = list->first; b; b = lm_space.next[b]) {
        block_clean(k, b);
    }
}

void lm_sweep_prepare(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes) {
            list_clean(k, &k->unswept);
        }
        if (k->cell_bytes && lm_space.is_sticky) {
            // Which objects are old is of no interest to a collection of all.
            list_clean(k, &k->taken);
        }
    }
}

// Blocks whose marks are cleared in a row while the kind's lock is held.
#define SWEEP_AGES 256

void lm_sweep_forget_ages(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        lm_lock_acquire(&k->lock);
        uint32_t b = k->cell_bytes ? k->taken.first : 0;
        for (size_t i = 1; b; i++) {
            for (unsigned word = 0; word < word_count(k); word++) {
                __atomic_store_n(
                    &lm_space.bits[b].pair[word][1 - lm_space.live], 0,
                    __ATOMIC_RELAXED);
            }
            if (i % SWEEP_AGES == 0) {
                // Blocks are only ever added, and at the end.
                lm_lock_release(&k->lock);
                lm_lock_acquire(&k->lock);
            }
            b = lm_space.next[b];
        }
        list_splice(&k->partial, &k->passed); // nobody is choosy any more
        lm_lock_release(&k->lock);
    }
}

void lm_sweep_forget_freed(void) {
    memset(lm_space.has_freed, 0, lm_space_used_blocks());
}

void lm_sweep_begin(void) {
    lm_space.live = 1 - lm_space.live;
    lm_space.cycle = lm_space.cycle % LM_CYCLE_MAX + 1;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes) {
            k->fewer_quarters = 0;
            list_splice(&k->unswept, &k->partial);
            list_splice(&k->unswept, &k->passed);
            list_splice(&k->unswept, &k->taken);
            list_splice(&k->unswept, &k->full);
        }
    }
}

// ---- Around a minor collection --------------------------------------------------

// What is marked is what is alive, and old from now on.
static void block_promote(const struct lm_kind *k, uint32_t block) {
    uint64_t(*pair)[2] = lm_space.bits[block].pair;
    unsigned live = lm_space.live;
    unsigned words = k->cell_bytes ? word_count(k) : 1;
    for (unsigned i = 0; i < words; i++) {
        pair[i][live] = pair[i][1 - live];
        pair[i][1 - live] = 0;
    }
    lm_space.block[block].flags = 0;
}

// Blocks with young objects go where the next cells are taken first: they are
// in the cache.
static void kind_promote(struct lm_kind *k, void (*on_settled)(uint32_t)) {
    struct lm_block_list young = {0, 0};
    uint32_t block;
    while ((block = list_pop(&k->taken)) != 0) {
        if (!lm_block_is_young(lm_space.block[block])) {
            list_append(&k->full, block);
            continue;
        }
        block_promote(k, block);
        unsigned count = block_count(k, block);
        if (k->is_leaf || count_is_sparse(k, count)) {
            list_append(&young, block);
        } else {
            list_append(count < k->cell_count ? &k->passed : &k->full, block);
            on_settled(block);
        }
    }
    list_splice(&young, &k->unswept);
    k->unswept = young;
}

// Runs of young large objects that died, linked by lm_space.next.
static uint32_t sweep_dead_runs;

static void large_unlink(struct lm_kind *k, uint32_t block);

// The young ones are the first of the list.
static void large_promote(struct lm_kind *k) {
    uint32_t b = k->taken.first;
    while (b && lm_block_is_young(lm_space.block[b])) {
        uint32_t next = lm_space.next[b];
        block_promote(k, b);
        if (lm_space.bits[b].pair[0][lm_space.live]) {
            k->live_bytes += lm_space.large_bytes[b];
        } else {
            large_unlink(k, b);
            lm_space.next[b] = sweep_dead_runs;
            sweep_dead_runs = b;
        }
        b = next;
    }
}

void lm_sweep_begin_minor(void (*on_settled)(uint32_t block)) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes) {
            kind_promote(k, on_settled);
        } else {
            large_promote(k);
        }
    }
}

void lm_sweep_dead_runs(void) {
    while (sweep_dead_runs) {
        uint32_t b = sweep_dead_runs;
        sweep_dead_runs = lm_space.next[b];
        lm_run_give(b, lm_find_run_blocks(lm_space.large_bytes[b]),
                    lm_kind_zone(&lm_kinds[lm_block_load(b).kind]));
    }
}

void lm_sweep_each_young(void (*fn)(void *, uint32_t block), void *argument) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        const struct lm_kind *k = &lm_kinds[kind];
        uint32_t b = k->is_leaf || k->cell_bytes == 0 ? 0 : k->taken.first;
        for (; b; b = lm_space.next[b]) {
            if (lm_block_is_young(lm_space.block[b])) {
                fn(argument, b);
            }
        }
    }
}

void lm_sweep_forget_marks(void) {
    size_t end = lm_space_used_blocks();
    for (size_t b = 1; b < end; b++) {
        for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
            lm_space.bits[b].pair[i][1 - lm_space.live] = 0;
        }
    }
}

// ---- Evacuation ----------------------------------------------------------------

uint32_t lm_sweep_detach(uint32_t kind) {
    struct lm_kind *k = &lm_kinds[kind];
    lm_lock_acquire(&k->lock);
    uint32_t first = k->partial.first;
    k->partial = (struct lm_block_list){0, 0};
    lm_lock_release(&k->lock);
    return first;
}

uint32_t lm_sweep_detach_one(uint32_t kind) {
    struct lm_kind *k = &lm_kinds[kind];
    lm_lock_acquire(&k->lock);
    uint32_t block = list_pop(&k->partial);
    lm_lock_release(&k->lock);
    return block;
}

void lm_sweep_free_cells(uint32_t block, struct lm_free_cells *cells) {
    cells->block = block;
    cells->is_clean = false;
    block_read(&lm_kinds[lm_block_load(block).kind], cells);
}

void lm_sweep_attach(uint32_t kind, uint32_t block, bool is_first) {
    struct lm_kind *k = &lm_kinds[kind];
    struct lm_block_list one = {0, 0};
    struct lm_free_cells cells;
    lm_sweep_free_cells(block, &cells);
    lm_lock_acquire(&k->lock);
    list_append(&one, block);
    if (cells.count == 0) {
        block_set_taken(block, false);
        list_splice(&k->full, &one);
    } else if (is_first) {
        list_splice(&one, &k->partial);
        k->partial = one;
    } else {
        list_splice(&k->partial, &one);
    }
    lm_lock_release(&k->lock);
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

// Clearing the bit before taking the lock looks the same: then kind_sweep_large
// could see a dead object in the list, and give its run back too. (sweep.4)
bool lm_sweep_remove_large(uint32_t kind, uint32_t block) {
    struct lm_kind *k = &lm_kinds[kind];
    lm_lock_acquire(&k->lock);
    uint64_t *live = &lm_space.bits[block].pair[0][lm_space.live];
    bool is_there = __atomic_exchange_n(live, 0, __ATOMIC_RELAXED) != 0;
    if (is_there && lm_space.is_marking) {
        // A marker may be in the middle of it: its run waits for the sweep.
        __atomic_store_n(&lm_space.bits[block].pair[0][1 - lm_space.live], 0,
                         __ATOMIC_RELAXED);
    } else if (is_there) {
        large_unlink(k, block);
    }
    lm_lock_release(&k->lock);
    return is_there;
}

static void kind_sweep_large(struct lm_kind *k) {
    lm_lock_acquire(&k->lock);
    for (uint32_t b = k->taken.first; b;) {
        uint32_t next = lm_space.next[b];
        struct lm_bits *bits = &lm_space.bits[b];
        bits->pair[0][1 - lm_space.live] = 0;
        if (!lm_block_is_young(lm_space.block[b])) {
            lm_space.block[b].flags = 0;
        }
        if (__atomic_load_n(&bits->pair[0][lm_space.live], __ATOMIC_RELAXED) ==
            0) {
            large_unlink(k, b);
            lm_run_give(b, lm_find_run_blocks(lm_space.large_bytes[b]),
                        lm_kind_zone(k));
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
