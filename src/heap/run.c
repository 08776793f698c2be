// SPDX-License-Identifier: MIT
// run.c: first fit over a bitmap of blocks.
//
//   run.1  A free bit is set only below the end of the part ever used.
//   run.2  For n <= RUN_HINTS, no run of n free blocks starts below the word
//          run_pool.hint[n]; so a search for n blocks begins there.
//   run.3  A clean bit is set only for a free block that reads as zeroes.
//   run.4  A block is given back once: the first of what is given is not free.

#include "heap/run.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/settings.h"
#include "heap/space.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/track.h"

#include <string.h>

// Lengths with a hint of their own; longer runs start at the last one's.
#define RUN_HINTS 64

// From this much heap on, fresh memory is asked for in huge pages: a first
// touch costs half as much, and less than a huge page in 16 is wasted.
#define RUN_HUGE_FROM_BYTES ((size_t)32 << 20)

// How long a huge page takes to clear: what is slow, and what is taken for granted as
// long as nobody knows. See run_may_be_huge.
#define RUN_SLOW_NS 250000u
#define RUN_UNKNOWN_NS 400000u

// What is taken of a region, by zone; a region with neither may become either.
// Both are there when there was no room to keep them apart.
struct region {
    uint16_t used[LM_ZONES]; // blocks; atomic for readers
};

static struct {
    struct lm_lock lock; // guards all below
    uint64_t *free;      // a bit a block
    uint64_t *clean;
    size_t table_bytes; // of each
    uint32_t hint[LM_ZONES][RUN_HINTS + 1];
    struct region *region; // by block >> LM_REGION_SHIFT
    size_t region_bytes;
    bool has_huge_pages;
    size_t used; // atomic for readers, as all below
    size_t used_peak;
    size_t clean_count;    // free and clean blocks below the end
    size_t returned_bytes; // in all
    size_t warm_bytes;     // of the range, touched by lm_run_warm
    uint64_t warm_ns;      // that took for a huge page, at most, of late
    void (*on_cold)(void);
    size_t ceiling; // blocks, 0: none; atomic
} run_pool;

// Whether this thread may pass the maximum a little.
static __thread bool run_has_spare __attribute__((tls_model("initial-exec")));

void lm_run_let_spare(bool is_let) {
    run_has_spare = is_let;
}

bool lm_run_init(void) {
    memset(&run_pool, 0, sizeof run_pool);
    size_t bytes = lm_round_up(lm_space_block_count() / 8 + 8, 4096);
    size_t regions = (lm_space_block_count() >> LM_REGION_SHIFT) + 1;
    run_pool.region_bytes = regions * sizeof *run_pool.region;
    run_pool.free = lm_memory_map(2 * bytes + run_pool.region_bytes);
    if (run_pool.free == NULL) {
        return false;
    }
    run_pool.region = (struct region *)((char *)run_pool.free + 2 * bytes);
    run_pool.clean = run_pool.free + bytes / 8;
    run_pool.table_bytes = bytes;
    run_pool.has_huge_pages =
        lm_settings.huge_pages != LM_OFF && lm_memory_has_huge_pages();
    run_pool.warm_ns = RUN_UNKNOWN_NS;
    // Block 0 is never used, so that its number can mean "none".
    return lm_space_grow(1, false);
}

void lm_run_fini(void) {
    lm_memory_release(run_pool.free,
                      2 * run_pool.table_bytes + run_pool.region_bytes);
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

#define REGION_BLOCKS ((size_t)1 << LM_REGION_SHIFT)

// The first block at or after `from`, and before `end`, that lies in a region of
// the other zone; `end` when none does.
static size_t region_stranger(size_t from, size_t end, enum lm_zone zone) {
    while (from < end) {
        if (run_pool.region[from >> LM_REGION_SHIFT].used[1 - zone]) {
            return from;
        }
        from = (from | (REGION_BLOCKS - 1)) + 1;
    }
    return end;
}

static size_t run_hint(size_t count, enum lm_zone zone) {
    return run_pool.hint[zone][count < RUN_HINTS ? count : RUN_HINTS];
}

// The lowest run of `count` blocks at a multiple of align, in regions of the
// zone; 0 when none.
static size_t run_search(size_t count, size_t align, enum lm_zone zone) {
    size_t end = lm_space_used_blocks();
    size_t at = run_next_free(run_hint(count, zone) * 64);
    uint32_t *hint =
        align == 1 && count <= RUN_HINTS ? &run_pool.hint[zone][count] : NULL;
    while (at < end) {
        size_t start = lm_round_up(at, align);
        size_t length = run_length(at, start - at + count);
        size_t stranger = region_stranger(at, at + length, zone);
        if (stranger < at + length) {
            at = run_next_free((stranger | (REGION_BLOCKS - 1)) + 1);
        } else if (length >= start - at + count) {
            if (hint) {
                // Every run of this length below has been passed over. (run.2)
                *hint = (uint32_t)(at / 64);
            }
            return start;
        } else {
            at = run_next_free(at + length + 1);
        }
    }
    if (hint) {
        // None at all: only what is given from now on can make one.
        size_t back = count / 64 + 1;
        size_t word = end / 64;
        *hint = (uint32_t)(word > back ? word - back : 0);
    }
    return 0;
}

// The same where there is no room to keep the zones apart.
static size_t run_search_anywhere(size_t count, size_t align) {
    size_t end = lm_space_used_blocks();
    size_t at = run_next_free(1);
    while (at < end) {
        size_t start = lm_round_up(at, align);
        size_t length = run_length(at, start - at + count);
        if (length >= start - at + count) {
            return start;
        }
        at = run_next_free(at + length + 1);
    }
    return 0;
}

// Room made at a block may lengthen a run that starts before it. (run.2)
static void run_lower_hints(size_t block) {
    uint32_t word = (uint32_t)(block / 64);
    word = word > 2 ? word - 2 : 0;
    for (unsigned n = 0; n < LM_ZONES * (RUN_HINTS + 1); n++) {
        uint32_t *hint =
            &run_pool.hint[n / (RUN_HINTS + 1)][n % (RUN_HINTS + 1)];
        *hint = *hint < word ? *hint : word;
    }
    // The last hint serves every longer run as well, which may start anywhere
    // before.
    size_t back = block;
    while (back > 64 && run_pool.free[(back - 1) / 64] == ~(uint64_t)0) {
        back -= 64;
    }
    word = (uint32_t)(back / 64);
    word = word > 2 ? word - 2 : 0;
    for (unsigned zone = 0; zone < LM_ZONES; zone++) {
        uint32_t *hint = &run_pool.hint[zone][RUN_HINTS];
        *hint = *hint < word ? *hint : word;
    }
}

static bool run_wants_huge(void) {
    if (lm_settings.huge_pages == LM_ON) {
        return run_pool.has_huge_pages;
    }
    return run_pool.has_huge_pages && lm_space.bytes >= RUN_HUGE_FROM_BYTES;
}

// Whether the program's own first touch may be of a huge page: it does not stop for
// a collection meanwhile. Where clearing one takes a good part of a pause (on virtual
// machines whose host has to find the memory first, 1 to 5 ms) the heap gets huge
// pages only where the collector has touched them in time, and small ones elsewhere.
// So it is until eight in a row have been quick: that host has a few at hand.
static bool run_may_be_huge(void) {
    if (lm_settings.huge_pages == LM_ON) {
        return run_wants_huge();
    }
    return run_wants_huge() && run_pool.warm_ns < RUN_SLOW_NS;
}

// How far ahead of the used part memory is touched: a sixteenth of it.
#define RUN_AHEAD_SHIFT 4
#define RUN_AHEAD_MAX_BYTES ((size_t)32 << 20)

static size_t run_ahead_bytes(void) {
    size_t ahead = lm_space.bytes >> RUN_AHEAD_SHIFT;
    ahead = ahead < RUN_AHEAD_MAX_BYTES ? ahead : RUN_AHEAD_MAX_BYTES;
    return lm_round_up(ahead, LM_COMMIT_BYTES);
}

// A huge page takes the system milliseconds at the first touch, in which a
// thread does not stop for a collection either: so it should not be the
// program's.
static void run_look_ahead(void) {
    if (run_pool.on_cold && run_wants_huge() &&
        run_pool.warm_bytes < lm_space.bytes + run_ahead_bytes() / 2) {
        run_pool.on_cold();
    }
}

void lm_run_listen(void (*on_cold)(void)) {
    run_pool.on_cold = on_cold;
}

// The end of what is to be touched, or 0.
static size_t run_warm_end(size_t *from) {
    size_t end = lm_round_up(lm_space.bytes, LM_COMMIT_BYTES);
    size_t ahead = run_ahead_bytes();
    size_t to = lm_round_up(end + ahead, LM_COMMIT_BYTES);
    size_t max = __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    size_t ceiling = __atomic_load_n(&run_pool.ceiling, __ATOMIC_RELAXED)
                     << LM_BLOCK_SHIFT;
    max = ceiling && (ceiling < max || max == 0) ? ceiling : max;
    // Free blocks inside come first.
    size_t free = (end >> LM_BLOCK_SHIFT) - run_pool.used;
    if (!run_wants_huge() || free << LM_BLOCK_SHIFT > ahead ||
        to > lm_space.reserved_bytes || (max && to > max) ||
        !lm_space_ready(to, false)) {
        return 0;
    }
    *from = run_pool.warm_bytes > end ? run_pool.warm_bytes : end;
    return to;
}

// The host of a virtual machine has some pages at hand and not others: the slowest of
// late counts, and is forgotten slowly.
static void run_time(uint64_t ns) {
    uint64_t late = run_pool.warm_ns - run_pool.warm_ns / 16;
    run_pool.warm_ns = ns > late ? ns : late;
}

void lm_run_warm(void (*before_each)(void)) {
    size_t from = 0;
    lm_lock_acquire(&run_pool.lock);
    // Not again as the heap grows: a program that is faster would be followed
    // for ever.
    size_t to = run_warm_end(&from);
    lm_lock_release(&run_pool.lock);
    for (; from < to; from += LM_COMMIT_BYTES) {
        before_each();
        uint64_t began = lm_clock_ns();
        lm_memory_populate((void *)(lm_space.base + from), // NOLINT
                           LM_COMMIT_BYTES);
        uint64_t ns = lm_clock_ns() - began;
        lm_lock_acquire(&run_pool.lock);
        // What the program has been in meanwhile tells nothing.
        if (from >= lm_space.bytes) {
            run_time(ns);
        }
        if (run_pool.warm_bytes < from + LM_COMMIT_BYTES) {
            run_pool.warm_bytes = from + LM_COMMIT_BYTES;
        }
        lm_lock_release(&run_pool.lock);
    }
}

// Grows the used part so that it ends with a run of `count` blocks.
static size_t run_grow(size_t count, size_t align, enum lm_zone zone) {
    size_t end = lm_space_used_blocks();
    size_t start = end;
    while (start > 1 && end - start < count &&
           run_bit(run_pool.free, start - 1)) {
        start--;
    }
    // Nothing beyond the end belongs to a zone.
    while (region_stranger(start, end + 1, zone) <= end) {
        start =
            (region_stranger(start, end + 1, zone) | (REGION_BLOCKS - 1)) + 1;
    }
    start = lm_round_up(start, align);
    if (start > lm_space_block_count() ||
        count > lm_space_block_count() - start) {
        return 0;
    }
    size_t new_end = start + count;
    if (new_end > end) {
        if (!lm_space_grow(new_end, run_may_be_huge())) {
            return 0;
        }
        run_fill(run_pool.free, end, new_end - end, true);
        run_pool.clean_count +=
            run_fill(run_pool.clean, end, new_end - end, true);
        if (start > end) {
            run_lower_hints(end);
        }
        run_look_ahead();
    }
    return start;
}

// ---- The maximum ---------------------------------------------------------------

// The part of the maximum that is kept back.
#define RUN_KEPT_PART 32

static size_t run_kept(size_t max) {
    return max / RUN_KEPT_PART;
}

size_t lm_run_kept_bytes(void) {
    return run_kept(__atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED));
}

static bool run_passes_limit(size_t count, bool may_take_last) {
    size_t max = __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    if (max && run_has_spare) {
        max += __atomic_load_n(&lm_settings.oom_spare, __ATOMIC_RELAXED);
    } else if (!may_take_last) {
        max -= run_kept(max);
    }
    return max && (run_pool.used + count) << LM_BLOCK_SHIFT > max;
}

// ---- The soft limit -----------------------------------------------------------

void lm_run_set_ceiling(size_t bytes) {
    size_t blocks = bytes >> LM_BLOCK_SHIFT;
    __atomic_store_n(&run_pool.ceiling, bytes && !blocks ? 1 : blocks,
                     __ATOMIC_RELAXED);
}

bool lm_run_is_high(size_t count) {
    size_t ceiling = __atomic_load_n(&run_pool.ceiling, __ATOMIC_RELAXED);
    return ceiling && lm_run_used() + count > ceiling;
}

static size_t run_committed(void) {
    return lm_space_used_blocks() - run_pool.clean_count;
}

// Gives back the memory of the free blocks of one word of the bitmaps; returns
// how many.
static size_t run_discard_word(size_t word) {
    uint64_t dirty = run_pool.free[word] & ~run_pool.clean[word];
    size_t done = 0;
    while (dirty) {
        unsigned first = lm_bits_first(dirty);
        uint64_t rest = ~(dirty >> first);
        unsigned count = rest ? lm_bits_first(rest) : 64;
        count = count < 64 - first ? count : 64 - first;
        size_t block = word * 64 + first;
        dirty &= ~(lm_bits_low(count) << first);
        if (lm_memory_discard(lm_space_address(block),
                              (size_t)count << LM_BLOCK_SHIFT)) {
            run_pool.clean_count +=
                run_fill(run_pool.clean, block, count, true);
            lm_space_forget(block, count);
            done += count;
        }
    }
    run_set(&run_pool.returned_bytes,
            run_pool.returned_bytes + (done << LM_BLOCK_SHIFT));
    return done;
}

// At least so many blocks at a time, so that it is done seldom: 2 MiB.
#define RUN_BACK_BLOCKS 256

// What has been obtained passes the ceiling, and not all of it is in use: as
// much goes back, from the top.
static void run_stay_low(void) {
    size_t ceiling = __atomic_load_n(&run_pool.ceiling, __ATOMIC_RELAXED);
    size_t have = run_committed();
    if (ceiling == 0 || have <= ceiling || have == run_pool.used) {
        return;
    }
    size_t wanted = have - ceiling + RUN_BACK_BLOCKS;
    size_t done = 0;
    for (size_t word = lm_space_used_blocks() / 64 + 1;
         word > 0 && done < wanted; word--) {
        done += run_discard_word(word - 1);
    }
}

// Counts blocks in or out of their regions.
static void region_count(size_t block, size_t count, enum lm_zone zone,
                         int sign) {
    while (count > 0) {
        size_t here = REGION_BLOCKS - block % REGION_BLOCKS;
        here = here < count ? here : count;
        uint16_t *used = &run_pool.region[block >> LM_REGION_SHIFT].used[zone];
        __atomic_store_n(used, (uint16_t)(*used + sign * (int)here),
                         __ATOMIC_RELAXED);
        block += here;
        count -= here;
    }
}

bool lm_run_is_leaf_region(size_t block) {
    const struct region *r = &run_pool.region[block >> LM_REGION_SHIFT];
    return __atomic_load_n(&r->used[LM_ZONE_SCANNED], __ATOMIC_RELAXED) == 0;
}

static bool run_mark_used(size_t block, size_t count, enum lm_zone zone) {
    region_count(block, count, zone, 1);
    run_fill(run_pool.free, block, count, false);
    size_t clean = run_fill(run_pool.clean, block, count, false);
    run_pool.clean_count -= clean;
    run_set(&run_pool.used, run_pool.used + count);
    if (run_pool.used > run_pool.used_peak) {
        run_set(&run_pool.used_peak, run_pool.used);
    }
    return clean == count;
}

enum lm_run_result lm_run_take(size_t count, size_t align, enum lm_zone zone,
                               enum lm_run_how how, struct lm_run *run) {
    bool can_grow = how != LM_RUN_USED;
    enum lm_run_result result = LM_RUN_OK;
    lm_lock_acquire(&run_pool.lock);
    if (count > lm_space_block_count()) {
        result = LM_RUN_REFUSED;
    } else if (run_passes_limit(count, how == LM_RUN_LAST)) {
        result = LM_RUN_LIMIT;
    } else {
        run->block = run_search(count, align, zone);
        if (run->block == 0 && can_grow) {
            run->block = run_grow(count, align, zone);
        }
        if (run->block == 0 && can_grow) {
            run->block = run_search_anywhere(count, align);
        }
        if (run->block) {
            run->is_clean = run_mark_used(run->block, count, zone);
            run_stay_low();
        } else {
            result = can_grow ? LM_RUN_REFUSED : LM_RUN_NONE;
        }
    }
    lm_lock_release(&run_pool.lock);
    return result;
}

void lm_run_give(size_t block, size_t count, enum lm_zone zone) {
    if (lm_track_rung() == LM_TRACK_MPROTECT) {
        // It may become leaf memory, which a system call can write to.
        lm_track_disarm((uintptr_t)lm_space_address(block),
                        (uintptr_t)lm_space_address(block + count));
    }
    for (size_t i = 0; i < count; i++) {
        lm_block_store(block + i, (struct lm_block){0});
    }
    lm_lock_acquire(&run_pool.lock);
    LM_CHECK(1, run_length(block, 1) == 0, "run.4 a block is given back once");
    run_fill(run_pool.free, block, count, true);
    region_count(block, count, zone, -1);
    run_set(&run_pool.used, run_pool.used - count);
    // The region may be anybody's now, from its beginning.
    run_lower_hints(block & ~(REGION_BLOCKS - 1));
    lm_lock_release(&run_pool.lock);
}

bool lm_run_extend(size_t block, size_t count, enum lm_zone zone,
                   bool *is_clean) {
    lm_lock_acquire(&run_pool.lock);
    size_t end = lm_space_used_blocks();
    bool ok = !run_passes_limit(count, true) && block <= end;
    if (ok) {
        size_t have = run_length(block, count);
        ok = (have == count ||
              (block + have == end && run_grow(count, 1, zone) == block)) &&
             region_stranger(block, block + count, zone) == block + count;
    }
    if (ok) {
        *is_clean = run_mark_used(block, count, zone);
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
            lm_space_forget(from, count);
        }
        at = run_next_free(at + length);
    }
    size_t used_bytes = lm_round_up(lm_space.bytes, LM_COMMIT_BYTES);
    if (run_pool.warm_bytes > used_bytes) {
        lm_memory_discard((void *)(lm_space.base + used_bytes), // NOLINT
                          run_pool.warm_bytes - used_bytes);
        run_pool.warm_bytes = 0;
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
    size_t blocks = run_committed();
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
