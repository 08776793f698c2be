// SPDX-License-Identifier: MIT
// collector.c: collecting, sweeping and returning memory beside the program.

#include "collect/collector.h"

#include "alloc/budget.h"
#include "alloc/sweep.h"
#include "base/config.h"
#include "base/settings.h"
#include "collect/compact.h"
#include "collect/cycle.h"
#include "collect/room.h"
#include "heap/run.h"
#include "mark/lines.h"
#include "os/lock.h"
#include "os/thread.h"
#include "world/member.h"

#include <stdbool.h>
#include <stdint.h>

// After a collection the program is left alone for so long: what it needs soon
// it sweeps itself, while the blocks are still in its cache.
#define COLLECTOR_SWEEP_NS 100000000u
// With no collection for so long, free memory beyond the next budget goes
// back; after the second time all of it.
#define COLLECTOR_RETURN_NS 1000000000u
#define COLLECTOR_RETURN_ALL_NS 10000000000u
// How often the system is asked whether it is short of memory.
#define COLLECTOR_LOOK_NS 1000000000u
// Blocks swept under the cycle's lock at a time: some 10 us.
#define COLLECTOR_SWEEP_BLOCKS 64

// The program should not wait for a processor longer than for a stop. Shorter
// turns than that made the collector's work take longer.
#define COLLECTOR_SLICE_NS 500000u

static struct {
    struct lm_lock lock; // guards starting it
    uint32_t bell;       // changes with each collection; atomic
    bool is_running;     // atomic
    bool is_ending;      // atomic
    bool is_sleeping;    // until the bell rings, however long; atomic
    bool is_wanted;      // a collection; atomic
    bool is_cold;        // memory ahead should be touched; atomic
    void (*on_quiet)(void);
} collector;

// Sleeps until the bell rings; true when it has not by then.
static bool collector_is_quiet(uint32_t bell, uint64_t ns) {
    lm_futex_wait(&collector.bell, bell, ns);
    return __atomic_load_n(&collector.bell, __ATOMIC_ACQUIRE) == bell;
}

// While the program is being stopped, no thread should wait for this one's processor:
// one that is about to stop could do so until the scheduler's next tick.
static void collector_give_way(void) {
    uint32_t phase = lm_world_phase();
    if (phase % 2) {
        lm_world_wait_phase(phase);
    }
}

static void collector_sweep(uint32_t bell) {
    bool is_more = true;
    while (is_more &&
           __atomic_load_n(&collector.bell, __ATOMIC_ACQUIRE) == bell) {
        lm_cycle_hold();
        is_more = lm_sweep_some(COLLECTOR_SWEEP_BLOCKS, NULL) ==
                  COLLECTOR_SWEEP_BLOCKS;
        lm_cycle_let();
    }
}

static void collector_return(size_t keep_blocks) {
    lm_cycle_hold();
    lm_run_discard(keep_blocks);
    lm_cycle_let();
}

void lm_collector_listen(void (*on_quiet)(void)) {
    collector.on_quiet = on_quiet;
}

static void *collector_run(void *unused) {
    (void)unused;
    lm_thread_begin(COLLECTOR_SLICE_NS);
    for (;;) {
        uint32_t bell = __atomic_load_n(&collector.bell, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&collector.is_ending, __ATOMIC_ACQUIRE)) {
            break;
        }
        if (__atomic_exchange_n(&collector.is_cold, false, __ATOMIC_ACQ_REL)) {
            lm_run_warm(collector_give_way);
        }
        // A compaction would be left off for it; who has spent the budget asks
        // again when that is over.
        if (__atomic_exchange_n(&collector.is_wanted, false,
                                __ATOMIC_ACQ_REL) &&
            !lm_compact_is_on()) {
            lm_cycle_collect(LM_CYCLE_BESIDE, LM_CAUSE_GROWTH,
                             lm_cycle_number());
            continue;
        }
        if (lm_room_look(COLLECTOR_LOOK_NS)) {
            collector_return(lm_budget_left() >> LM_BLOCK_SHIFT);
        }
        if (!collector_is_quiet(bell, COLLECTOR_SWEEP_NS)) {
            continue;
        }
        collector_sweep(bell);
        if (lm_settings.compact == LM_COMPACT_AUTO) {
            lm_compact_idle();
        }
        if (!collector_is_quiet(bell, COLLECTOR_RETURN_NS)) {
            continue;
        }
        collector.on_quiet();
        collector_return(lm_budget_left() >> LM_BLOCK_SHIFT);
        if (!collector_is_quiet(bell, COLLECTOR_RETURN_ALL_NS)) {
            continue;
        }
        collector.on_quiet();
        collector_return(0);
        __atomic_store_n(&collector.is_sleeping, true, __ATOMIC_SEQ_CST);
        while (collector_is_quiet(bell, 0)) {
        }
        __atomic_store_n(&collector.is_sleeping, false, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&collector.is_running, false, __ATOMIC_RELEASE);
    return NULL;
}

void lm_collector_begin(void) {
    lm_lock_acquire(&collector.lock); // two threads may find it missing
    if (!__atomic_load_n(&collector.is_running, __ATOMIC_ACQUIRE)) {
        collector.is_ending = false;
        collector.is_running = true;
        if (!lm_thread_start(collector_run, NULL, "loam-collector", false)) {
            __atomic_store_n(&collector.is_running, false, __ATOMIC_RELEASE);
        }
    }
    lm_lock_release(&collector.lock);
}

void lm_collector_notice(void) {
    lm_collector_begin();
    __atomic_add_fetch(&collector.bell, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&collector.is_sleeping, __ATOMIC_SEQ_CST)) {
        lm_futex_wake(&collector.bell, 1);
    }
}

static void collector_ring(void) {
    __atomic_add_fetch(&collector.bell, 1, __ATOMIC_SEQ_CST);
    lm_futex_wake(&collector.bell, 1);
}

void lm_collector_warm(void) {
    if (!__atomic_exchange_n(&collector.is_cold, true, __ATOMIC_ACQ_REL)) {
        collector_ring();
    }
}

bool lm_collector_request(void) {
    if (!__atomic_load_n(&collector.is_running, __ATOMIC_ACQUIRE)) {
        return false;
    }
    if (!__atomic_exchange_n(&collector.is_wanted, true, __ATOMIC_ACQ_REL)) {
        collector_ring();
    }
    return true;
}

size_t lm_collector_release(void) {
    lm_cycle_hold();
    lm_sweep_rest();
    size_t bytes = lm_run_discard(0);
    lm_lines_discard();
    lm_cycle_let();
    return bytes;
}

void lm_collector_stop(void) {
    __atomic_store_n(&collector.is_ending, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&collector.is_running, __ATOMIC_ACQUIRE)) {
        __atomic_add_fetch(&collector.bell, 1, __ATOMIC_RELEASE);
        lm_futex_wake(&collector.bell, 1);
        lm_thread_yield();
    }
}

void lm_collector_fork_child(void) {
    lm_lock_reset(&collector.lock);
    collector.is_running = collector.is_wanted = false;
}
