// SPDX-License-Identifier: MIT
// idle.c: sweeping and returning memory behind the program's back.

#include "collect/idle.h"

#include "alloc/budget.h"
#include "alloc/sweep.h"
#include "base/config.h"
#include "collect/cycle.h"
#include "heap/run.h"
#include "os/lock.h"
#include "os/thread.h"

#include <stdbool.h>
#include <stdint.h>

// After a collection the program is left alone for so long: what it needs soon
// it sweeps itself, while the blocks are still in its cache.
#define IDLE_SWEEP_NS 100000000u
// With no collection for so long, free memory beyond the next budget goes
// back; after the second time all of it.
#define IDLE_RETURN_NS 1000000000u
#define IDLE_RETURN_ALL_NS 10000000000u
// Blocks swept under the cycle's lock at a time: some 10 us.
#define IDLE_SWEEP_BLOCKS 64

static struct {
    uint32_t bell;    // changes with each collection; atomic
    bool is_running;  // atomic
    bool is_ending;   // atomic
    bool is_sleeping; // until the bell rings, however long; atomic
} idle;

// Sleeps until the bell rings; true when it has not by then.
static bool idle_is_quiet(uint32_t bell, uint64_t ns) {
    lm_futex_wait(&idle.bell, bell, ns);
    return __atomic_load_n(&idle.bell, __ATOMIC_ACQUIRE) == bell;
}

static void idle_sweep(uint32_t bell) {
    bool is_more = true;
    while (is_more && __atomic_load_n(&idle.bell, __ATOMIC_ACQUIRE) == bell) {
        lm_cycle_hold();
        is_more = lm_sweep_some(IDLE_SWEEP_BLOCKS, NULL) == IDLE_SWEEP_BLOCKS;
        lm_cycle_let();
    }
}

static void idle_return(size_t keep_blocks) {
    lm_cycle_hold();
    lm_run_discard(keep_blocks);
    lm_cycle_let();
}

static void *idle_run(void *unused) {
    (void)unused;
    for (;;) {
        uint32_t bell = __atomic_load_n(&idle.bell, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&idle.is_ending, __ATOMIC_ACQUIRE)) {
            break;
        }
        if (!idle_is_quiet(bell, IDLE_SWEEP_NS)) {
            continue;
        }
        idle_sweep(bell);
        if (!idle_is_quiet(bell, IDLE_RETURN_NS)) {
            continue;
        }
        idle_return(lm_budget_left() >> LM_BLOCK_SHIFT);
        if (!idle_is_quiet(bell, IDLE_RETURN_ALL_NS)) {
            continue;
        }
        idle_return(0);
        __atomic_store_n(&idle.is_sleeping, true, __ATOMIC_SEQ_CST);
        while (idle_is_quiet(bell, 0)) {
        }
        __atomic_store_n(&idle.is_sleeping, false, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&idle.is_running, false, __ATOMIC_RELEASE);
    return NULL;
}

void lm_idle_notice(void) {
    if (!__atomic_load_n(&idle.is_running, __ATOMIC_ACQUIRE)) {
        idle.is_ending = false;
        idle.is_running = true;
        idle.is_running = lm_thread_start(idle_run, NULL, "loam-idle");
    }
    __atomic_add_fetch(&idle.bell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&idle.is_sleeping, __ATOMIC_SEQ_CST)) {
        lm_futex_wake(&idle.bell, 1);
    }
}

size_t lm_idle_release(void) {
    lm_cycle_hold();
    lm_sweep_rest();
    size_t bytes = lm_run_discard(0);
    lm_cycle_let();
    return bytes;
}

void lm_idle_stop(void) {
    __atomic_store_n(&idle.is_ending, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&idle.is_running, __ATOMIC_ACQUIRE)) {
        __atomic_add_fetch(&idle.bell, 1, __ATOMIC_RELEASE);
        lm_futex_wake(&idle.bell, 1);
        lm_thread_yield();
    }
}

void lm_idle_fork_child(void) {
    idle.is_running = false;
}
