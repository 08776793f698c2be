// SPDX-License-Identifier: MIT
// cycle.c: the phases of a collection, in order.

#include "collect/cycle.h"

#include "alloc/budget.h"
#include "alloc/cache.h"
#include "alloc/sweep.h"
#include "base/check.h"
#include "collect/pace.h"
#include "heap/kind.h"
#include "heap/run.h"
#include "heap/space.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/image.h"
#include "os/lock.h"
#include "world/roots.h"
#include "world/stop.h"

static struct {
    struct lm_lock lock; // one collection at a time; guards all below
    uint64_t number;     // atomic for readers
    struct lm_cycle_figures figures;
    lm_cycle_listener *listener;
    bool wants_heap_after;
} cycle;

const char *lm_cause_name(enum lm_cause cause) {
    static const char *const names[] = {"growth",  "heap maximum", "no memory",
                                        "request", "torture",      "exit"};
    return names[cause];
}

uint64_t lm_cycle_number(void) {
    return __atomic_load_n(&cycle.number, __ATOMIC_RELAXED);
}

void lm_cycle_listen(lm_cycle_listener *listener, bool wants_heap_after) {
    cycle.listener = listener;
    cycle.wants_heap_after = wants_heap_after;
}

void lm_cycle_hold(void) {
    struct lm_member *self = lm_self;
    if (self) {
        // A handler that jumped out of here would take the program's restart
        // with it.
        lm_member_inside(self);
    }
    if (lm_lock_try(&cycle.lock)) {
        return;
    }
    if (!lm_member_is_running(self)) {
        lm_lock_acquire(&cycle.lock);
        return;
    }
    lm_member_retreat(self);
    lm_lock_acquire(&cycle.lock);
    lm_member_resume(self);
}

void lm_cycle_let(void) {
    lm_lock_release(&cycle.lock);
    if (lm_self) {
        lm_member_outside(lm_self);
    }
}

// ---- The phases ----------------------------------------------------------------

static void cycle_mark(const struct lm_images *images) {
    struct loam_marker *marker = lm_team_begin();
    lm_roots_mark(marker, images);
    lm_team_finish();
}

static void cycle_count_live(struct lm_cycle_event *event) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        event->live_bytes += lm_kinds[kind].live_bytes;
        event->live_count += lm_kinds[kind].live_count;
    }
}

// While the loader is locked, so that what is loaded stays so.
static void cycle_run(const struct lm_images *images, void *argument) {
    struct lm_cycle_event *event = argument;
    uint64_t began = lm_clock_ns();
    event->stop_ns = lm_world_stop();
    event->heap_before_bytes = lm_run_used() << LM_BLOCK_SHIFT;
    lm_cache_retire_all();
    lm_sweep_prepare();
    uint64_t marking = lm_clock_ns();
    lm_member_note(lm_self);
    cycle_mark(images);
    event->mark_ns = lm_clock_ns() - marking;
    lm_sweep_begin();
    cycle_count_live(event);
    lm_pace_after(event->live_bytes, began);
    lm_world_start();
    event->pause_ns = lm_clock_ns() - began;
}

static void cycle_account(struct lm_cycle_event *event, uint64_t cpu_ns) {
    struct lm_cycle_figures *f = &cycle.figures;
    f->live_bytes = event->live_bytes;
    f->live_count = event->live_count;
    f->cpu_ns += cpu_ns;
    f->pause_total_ns += event->pause_ns;
    f->pause_last_ns = event->pause_ns;
    if (event->pause_ns > f->pause_max_ns) {
        f->pause_max_ns = event->pause_ns;
    }
    if (event->stop_ns > f->stop_max_ns) {
        f->stop_max_ns = event->stop_ns;
    }
    event->cpu_ns = f->cpu_ns + lm_team_helper_cpu_ns();
    event->markers = lm_team_size();
    event->number = __atomic_add_fetch(&cycle.number, 1, __ATOMIC_RELAXED);
}

static void cycle_report(struct lm_cycle_event *event) {
    if (cycle.wants_heap_after) {
        size_t dead = lm_sweep_dead_blocks();
        event->heap_after_bytes = (lm_run_used() - dead) << LM_BLOCK_SHIFT;
    }
    if (cycle.listener) {
        cycle.listener(event);
    }
}

static bool cause_is_content(enum lm_cause cause) {
    return cause == LM_CAUSE_GROWTH || cause == LM_CAUSE_LIMIT ||
           cause == LM_CAUSE_REFUSED;
}

bool lm_cycle_collect(enum lm_cause cause, uint64_t seen) {
    struct lm_cycle_event event = {.cause = cause};
    lm_cycle_hold();
    if (cause_is_content(cause) && lm_cycle_number() != seen) {
        lm_cycle_let();
        return true;
    }
    uint64_t cpu = lm_clock_thread_ns();
    lm_team_prepare(lm_run_used() << LM_BLOCK_SHIFT);
    bool ok = lm_image_hold(cycle_run, &event);
    if (ok) {
        lm_sweep_large();
        cycle_account(&event, lm_clock_thread_ns() - cpu);
        cycle_report(&event);
    }
    lm_cycle_let();
    return ok;
}

// ---- For others ----------------------------------------------------------------

void lm_cycle_figures_get(struct lm_cycle_figures *figures) {
    lm_cycle_hold();
    *figures = cycle.figures;
    lm_cycle_let();
}

void lm_cycle_stopped(void (*fn)(void *), void *argument) {
    lm_cycle_hold();
    lm_sweep_rest();
    lm_sweep_large();
    lm_world_stop();
    lm_cache_retire_all();
    fn(argument);
    lm_world_start();
    lm_cycle_let();
}

void lm_cycle_fork_done(bool in_child) {
    if (in_child) {
        cycle.figures.cpu_ns = 0;
    }
    lm_cycle_let(); // nobody else can hold it, in the child either
}
