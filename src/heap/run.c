// SPDX-License-Identifier: MIT
// run.c: first fit over a bitmap of blocks.
//
//   run.1  A free bit is set only below the end of the part ever used.
//   run.2  For n <= RUN_HINTS, no run of n free blocks starts below the word
//          run_pool.hint[n]; so a search for n blocks begins there.
//   run.3  A clean bit is set only for a free block that reads as zeroes.

#include "heap/run.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/settings.h"
#include "heap/space.h"
#include "os/lock.h"
#include "os/memory.h"

#include <string.h>

// Lengths with a hint of their own; longer runs start at the last one's.
#define RUN_HINTS 64

// From this much heap on, fresh memory is asked for in huge pages: a first
// touch costs half as much, and less than a huge page in 16 is wasted.
#define RUN_HUGE_FROM_BYTES ((size_t)32 << 20)

static struct {
    struct lm_lock lock; // guards all below
    uint64_t *free;      // a bit a block
    uint64_t *clean;
    size_t table_bytes; // of each
    uint32_t hint[RUN_HINTS + 1];
    bool has_huge_pages;
    size_t used; // atomic for readers, as all below
    size_t used_peak;
    size_t clean_count;    // free and clean blocks below the end
    size_t returned_bytes; // in all
} run_pool;

bool lm_run_init(void) {
    memset(&run_pool, 0, sizeof run_pool);
    size_t bytes = lm_round_up(lm_space_block_count() / 8 + 8, 4096);
    run_pool.free = lm_memory_map(2 * bytes);
    if (run_pool.free == NULL) {
        return false;
    }
    run_pool.clean = run_pool.free + bytes / 8;
    run_pool.table_bytes = bytes;
    run_pool.has_huge_pages =
        lm_settings.huge_pages != LM_OFF && lm_memory_has_huge_pages();
    // Block 0 is never used, so that its number can mean "none".
    return lm_space_grow(1, false);
}

void lm_run_fini(void) {
    lm_memory_release(run_pool.free, 2 * run_pool.table_bytes);
    memset(&run_pool, 0, sizeof run_pool);
}

// The lock is held; lm_run_used and its like read without it.
static void run_set(size_t *figure, size_t value) {
    __atomic_store_n(figure, value, __ATOMIC_RELAXED);
}

static bool run_bit(const uint64_t *map, size_t block) {
    return (map[block / 64] >> (block % 64)) & 1;
}

// Sets or clears the bits of `count` blocks; returns how many changed.
static size_t run_fill(uint64_t *map, size_t block, size_t count, bool value) {
    size_t changed = 0;
    while (count > 0) {
        unsigned at = block % 64;
        unsigned n = count < 64 - at ? (unsigned)count : 64 - at;
        uint64_t mask = lm_bits_low(n) << at;
        uint64_t *word = &map[block / 64];
        uint64_t was = *word & mask;
        changed += value ? n - lm_bits_count(was) : lm_bits_count(was);
        *word = value ? *word | mask : *word & ~mask;
        block += n;
        count -= n;
    }
    return changed;
}

// The length of the free run that starts at a block, up to `enough`.
static size_t run_length(size_t block, size_t enough) {
    size_t end = lm_space_used_blocks();
    size_t length = 0;
    while (length < enough && block + length < end) {
        size_t at = block + length;
        uint64_t word = ~(run_pool.free[at / 64] >> (at % 64));
        unsigned here = word ? lm_bits_first(word) : 64;
        unsigned rest = 64 - at % 64;
        length += here < rest ? here : rest;
        if (here < rest) {
            break;
        }
    }
    return length < enough ? length : enough;
}

// The first free block at or after `from`; the end when there is none.
static size_t run_next_free(size_t from) {
    size_t end = lm_space_used_blocks();
    if (from >= end) {
        return end;
    }
    uint64_t word = run_pool.free[from / 64] >> (from % 64);
    if (word) {
        return from + lm_bits_first(word);
    }
    for (size_t i = from / 64 + 1; i * 64 < end; i++) {
        if (run_pool.free[i]) {
            return i * 64 + lm_bits_first(run_pool.free[i]);
        }
    }
    return end;
}

static size_t run_hint(size_t count) {
    return run_pool.hint[count < RUN_HINTS ? count : RUN_HINTS];
}

// The lowest run of `count` blocks at a multiple of align; 0 when none.
static size_t run_search(size_t count, size_t align) {
    size_t end = lm_space_used_blocks();
    size_t at = run_next_free(run_hint(count) * 64);
    while (at < end) {
        size_t start = lm_round_up(at, align);
        size_t length = run_length(at, start - at + count);
        if (length >= start - at + count) {
            if (align == 1 && count <= RUN_HINTS) {
                // Every run of this length below has been passed over. (run.2)
                run_pool.hint[count] = (uint32_t)(at / 64);
            }
            return start;
        }
        at = run_next_free(at + length + 1);
    }
    if (align == 1 && count <= RUN_HINTS) {
        // None at all: only what is given from now on can make one.
        size_t back = count / 64 + 1;
        size_t word = end / 64;
        run_pool.hint[count] = (uint32_t)(word > back ? word - back : 0);
    }
    return 0;
}

// Room made at a block may lengthen a run that starts before it. (run.2)
static void run_lower_hints(size_t block) {
    uint32_t word = (uint32_t)(block / 64);
    word = word > 2 ? word - 2 : 0;
    for (unsigned n = 0; n <= RUN_HINTS; n++) {
        uint32_t hint = run_pool.hint[n];
        run_pool.hint[n] = hint < word ? hint : word;
    }
    // The last hint serves every longer run as well, which may start anywhere
    // before.
    size_t back = block;
    while (back > 64 && run_pool.free[(back - 1) / 64] == ~(uint64_t)0) {
        back -= 64;
    }
    word = (uint32_t)(back / 64);
    word = word > 2 ? word - 2 : 0;
    if (run_pool.hint[RUN_HINTS] > word) {
        run_pool.hint[RUN_HINTS] = word;
    }
}

static bool run_wants_huge(void) {
    if (lm_settings.huge_pages == LM_ON) {
        return run_pool.has_huge_pages;
    }
    return run_pool.has_huge_pages && lm_space.bytes >= RUN_HUGE_FROM_BYTES;
}

// Grows the used part so that it ends with a run of `count` blocks.
static size_t run_grow(size_t count, size_t align) {
    size_t end = lm_space_used_blocks();
    size_t start = end;
    while (start > 1 && end - start < count &&
           run_bit(run_pool.free, start - 1)) {
        start--;
    }
    start = lm_round_up(start, align);
    if (start > lm_space_block_count() ||
        count > lm_space_block_count() - start) {
        return 0;
    }
    size_t new_end = start + count;
    if (new_end > end) {
        if (!lm_space_grow(new_end, run_wants_huge())) {
            return 0;
        }
        run_fill(run_pool.free, end, new_end - end, true);
        run_pool.clean_count +=
            run_fill(run_pool.clean, end, new_end - end, true);
        if (start > end) {
            run_lower_hints(end);
        }
    }
    return start;
}

static bool run_passes_limit(size_t count) {
    size_t max = __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    return max && (run_pool.used + count) << LM_BLOCK_SHIFT > max;
}

static bool run_mark_used(size_t block, size_t count) {
    run_fill(run_pool.free, block, count, false);
    size_t clean = run_fill(run_pool.clean, block, count, false);
    run_pool.clean_count -= clean;
    run_set(&run_pool.used, run_pool.used + count);
    if (run_pool.used > run_pool.used_peak) {
        run_set(&run_pool.used_peak, run_pool.used);
    }
    return clean == count;
}

enum lm_run_result lm_run_take(size_t count, size_t align, bool can_grow,
                               struct lm_run *run) {
    enum lm_run_result result = LM_RUN_OK;
    lm_lock_acquire(&run_pool.lock);
    if (count > lm_space_block_count()) {
        result = LM_RUN_REFUSED;
    } else if (run_passes_limit(count)) {
        result = LM_RUN_LIMIT;
    } else {
        run->block = run_search(count, align);
        if (run->block == 0 && can_grow) {
            run->block = run_grow(count, align);
        }
        if (run->block) {
            run->is_clean = run_mark_used(run->block, count);
        } else {
            result = can_grow ? LM_RUN_REFUSED : LM_RUN_NONE;
        }
    }
    lm_lock_release(&run_pool.lock);
    return result;
}

void lm_run_give(size_t block, size_t count) {
    for (size_t i = 0; i < count; i++) {
        lm_block_store(block + i, (struct lm_block){0});
    }
    lm_lock_acquire(&run_pool.lock);
    LM_CHECK(1, run_length(block, 1) == 0, "run.4 a block is given back once");
    run_fill(run_pool.free, block, count, true);
    run_set(&run_pool.used, run_pool.used - count);
    run_lower_hints(block);
    lm_lock_release(&run_pool.lock);
}

bool lm_run_extend(size_t block, size_t count, bool *is_clean) {
    lm_lock_acquire(&run_pool.lock);
    size_t end = lm_space_used_blocks();
    bool ok = !run_passes_limit(count) && block <= end;
    if (ok) {
        size_t have = run_length(block, count);
        ok = have == count ||
             (block + have == end && run_grow(count, 1) == block);
    }
    if (ok) {
        *is_clean = run_mark_used(block, count);
    }
    lm_lock_release(&run_pool.lock);
    return ok;
}

size_t lm_run_discard(size_t keep_blocks) {
    size_t bytes = 0;
    lm_lock_acquire(&run_pool.lock);
    size_t end = lm_space_used_blocks();
    size_t dirty_kept = 0;
    for (size_t at = run_next_free(1); at < end;) {
        size_t length = run_length(at, end - at);
        size_t skip = dirty_kept < keep_blocks ? keep_blocks - dirty_kept : 0;
        skip = skip < length ? skip : length;
        dirty_kept += skip;
        size_t from = at + skip;
        size_t count = length - skip;
        if (count > 0 && lm_memory_discard(lm_space_address(from),
                                           count << LM_BLOCK_SHIFT)) {
            size_t made = run_fill(run_pool.clean, from, count, true);
            run_pool.clean_count += made;
            bytes += made << LM_BLOCK_SHIFT;
        }
        at = run_next_free(at + length);
    }
    run_set(&run_pool.returned_bytes, run_pool.returned_bytes + bytes);
    lm_lock_release(&run_pool.lock);
    return bytes;
}

size_t lm_run_used(void) {
    return __atomic_load_n(&run_pool.used, __ATOMIC_RELAXED);
}

size_t lm_run_used_peak(void) {
    return __atomic_load_n(&run_pool.used_peak, __ATOMIC_RELAXED);
}

size_t lm_run_committed_bytes(void) {
    lm_lock_acquire(&run_pool.lock);
    size_t blocks = lm_space_used_blocks() - run_pool.clean_count;
    lm_lock_release(&run_pool.lock);
    return blocks << LM_BLOCK_SHIFT;
}

size_t lm_run_returned_bytes(void) {
    return __atomic_load_n(&run_pool.returned_bytes, __ATOMIC_RELAXED);
}

bool lm_run_is_free(size_t block) {
    return run_bit(run_pool.free, block);
}

void lm_run_fork_prepare(void) {
    lm_lock_acquire(&run_pool.lock);
}

void lm_run_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&run_pool.lock);
    } else {
        lm_lock_release(&run_pool.lock);
    }
}
