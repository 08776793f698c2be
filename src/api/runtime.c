// SPDX-License-Identifier: MIT
// runtime.c: from nothing to a heap, through fork, to nothing again.

#include "api/runtime.h"

#include "alloc/budget.h"
#include "alloc/cache.h"
#include "api/handler.h"
#include "api/settings.h"
#include "api/status.h"
#include "base/check.h"
#include "collect/collector.h"
#include "collect/compact.h"
#include "collect/cycle.h"
#include "collect/last.h"
#include "collect/level.h"
#include "collect/limit.h"
#include "collect/pace.h"
#include "collect/pause.h"
#include "heap/freed.h"
#include "heap/kind.h"
#include "heap/run.h"
#include "heap/space.h"
#include "heap/type.h"
#include "life/counted.h"
#include "life/due.h"
#include "life/finalizer.h"
#include "life/garbage.h"
#include "life/map.h"
#include "life/record.h"
#include "life/settle.h"
#include "mark/lines.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/libc.h"
#include "os/lock.h"
#include "os/track.h"
#include "pool/bounded.h"
#include "pool/shared.h"
#include "see/log.h"
#include "see/pauses.h"
#include "see/watch.h"
#include "world/roll.h"
#include "world/roots.h"
#include "world/stop.h"

#include <pthread.h>
#include <stdlib.h>

enum { RUNTIME_NEW, RUNTIME_READY, RUNTIME_SHUT };

static struct {
    struct lm_lock lock; // guards setting up and shutting down
    uint32_t state;      // atomic
    bool has_settings;
    bool has_hooks; // of fork and exit, which cannot be taken back
} runtime;

bool lm_runtime_is_ready(void) {
    return __atomic_load_n(&runtime.state, __ATOMIC_ACQUIRE) == RUNTIME_READY;
}

// ---- Fork ---------------------------------------------------------------------
//
// All locks are taken before, so that none is held by a thread that the child
// does not have. The order is the one in which they nest.

// By the thread that forks; under the cycle's gate. libc lets several threads
// run these functions at once.
static bool fork_is_held;

static void runtime_fork_prepare(void) {
    if (lm_runtime_is_ready()) {
        lm_cycle_fork_prepare();
        lm_world_stop();
        lm_type_fork_prepare();
        lm_kind_fork_prepare();
        lm_cache_fork_prepare();
        lm_run_fork_prepare();
        lm_shared_fork_prepare();
        lm_bounded_fork_prepare();
        lm_roots_fork_prepare();
        lm_record_fork_prepare();
        lm_counted_fork_prepare();
        lm_world_go();
        fork_is_held = true;
    }
    lm_handler_fork_prepare();
}

static void runtime_fork_done(bool in_child) {
    lm_handler_fork_done(in_child);
    if (!fork_is_held) {
        return;
    }
    fork_is_held = false;
    lm_record_fork_done(in_child);
    lm_counted_fork_done(in_child);
    lm_roots_fork_done(in_child);
    lm_bounded_fork_done(in_child);
    lm_shared_fork_done(in_child);
    lm_run_fork_done(in_child);
    lm_cache_fork_done(in_child);
    lm_kind_fork_done(in_child);
    lm_type_fork_done(in_child);
    if (in_child) {
        lm_team_fork_child();
        lm_track_fork_child(
            (uintptr_t)lm_space_address(lm_space_used_blocks()));
        lm_collector_fork_child();
        lm_compact_fork_child();
        lm_finalizer_fork_child();
        lm_watch_fork_child();
    }
    lm_world_fork_done(in_child);
    if (in_child) {
        lm_limit_fork_child();
        lm_level_fork_child();
        lm_last_fork_child();
    }
    lm_cycle_fork_done(in_child);
}

static void runtime_fork_parent(void) {
    runtime_fork_done(false);
}

static void runtime_fork_child(void) {
    runtime_fork_done(true);
}

// ---- Setting up ------------------------------------------------------------------

// After each collection.
static void runtime_listen(const struct lm_cycle_event *event) {
    lm_collector_notice();
    if (event->kind == LM_CYCLE_FULL || event->kind == LM_CYCLE_BESIDE) {
        lm_level_note(event->live_bytes);
    }
    lm_log_cycle(event);
    lm_watch_end(event);
    lm_finalizer_notice();
}

// In the first stop of a collection of everything.
static void runtime_before(void) {
    lm_shared_before();
    lm_bounded_before();
}

// In the last stop of each collection.
static void runtime_after(void) {
    lm_shared_after();
    lm_bounded_after();
}

static bool runtime_has_pools(void) {
    return lm_shared_is_any() || lm_bounded_is_any();
}

// When a budget comes to its end.
static void runtime_request(void) {
    lm_collector_request();
}

// Before an allocation fails.
static bool runtime_press(void) {
    return lm_settle_press(lm_self);
}

static void runtime_at_exit(void) {
    if (lm_runtime_is_ready() && lm_runtime_self()) {
        lm_finalizer_exit(lm_self);
    }
    if (lm_settings.report && lm_runtime_is_ready() && lm_runtime_self()) {
        lm_cycle_collect(LM_CYCLE_FULL, LM_CAUSE_EXIT, 0);
        lm_log_report(lm_settings.report);
    }
}

static void runtime_hook(void) {
    if (runtime.has_hooks) {
        return;
    }
    runtime.has_hooks = true;
    pthread_atfork(runtime_fork_prepare, runtime_fork_parent,
                   runtime_fork_child);
    atexit(runtime_at_exit);
}

static bool runtime_fail(const char *what) {
    lm_status_set(LOAM_NO_MEMORY,
                  "the heap cannot be set up: the system refused %s; raise the "
                  "limit of address space (ulimit -v), or set LOAM_RESERVE to "
                  "a smaller size",
                  what);
    return false;
}

// What runtime_set_up has got from the system, as far as it got.
static void runtime_tear_down(void) {
    lm_bounded_fini();
    lm_shared_fini();
    lm_track_close();
    lm_team_fini();
    lm_lines_fini();
    lm_garbage_fini();
    lm_due_fini();
    lm_map_fini();
    lm_record_fini();
    lm_roots_fini();
    lm_cache_fini();
    lm_run_fini();
    lm_kind_fini();
    lm_type_fini();
    lm_freed_fini();
    lm_space_fini();
}

// In the order of the floors. The key comes last, for it is not given back; a
// handler of the signal does no harm, and the next attempt replaces it.
static bool runtime_set_up(void) {
    if (!runtime.has_settings) {
        lm_settings_read();
        lm_clock_init();
        lm_limit_init("");
        runtime.has_settings = true;
    }
    lm_libc();
    if (!lm_space_init()) {
        return runtime_fail("a range of addresses for the heap");
    }
    lm_freed_init();
    lm_type_init();
    if (!lm_kind_init() || !lm_run_init()) {
        return runtime_fail("memory for the heap's tables");
    }
    lm_counted_init();
    lm_pace_init();
    if (!lm_team_init()) {
        return runtime_fail("memory for marking");
    }
    if (!lm_world_init() || !lm_roll_init()) {
        return runtime_fail("a signal handler or a thread-specific key");
    }
    lm_budget_listen(runtime_request);
    lm_run_listen(lm_collector_warm);
    lm_collector_listen(lm_finalizer_check);
    lm_last_listen(runtime_press);
    lm_cycle_watch(lm_watch_begin);
    lm_cycle_listen(runtime_listen, lm_settings.log_gc != 0);
    lm_pause_listen(lm_pauses_add);
    lm_pause_attend(runtime_before, runtime_after, runtime_has_pools);
    lm_compact_listen(lm_log_compact);
    runtime_hook();
    if (lm_settings.track == LM_TRACK_MPROTECT) {
        lm_handler_guard();
    }
    lm_libc_has_runtime = true;
    return true;
}

bool lm_runtime_init(void) {
    if (lm_runtime_is_ready()) {
        return true;
    }
    lm_lock_acquire(&runtime.lock);
    bool ok = lm_runtime_is_ready();
    if (!ok && runtime.state == RUNTIME_NEW) {
        ok = runtime_set_up();
        if (ok) {
            __atomic_store_n(&runtime.state, RUNTIME_READY, __ATOMIC_RELEASE);
        } else {
            runtime_tear_down();
        }
    }
    lm_lock_release(&runtime.lock);
    return ok;
}

struct lm_member *lm_runtime_join(void) {
    if (__atomic_load_n(&runtime.state, __ATOMIC_ACQUIRE) == RUNTIME_SHUT) {
        lm_caller_error("after loam_shutdown the heap is gone",
                        "call loam_shutdown last, or not at all: leaving main "
                        "is enough",
                        "a call that needs the heap after loam_shutdown");
    }
    if (!lm_runtime_init()) {
        return NULL;
    }
    if (lm_self) {
        return lm_self;
    }
    lm_world_let_in();
    if (!lm_roll_attach(NULL)) {
        lm_status_set(LOAM_NO_MEMORY,
                      "the system gave no memory for this thread's share of "
                      "the heap");
        return NULL;
    }
    return lm_self;
}

// The main thread's stack is best found from the main thread, and its start is
// the earliest moment of a program that links the library.
__attribute__((constructor)) static void runtime_begin(void) {
    lm_runtime_join();
}

void lm_runtime_shutdown(void) {
    if (!lm_runtime_is_ready()) {
        return;
    }
    runtime_at_exit();
    lm_finalizer_stop();
    lm_collector_stop();
    lm_lock_acquire(&runtime.lock);
    __atomic_store_n(&runtime.state, RUNTIME_SHUT, __ATOMIC_RELEASE);
    if (lm_self) {
        lm_roll_detach();
    }
    runtime_tear_down();
    lm_lock_release(&runtime.lock);
}
