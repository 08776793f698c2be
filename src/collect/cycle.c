// SPDX-License-Identifier: MIT
// cycle.c: the phases of a collection, in order.

#include "collect/cycle.h"

#include "alloc/cache.h"
#include "alloc/sweep.h"
#include "collect/beside.h"
#include "collect/dirty.h"
#include "collect/pace.h"
#include "collect/pause.h"
#include "collect/room.h"
#include "collect/turn.h"
#include "heap/run.h"
#include "heap/space.h"
#include "life/settle.h"
#include "mark/phase.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/image.h"
#include "os/lock.h"
#include "world/roots.h"
#include "world/stop.h"

static struct {
    struct lm_queue lock;    // one collection at a time
    uint64_t number;         // of the last that is over; atomic for readers
    uint64_t begun;          // of the last that was begun; atomic for readers
    enum lm_cycle_kind last; // run; guarded by the lock
    uint32_t waiting;        // that want to collect; atomic
    struct lm_cycle_figures figures; // guarded by the gate
    lm_cycle_listener *listener;
    void (*on_begin)(uint64_t number);
    bool wants_heap_after;
} cycle;

const char *lm_cause_name(enum lm_cause cause) {
    static const char *const names[] = {
        "growth",  "soft limit", "heap maximum", "no memory",
        "request", "torture",    "exit"};
    return names[cause];
}

const char *lm_cycle_kind_name(enum lm_cycle_kind kind) {
    static const char *const names[] = {"full", "minor", "concurrent",
                                        "minor given up"};
    return names[kind];
}

uint64_t lm_cycle_number(void) {
    return __atomic_load_n(&cycle.number, __ATOMIC_RELAXED);
}

uint64_t lm_cycle_begun(void) {
    return __atomic_load_n(&cycle.begun, __ATOMIC_RELAXED);
}

void lm_cycle_listen(lm_cycle_listener *listener, bool wants_heap_after) {
    cycle.listener = listener;
    cycle.wants_heap_after = wants_heap_after;
}

void lm_cycle_watch(void (*on_begin)(uint64_t)) {
    cycle.on_begin = on_begin;
}

void lm_cycle_hold(void) {
    lm_member_acquire(&cycle.lock);
}

void lm_cycle_let(void) {
    lm_member_release(&cycle.lock);
}

// ---- A collection that stops the program ----------------------------------------

// While the loader is locked, so that what is loaded stays so.
static void cycle_run_full(const struct lm_images *images, void *argument) {
    struct lm_cycle_event *event = argument;
    uint64_t began = lm_pause_enter(event);
    lm_pause_before();
    lm_sweep_prepare();
    uint64_t marking = lm_clock_ns();
    struct loam_marker *marker = lm_team_begin(false);
    lm_roots_mark(marker, images);
    lm_settle_roots(marker, true);
    lm_team_finish();
    event->mark_ns = lm_clock_ns() - marking;
    lm_turn(event, began);
    if (lm_space.is_sticky) {
        lm_dirty_arm(); // what is written from now on is of interest
    }
    lm_pause_end(event, began);
}

// ---- A minor collection ------------------------------------------------------------

// Generations end with the next collection of all: to forget here what is old
// would take a look at each block.
static void minor_give_up(struct lm_cycle_event *event) {
    lm_pace_give_up();
    event->kind = LM_CYCLE_GIVEN_UP;
}

static void cycle_run_minor(const struct lm_images *images, void *argument) {
    struct lm_cycle_event *event = argument;
    uint64_t began = lm_pause_enter(event);
    size_t most = lm_pace_minor_pages();
    uint64_t looking = lm_clock_ns();
    event->dirty_pages = lm_dirty_count_old(most == SIZE_MAX ? 0 : most + 1);
    event->look_ns = lm_clock_ns() - looking;
    if (event->dirty_pages > most || !lm_settle_allows_minor()) {
        minor_give_up(event);
        lm_pause_end(event, began);
        return;
    }
    struct loam_marker *marker = lm_team_begin(true);
    lm_roots_mark(marker, images);
    lm_settle_roots(marker, false);
    lm_dirty_visit_old(marker);
    lm_team_complete();
    lm_settle_minor(marker);
    lm_team_finish();
    lm_sweep_begin_minor(lm_dirty_arm_block);
    lm_dirty_arm_blocks();
    lm_pause_after();
    event->mark_ns = lm_clock_ns() - began - event->stop_ns;
    struct lm_pace_event e = lm_turn_count(event, began);
    lm_pace_after_minor(&e);
    lm_pause_end(event, began);
}

// ---- All of it -----------------------------------------------------------------

static void cycle_account(struct lm_cycle_event *event, uint64_t cpu_ns) {
    struct lm_cycle_figures *f = &cycle.figures;
    if (event->kind != LM_CYCLE_GIVEN_UP) {
        f->live_bytes = event->live_bytes;
        f->live_count = event->live_count;
    }
    f->cpu_ns += cpu_ns;
    f->count[event->kind]++;
    f->dirty_pages += event->dirty_pages;
    if (event->pause_ns > f->kind_pause_max_ns[event->kind]) {
        f->kind_pause_max_ns[event->kind] = event->pause_ns;
    }
    if (event->stop_ns > f->stop_max_ns) {
        f->stop_max_ns = event->stop_ns;
    }
    event->cpu_ns = f->cpu_ns + lm_team_helper_cpu_ns();
    event->markers = lm_team_size();
    cycle.last = event->kind;
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
    return cause == LM_CAUSE_GROWTH || cause == LM_CAUSE_SOFT ||
           cause == LM_CAUSE_LIMIT || cause == LM_CAUSE_REFUSED;
}

// Whether the last collection was as good as one for that cause.
static bool cause_is_met(enum lm_cause cause) {
    return cause == LM_CAUSE_GROWTH || cycle.last == LM_CYCLE_FULL ||
           (cause == LM_CAUSE_SOFT && cycle.last == LM_CYCLE_BESIDE);
}

static bool cycle_run(struct lm_cycle_event *event) {
    if (event->kind == LM_CYCLE_BESIDE) {
        return lm_beside_run(event);
    }
    lm_pause_gate();
    bool ok = lm_image_hold(event->kind == LM_CYCLE_MINOR ? cycle_run_minor
                                                          : cycle_run_full,
                            event);
    lm_pause_ungate();
    return ok;
}

static void cycle_settle(struct lm_cycle_event *event) {
    bool is_more = true;
    if (!lm_settle_is_under_way()) {
        return;
    }
    while (is_more) {
        lm_pause_gate();
        is_more = lm_settle_some();
        lm_pause_ungate();
        if (lm_settle_needs_stop()) {
            lm_pause_for(event, lm_settle_stopped);
        }
    }
    if (lm_pause_after_is_wanted()) {
        lm_pause_for(event, lm_pause_after);
    }
    lm_settle_end();
}

// What is left to do when the program runs again.
static void cycle_follow(struct lm_cycle_event *event) {
    cycle_settle(event);
    lm_chunk_trim();
    // A fork in the middle of it would leave the child a run that is neither
    // somebody's nor free.
    lm_pause_gate();
    lm_sweep_dead_runs();
    lm_pause_ungate();
    if (event->kind != LM_CYCLE_MINOR) {
        lm_sweep_large();
    }
    if (lm_space.is_sticky && event->kind != LM_CYCLE_MINOR) {
        lm_dirty_disarm_empty();
    } else if (event->kind == LM_CYCLE_BESIDE) {
        lm_dirty_disarm(); // nobody asks what is written until the next
    }
}

static enum lm_cycle_kind cycle_allowed(enum lm_cycle_kind kind) {
    if (lm_settings.concurrent != LM_OFF || lm_settings.generations != LM_OFF) {
        lm_dirty_open();
    }
    // Given up, they are of use to nobody any more, though what is old is known.
    if (kind == LM_CYCLE_MINOR &&
        !(lm_space.is_sticky && lm_pace_is_generational())) {
        return LM_CYCLE_FULL;
    }
    if (kind == LM_CYCLE_BESIDE && !lm_dirty_open()) {
        return LM_CYCLE_FULL;
    }
    return kind;
}

bool lm_cycle_collect(enum lm_cycle_kind kind, enum lm_cause cause,
                      uint64_t seen) {
    struct lm_cycle_event event = {.cause = cause};
    if (lm_beside_is_on() && kind != LM_CYCLE_BESIDE) {
        lm_phase_hurry(true); // the rest in a stop: somebody waits
    }
    __atomic_add_fetch(&cycle.waiting, 1, __ATOMIC_RELAXED);
    lm_cycle_hold();
    __atomic_sub_fetch(&cycle.waiting, 1, __ATOMIC_RELAXED);
    if (cause_is_content(cause) && lm_cycle_number() > seen &&
        cause_is_met(cause)) {
        lm_cycle_let();
        return true;
    }
    lm_member_note_keep(lm_self);
    __atomic_store_n(&cycle.begun, lm_cycle_number() + 1, __ATOMIC_RELAXED);
    event.cpu_began_ns = lm_clock_thread_ns();
    event.kind = cycle_allowed(kind);
    if (lm_room_is_limited()) {
        lm_sweep_rest(); // what is in use should be what may be alive
    }
    lm_team_prepare(lm_run_used() << LM_BLOCK_SHIFT);
    if (cycle.on_begin) {
        cycle.on_begin(lm_cycle_number() + 1);
    }
    bool ok = cycle_run(&event);
    if (!ok && event.kind == LM_CYCLE_BESIDE) {
        event.kind = LM_CYCLE_FULL;
        event.end = LM_END_FAILED;
        ok = cycle_run(&event);
    }
    if (ok) {
        cycle_follow(&event);
        lm_pause_gate();
        cycle_account(&event, lm_clock_thread_ns() - event.cpu_began_ns);
        lm_pause_ungate();
        cycle_report(&event);
    } else {
        __atomic_store_n(&cycle.begun, lm_cycle_number(), __ATOMIC_RELAXED);
    }
    lm_member_note_drop(lm_self);
    lm_cycle_let();
    return ok;
}

// ---- For others ----------------------------------------------------------------

void lm_cycle_figures_get(struct lm_cycle_figures *figures) {
    lm_pause_gate();
    *figures = cycle.figures;
    lm_pause_figures_get(figures);
    lm_pause_ungate();
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

bool lm_cycle_is_awaited(void) {
    return __atomic_load_n(&cycle.waiting, __ATOMIC_RELAXED) != 0;
}

// A child has none of the threads that marked; what they have done is undone.
static void cycle_abandon(void) {
    lm_sweep_forget_marks();
    lm_space.is_marking = lm_space.is_sticky = false;
    lm_beside_fork_child();
    lm_turn_fork_child();
}

// Its only thread is this one, so nothing needs a stop.
static void cycle_settle_child(void) {
    if (!lm_settle_is_under_way()) {
        return;
    }
    lm_settle_fork_child();
    while (lm_settle_some()) {
        if (lm_settle_needs_stop()) {
            lm_settle_stopped();
        }
    }
    lm_pause_after();
    lm_settle_end();
}

void lm_cycle_fork_prepare(void) {
    lm_pause_gate();
}

void lm_cycle_fork_done(bool in_child) {
    if (in_child) {
        cycle.figures.cpu_ns = 0;
        cycle.waiting = 0;
        cycle_settle_child();
        if (lm_space.is_marking || lm_space.is_sticky ||
            lm_turn_is_forgetting()) {
            cycle_abandon();
            lm_pace_forget();
        }
        cycle.begun = cycle.number;
        lm_queue_reset(&cycle.lock, false);
        lm_pause_fork_child();
        // Who was about to is not here: what died, and the old marks of large
        // objects, which the next marking would take for its own.
        lm_sweep_dead_runs();
        lm_sweep_large();
    }
    lm_pause_ungate();
}
