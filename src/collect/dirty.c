// SPDX-License-Identifier: MIT
// dirty.c: from written pages to the blocks on them.
//
//   dirty.1  An old object that was written since it was visited last is on a
//            page that counts as written.

#include "collect/dirty.h"

#include "alloc/sweep.h"
#include "base/config.h"
#include "heap/kind.h"
#include "heap/run.h"
#include "heap/space.h"
#include "mark/rescan.h"
#include "os/clock.h"
#include "os/memory.h"
#include "os/track.h"

bool lm_dirty_open(void) {
    return lm_track_open(lm_space.base, lm_space.reserved_bytes);
}

bool lm_dirty_may_open(void) {
    return lm_settings.track != LM_TRACK_NONE &&
           lm_track_rung() != LM_TRACK_NONE;
}

// ---- Rows of pages worth a look -------------------------------------------------

enum wish { WISH_ALL, WISH_OLD };

// Whether a block may hold pointers that are of interest. Where nothing is alive
// there is nothing old.
static bool block_is_wanted(size_t block, enum wish wish) {
    struct lm_block entry = lm_block_head(&block);
    return entry.state != LM_BLOCK_FREE && !lm_kinds[entry.kind].is_leaf &&
           (wish == WISH_ALL || (!lm_block_is_young(entry) &&
                                 lm_space_has_bits(block, lm_space.live)));
}

// On the barrier's rung nobody tells of stores into objects whose type is not
// barriered: they count as written, always.
static bool block_is_told(size_t block) {
    if (lm_track_rung() != LM_TRACK_BARRIER) {
        return true;
    }
    const struct loam_type *type = lm_kinds[lm_block_load(block).kind].type;
    return type && type->is_barriered;
}

struct row_walk {
    enum wish wish;
    bool is_wide; // rows of regions, where the system tells what was written
    bool is_told; // the row at hand
    void (*fn)(struct row_walk *walk, uintptr_t start, uintptr_t end);
    struct loam_marker *marker;
    lm_dirty_fn *each; // and what it is called with
    void *argument;
    size_t block;         // where it is
    uint64_t deadline_ns; // 0: none
    size_t most;          // pages that are enough; 0: none are
    size_t step;          // pages to arm at a time; 0: none
    size_t arms;          // that may still be done
    size_t pages;
    size_t old_pages; // as lm_dirty_visit_all counts them
};

// Pages that are armed at a time. A huge page that was written as a whole should
// fit, or it is split; what is looked at in a stop should fit into that.
#define DIRTY_STEP_PAGES 1024
#define DIRTY_EACH_PAGES 128

// Rows are not longer than this, so that a walk can be left in time, and so few
// blocks without pointers in between do not end them.
#define DIRTY_ROW_BLOCKS 512
#define DIRTY_GAP_BLOCKS 16

// Where few pages are expected the rows are of regions, and the pages that were
// written are looked at, not all blocks.
#define DIRTY_WIDE_BLOCKS 16384

// Where faults tell of stores no memory without pointers may be armed: system
// calls could not write to it.
static size_t row_gap(void) {
    return lm_track_rung() == LM_TRACK_KERNEL ? DIRTY_GAP_BLOCKS : 1;
}

static size_t region_end(size_t block) {
    return (block | (((size_t)1 << LM_REGION_SHIFT) - 1)) + 1;
}

// A row of regions that are not of leaves.
static size_t row_find_wide(struct row_walk *walk, size_t *last) {
    size_t end = lm_space_used_blocks();
    size_t first = walk->block;
    while (first < end && lm_run_is_leaf_region(first)) {
        first = region_end(first);
    }
    *last = first;
    while (*last < end && *last - first < DIRTY_WIDE_BLOCKS &&
           !lm_run_is_leaf_region(*last)) {
        *last = region_end(*last);
    }
    *last = *last < end ? *last : end;
    walk->is_told = true;
    return first < end ? first : end;
}

// The row of blocks worth a look at or after walk->block, up to *last.
static size_t row_find(struct row_walk *walk, size_t *last) {
    size_t gap = row_gap();
    size_t end = lm_space_used_blocks();
    size_t first = walk->block;
    if (walk->is_wide && lm_track_rung() == LM_TRACK_KERNEL) {
        return row_find_wide(walk, last);
    }
    while (first < end && !block_is_wanted(first, walk->wish)) {
        first = lm_run_is_leaf_region(first) ? region_end(first) : first + 1;
    }
    first = first < end ? first : end;
    *last = first;
    walk->is_told = first < end && block_is_told(first);
    for (size_t b = first;
         b < end && b - first < DIRTY_ROW_BLOCKS && b - *last < gap; b++) {
        if (!block_is_wanted(b, walk->wish)) {
            continue;
        }
        if (block_is_told(b) != walk->is_told) {
            break;
        }
        *last = b + 1;
    }
    return first;
}

static bool walk_is_late(const struct row_walk *walk) {
    return (walk->most && walk->pages >= walk->most) ||
           (walk->deadline_ns && lm_clock_ns() > walk->deadline_ns);
}

static void walk_give(struct row_walk *walk, uintptr_t start, uintptr_t end) {
    walk->pages += (end - start) >> LM_PAGE_SHIFT;
    walk->fn(walk, start, end);
}

// Written pages, of which those of young blocks are of no interest where only old
// ones are.
static void walk_sort(struct row_walk *walk, uintptr_t start, uintptr_t end) {
    if (walk->wish == WISH_ALL) {
        walk_give(walk, start, end);
        return;
    }
    uintptr_t from = start; // of the old ones not yet given
    for (uintptr_t at = start; at < end;) {
        size_t block = lm_space_block_of(at);
        uintptr_t next = (uintptr_t)lm_space_address(block + 1);
        bool is_wanted = block_is_wanted(block, WISH_OLD);
        if (!is_wanted && from < at) {
            walk_give(walk, from, at);
        }
        from = is_wanted ? from : next;
        at = next;
    }
    if (from < end) {
        walk_give(walk, from, end);
    }
}

// False when the time was up; then walk->block is where to go on.
static bool walk_row(struct row_walk *walk, size_t first, size_t last) {
    struct lm_track_scan scan;
    uintptr_t from = (uintptr_t)lm_space_address(first);
    uintptr_t to = (uintptr_t)lm_space_address(last);
    walk->block = last;
    if (!walk->is_told) {
        walk_sort(walk, from, to);
        return true;
    }
    lm_track_scan_begin(&scan, from, to, walk->step);
    while (lm_track_scan_next(&scan, &from, &to)) {
        walk_sort(walk, from, to);
        // Of all that has been armed the rows must be told first.
        if (scan.next == scan.count && scan.at < scan.end &&
            walk_is_late(walk)) {
            walk->block = lm_space_block_of(scan.at);
            return false;
        }
    }
    return true;
}

// Looks for written pages from walk->block on; false as in walk_row.
static bool walk_written(struct row_walk *walk) {
    for (;;) {
        size_t last;
        size_t first = row_find(walk, &last);
        if (first == last) {
            return true;
        }
        if (!walk_row(walk, first, last)) {
            return false;
        }
        if (walk_is_late(walk)) {
            walk->block = row_find(walk, &last);
            return walk->block == last;
        }
    }
}

// ---- Arming ----------------------------------------------------------------------

static void row_ignore(struct row_walk *walk, uintptr_t start, uintptr_t end) {
    (void)walk;
    (void)start;
    (void)end;
}

void lm_dirty_arm(void) {
    walk_written(&(struct row_walk){.wish = WISH_ALL,
                                    .fn = row_ignore,
                                    .block = 1,
                                    .step = DIRTY_STEP_PAGES});
}

void lm_dirty_disarm(void) {
    lm_track_disarm_all((uintptr_t)lm_space_address(1),
                        (uintptr_t)lm_space_address(lm_space_used_blocks()));
}

// Fewer empty blocks in a row than this are not worth a system call.
#define DIRTY_EMPTY_BLOCKS 16

// Seen while the program runs: to disarm too much is not wrong.
static bool block_is_empty(size_t block) {
    struct lm_block entry = lm_block_load(block);
    return entry.state == LM_BLOCK_FREE ||
           (entry.state == LM_BLOCK_CELLS &&
            !lm_space_has_bits(block, lm_space.live));
}

void lm_dirty_disarm_empty(void) {
    size_t end = lm_space_used_blocks();
    size_t first = 1; // of a row of empty ones
    for (size_t b = 1; b <= end; b++) {
        if (b < end && block_is_empty(b)) {
            continue;
        }
        if (b - first >= DIRTY_EMPTY_BLOCKS) {
            lm_track_disarm((uintptr_t)lm_space_address(first),
                            (uintptr_t)lm_space_address(b));
        }
        first = b + 1;
    }
}

// ---- Visiting --------------------------------------------------------------------

static void row_rescan(struct row_walk *walk, uintptr_t start, uintptr_t end) {
    lm_rescan_pages(walk->marker, start, end);
}

bool lm_dirty_visit_some(struct loam_marker *m, size_t *pages, size_t *block,
                         size_t most) {
    struct row_walk walk = {.wish = WISH_ALL,
                            .is_wide = true,
                            .fn = row_rescan,
                            .marker = m,
                            .block = *block,
                            .most = most,
                            .step = most};
    bool is_done = walk_written(&walk);
    *block = is_done ? 1 : walk.block;
    *pages += walk.pages;
    return is_done;
}

// The flags are a hint: a thread may be taking the block.
static void row_rescan_all(struct row_walk *walk, uintptr_t start,
                           uintptr_t end) {
    for (uintptr_t at = start; at < end; at += LM_PAGE_BYTES) {
        size_t block = lm_space_block_of(at);
        walk->old_pages += !lm_block_is_young(lm_block_head(&block));
    }
    row_rescan(walk, start, end);
}

size_t lm_dirty_visit_all(struct loam_marker *m) {
    struct row_walk walk = {.wish = WISH_ALL,
                            .fn = row_rescan_all,
                            .marker = m,
                            .block = 1,
                            .step = DIRTY_STEP_PAGES};
    walk_written(&walk);
    return walk.old_pages;
}

static void row_each(struct row_walk *walk, uintptr_t start, uintptr_t end) {
    walk->each(walk->argument, start, end);
}

bool lm_dirty_each(lm_dirty_fn *fn, void *argument, size_t *block,
                   uint64_t deadline_ns) {
    struct row_walk walk = {.wish = WISH_ALL,
                            .fn = row_each,
                            .each = fn,
                            .argument = argument,
                            .block = *block,
                            .deadline_ns = deadline_ns,
                            .step = DIRTY_EACH_PAGES};
    bool is_done = walk_written(&walk);
    *block = is_done ? 1 : walk.block;
    return is_done;
}

// Rows that one minor collection arms, and rows of blocks that it leaves full: a
// microsecond each. The others count as written, and are visited, until it is their
// turn.
#define DIRTY_ARM_ROWS 256
#define DIRTY_ARM_BLOCKS 1024

static void row_rescan_old(struct row_walk *walk, uintptr_t start,
                           uintptr_t end) {
    lm_rescan_pages(walk->marker, start, end);
    if (walk->is_told && walk->arms > 0) {
        lm_track_arm(start, end);
        walk->arms--;
    }
}

static void young_rescan(void *marker, uint32_t block) {
    lm_rescan_young(marker, block);
}

// The rows of old pages that were last found written, so that the way through a
// large heap is gone once. By who collects. Numbers, not addresses: our static
// data is searched for those as the program's is.
#define DIRTY_OLD_ROWS 1024

static struct {
    struct old_row {
        size_t page; // counted from the start of the heap's range
        uint32_t count;
        bool is_told;
    } row[DIRTY_OLD_ROWS];
    size_t count;
    bool is_whole; // they fitted
} old_rows;

static void row_keep(struct row_walk *walk, uintptr_t start, uintptr_t end) {
    if (old_rows.count == DIRTY_OLD_ROWS) {
        old_rows.is_whole = false;
        return;
    }
    old_rows.row[old_rows.count++] = (struct old_row){
        (start - lm_space.base) >> LM_PAGE_SHIFT,
        (uint32_t)((end - start) >> LM_PAGE_SHIFT), walk->is_told};
}

size_t lm_dirty_count_old(size_t most) {
    struct row_walk walk = {.wish = WISH_OLD,
                            .is_wide = true,
                            .fn = row_keep,
                            .block = 1,
                            .most = most};
    old_rows.count = 0;
    old_rows.is_whole = true;
    if (!walk_written(&walk)) {
        old_rows.is_whole = false;
    }
    return walk.pages;
}

// Blocks to arm, adjacent so far, and how many rows of them still may be.
static struct {
    uint32_t first;
    uint32_t count;
    size_t arms;
} new_rows;

void lm_dirty_arm_blocks(void) {
    if (new_rows.count && new_rows.arms > 0) {
        uint32_t first = new_rows.first;
        lm_track_arm((uintptr_t)lm_space_address(first),
                     (uintptr_t)lm_space_address(first + new_rows.count));
        new_rows.arms--;
    }
    new_rows.count = 0;
}

void lm_dirty_arm_block(uint32_t block) {
    if (!block_is_told(block)) {
        return;
    }
    if (new_rows.count && block == new_rows.first + new_rows.count) {
        new_rows.count++;
    } else if (new_rows.count && block + 1 == new_rows.first) {
        new_rows.first--;
        new_rows.count++;
    } else {
        lm_dirty_arm_blocks();
        new_rows.first = block;
        new_rows.count = 1;
    }
}

void lm_dirty_visit_old(struct loam_marker *m) {
    struct row_walk walk = {.wish = WISH_OLD,
                            .is_wide = true,
                            .fn = row_rescan_old,
                            .marker = m,
                            .block = 1,
                            .arms = DIRTY_ARM_ROWS};
    new_rows.arms = DIRTY_ARM_BLOCKS;
    if (!old_rows.is_whole) {
        walk_written(&walk);
    }
    for (size_t i = 0; old_rows.is_whole && i < old_rows.count; i++) {
        const struct old_row *row = &old_rows.row[i];
        uintptr_t start = lm_space.base + (row->page << LM_PAGE_SHIFT);
        walk.is_told = row->is_told;
        row_rescan_old(&walk, start,
                       start + ((uintptr_t)row->count << LM_PAGE_SHIFT));
    }
    lm_sweep_each_young(young_rescan, m);
}
