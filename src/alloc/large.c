// SPDX-License-Identifier: MIT
// large.c: runs of blocks as objects.
//
//   large.1  A HEAD is followed by exactly the BODY blocks its size needs.

#include "alloc/large.h"

#include "alloc/budget.h"
#include "alloc/sweep.h"
#include "heap/find.h"
#include "heap/freed.h"
#include "heap/run.h"
#include "os/track.h"

#include <string.h>

// Blocks of small kinds that are swept in the hope of free ones, for every
// block that is needed.
#define LARGE_SWEEP_FACTOR 4

// Where the kernel tracks writes free blocks may lie on armed pages. All of a new
// object is about to be written: from so many blocks on a system call costs less
// than the faults.
#define LARGE_DISARM_BLOCKS 2

static void large_disarm(const struct lm_run *run, size_t count) {
    if (lm_track_rung() == LM_TRACK_KERNEL && count >= LARGE_DISARM_BLOCKS &&
        !run->is_clean) {
        lm_track_disarm((uintptr_t)lm_space_address(run->block),
                        (uintptr_t)lm_space_address(run->block + count));
    }
}

static enum lm_run_result large_take(size_t count, size_t align,
                                     enum lm_zone zone, struct lm_run *run) {
    if (lm_run_used() << LM_BLOCK_SHIFT > lm_budget_heap_bytes()) {
        lm_sweep_some(count * LARGE_SWEEP_FACTOR, NULL);
    }
    enum lm_run_result r = lm_run_take(count, align, zone, LM_RUN_USED, run);
    if (r != LM_RUN_OK) {
        size_t freed;
        lm_sweep_some(count * LARGE_SWEEP_FACTOR, &freed);
        r = freed ? lm_run_take(count, align, zone, LM_RUN_USED, run) : r;
    }
    if (r != LM_RUN_OK) {
        r = lm_run_take(count, align, zone, LM_RUN_GROW, run);
    }
    if (r != LM_RUN_OK) {
        lm_sweep_rest();
        r = lm_run_take(count, align, zone, LM_RUN_GROW, run);
    }
    return r;
}

static void large_make_body(size_t head, uint32_t kind, size_t from,
                            size_t to) {
    for (size_t i = from; i < to; i++) {
        lm_block_store(head + i, (struct lm_block){(uint32_t)i, (uint16_t)kind,
                                                   LM_BLOCK_BODY, 0});
    }
}

enum lm_refill lm_large_new(uint32_t kind, size_t bytes, size_t align,
                            enum lm_effort effort, void **object) {
    bool can_exceed = effort != LM_EFFORT_BUDGET;
    struct lm_kind *k = &lm_kinds[kind];
    size_t count = lm_find_run_blocks(bytes);
    size_t align_blocks = align > LM_BLOCK_BYTES ? align >> LM_BLOCK_SHIFT : 1;
    struct lm_run run;
    if (!can_exceed && lm_budget_left() == 0) {
        return LM_REFILL_BUDGET;
    }
    if (!can_exceed && lm_run_is_high(count)) {
        lm_sweep_rest();
        if (lm_run_is_high(count)) {
            return LM_REFILL_HIGH;
        }
    }
    enum lm_run_result r =
        large_take(count, align_blocks, lm_kind_zone(k), &run);
    if (r == LM_RUN_LIMIT && lm_budget_claim_last(effort, k, count)) {
        r = lm_run_take(count, align_blocks, lm_kind_zone(k), LM_RUN_LAST,
                        &run);
    }
    if (r != LM_RUN_OK) {
        return r == LM_RUN_LIMIT ? LM_REFILL_LIMIT : LM_REFILL_REFUSED;
    }
    lm_budget_charge(count << LM_BLOCK_SHIFT);
    large_disarm(&run, count);
    if (k->is_zeroed && !run.is_clean) {
        memset(lm_space_address(run.block), 0, bytes);
    }
    uint32_t head = (uint32_t)run.block;
    lm_space.large_bytes[head] = bytes;
    lm_space.bits[head].pair[0][lm_space.live] = 1;
    lm_space.bits[head].pair[0][1 - lm_space.live] = 0;
    large_make_body(head, kind, 1, count);
    lm_block_store(head, (struct lm_block){0, (uint16_t)kind, LM_BLOCK_HEAD,
                                           (uint8_t)(2 * lm_space.cycle - 1)});
    lm_sweep_add_large(kind, head);
    __atomic_fetch_add(&k->allocated_count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&k->allocated_bytes, bytes, __ATOMIC_RELAXED);
    *object = lm_space_address(head);
    return LM_REFILL_OK;
}

size_t lm_large_free(uint32_t kind, uint32_t block) {
    size_t bytes = lm_space.large_bytes[block];
    if (!lm_sweep_remove_large(kind, block)) {
        return 0;
    }
    if (!lm_space.is_marking) {
        size_t count = lm_find_run_blocks(bytes);
        lm_run_give(block, count, lm_kind_zone(&lm_kinds[kind]));
        lm_budget_refund(count << LM_BLOCK_SHIFT);
    }
    return bytes;
}

bool lm_large_resize(uint32_t kind, uint32_t block, size_t bytes) {
    size_t old_bytes = lm_space.large_bytes[block];
    size_t have = lm_find_run_blocks(old_bytes);
    size_t need = lm_find_run_blocks(bytes);
    enum lm_zone zone = lm_kind_zone(&lm_kinds[kind]);
    bool is_clean = false;
    if (need != have && lm_space.is_marking) {
        return false; // a marker may be in the middle of it
    }
    if (need > have) {
        if (!lm_run_extend(block + have, need - have, zone, &is_clean)) {
            return false;
        }
        large_make_body(block, kind, have, need);
        lm_budget_charge((need - have) << LM_BLOCK_SHIFT);
    } else if (need < have) {
        lm_freed_note((uintptr_t)lm_space_address(block + need),
                      (have - need) << LM_BLOCK_SHIFT);
        lm_run_give(block + need, have - need, zone);
        lm_budget_refund((have - need) << LM_BLOCK_SHIFT);
    }
    if (lm_kinds[kind].is_zeroed && bytes > old_bytes) {
        memset(lm_space_address(block) + old_bytes, 0, bytes - old_bytes);
    }
    lm_space.large_bytes[block] = bytes;
    return true;
}
