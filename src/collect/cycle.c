// SPDX-License-Identifier: MIT
// cycle.c: the phases of a collection, in order.

#include "collect/cycle.h"

#include "alloc/budget.h"
#include "alloc/cache.h"
#include "alloc/sweep.h"
#include "base/check.h"
#include "collect/dirty.h"
#include "collect/pace.h"
#include "collect/room.h"
#include "heap/kind.h"
#include "heap/run.h"
#include "heap/space.h"
#include "life/garbage.h"
#include "life/settle.h"
#include "mark/lines.h"
#include "mark/phase.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/image.h"
#include "os/lock.h"
#include "os/thread.h"
#include "world/roots.h"
#include "world/stop.h"

// Rounds over written pages before the program is stopped for the last of them, and
// how few changed lines are not worth another. Nor is one that has found more than
// half as many as the one before: stops get further at less cost.
#define CYCLE_ROUNDS 12
#define CYCLE_FEW_LINES 512

// So many short stops are tried, or for so long in all, for each GiB of heap, before
// the last one takes as long as it takes: to stop a thousand threads alone takes
// longer than a pause should.
#define CYCLE_STOPS 4096
#define CYCLE_STOPS_NS 2000000000u
#define CYCLE_SHIFT_MAX 4

// Written pages that are armed at a time in and between short stops.
#define CYCLE_VISIT_PAGES 512

// The longest marking between two short stops; after so many that had no time for
// all that was written it is halved.
#define CYCLE_DRAIN_NS 500000u
#define CYCLE_DRAIN_STOPS 256

static struct {
    struct lm_queue lock; // one collection at a time
    // Guards all below, and is held while the program is being stopped: what
    // has to wait for neither marking beside the program nor sweeping takes
    // only this.
    struct lm_queue gate;
    uint64_t number;         // of the last that is over; atomic for readers
    uint64_t begun;          // of the last that was begun; atomic for readers
    enum lm_cycle_kind last; // run; guarded by the lock
    bool is_beside;          // marking beside the program; atomic
    bool is_forgetting;      // what is old; changes under the gate
    uint32_t waiting;        // that want to collect; atomic
    struct lm_cycle_figures figures;
    lm_cycle_listener *listener;
    void (*on_begin)(uint64_t number);
    void (*on_pause)(uint64_t ns);
    void (*before)(void);
    void (*after)(void);
    bool (*is_after_wanted)(void);
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

void lm_cycle_listen(lm_cycle_listener *listener, void (*on_pause)(uint64_t),
                     bool wants_heap_after) {
    cycle.listener = listener;
    cycle.on_pause = on_pause;
    cycle.wants_heap_after = wants_heap_after;
}

void lm_cycle_watch(void (*on_begin)(uint64_t)) {
    cycle.on_begin = on_begin;
}

void lm_cycle_attend(void (*before)(void), void (*after)(void),
                     bool (*is_wanted)(void)) {
    cycle.before = before;
    cycle.after = after;
    cycle.is_after_wanted = is_wanted;
}

// Whoever waits for a collection is safe meanwhile.
static void cycle_acquire(struct lm_queue *lock) {
    struct lm_member *self = lm_self;
    if (self) {
        // A handler that jumped out of here would take the program's restart
        // with it.
        lm_member_inside(self);
    }
    if (lm_queue_try(lock)) {
        return;
    }
    if (!lm_member_is_running(self)) {
        lm_queue_acquire(lock);
        return;
    }
    lm_member_retreat(self);
    lm_queue_acquire(lock);
    lm_member_resume(self);
}

static void cycle_release(struct lm_queue *lock) {
    lm_queue_release(lock);
    if (lm_self) {
        lm_member_outside(lm_self);
    }
}

void lm_cycle_hold(void) {
    cycle_acquire(&cycle.lock);
}

void lm_cycle_let(void) {
    cycle_release(&cycle.lock);
}

void lm_cycle_gate(void) {
    cycle_acquire(&cycle.gate);
}

void lm_cycle_ungate(void) {
    cycle_release(&cycle.gate);
}

bool lm_cycle_is_beside(void) {
    return __atomic_load_n(&cycle.is_beside, __ATOMIC_RELAXED);
}

// ---- What all collections have in common ---------------------------------------

// Returns when the pause began: when the first thread was asked to stop, and not
// before, when this one may have had to wait for a processor.
static uint64_t cycle_stop(struct lm_cycle_event *event) {
    uint64_t ns = lm_world_stop();
    if (ns > event->stop_ns) {
        event->stop_ns = ns;
    }
    if (lm_self) {
        lm_member_note(lm_self);
    }
    return lm_clock_ns() - ns;
}

// The first stop of a collection; returns when it began.
static uint64_t cycle_enter(struct lm_cycle_event *event) {
    uint64_t began = cycle_stop(event);
    lm_cache_retire_all();
    event->heap_before_bytes = lm_run_used() << LM_BLOCK_SHIFT;
    return began;
}

static void cycle_attend(void (*fn)(void)) {
    if (fn) {
        fn();
    }
}

static void cycle_start(struct lm_cycle_event *event, uint64_t began) {
    // Read first: as soon as the others may go on they may take this thread's
    // processor.
    uint64_t ns = lm_clock_ns() - began;
    lm_world_start();
    struct lm_cycle_figures *f = &cycle.figures;
    f->pause_total_ns += ns;
    f->pause_last_ns = ns;
    f->pause_max_ns = ns > f->pause_max_ns ? ns : f->pause_max_ns;
    event->pause_ns = ns > event->pause_ns ? ns : event->pause_ns;
    event->pause_count++;
    if (cycle.on_pause) {
        cycle.on_pause(ns);
    }
}

static void cycle_pause(struct lm_cycle_event *event, void (*fn)(void)) {
    lm_cycle_gate();
    uint64_t began = cycle_stop(event);
    fn();
    cycle_start(event, began);
    lm_cycle_ungate();
}

// With the program stopped: who takes a block from now on leaves it without marks.
static void ages_end(void) {
    lm_space.is_sticky = false;
    cycle.is_forgetting = true;
}

// Beside the program, since there may be many young blocks: all that was allocated
// since the last collection.
static void ages_forget(struct lm_cycle_event *event) {
    if (!lm_space.is_sticky) {
        return;
    }
    cycle_pause(event, ages_end);
    lm_sweep_forget_ages();
    lm_cycle_gate();
    cycle.is_forgetting = false;
    lm_cycle_ungate();
}

void lm_cycle_forget_ages(void) {
    struct lm_cycle_event event = {0};
    ages_forget(&event);
}

static struct lm_pace_event cycle_count_live(struct lm_cycle_event *event,
                                             uint64_t began) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        event->live_bytes += lm_kinds[kind].live_bytes;
        event->live_count += lm_kinds[kind].live_count;
    }
    return (struct lm_pace_event){.live_bytes = event->live_bytes,
                                  .used_bytes = lm_run_used() << LM_BLOCK_SHIFT,
                                  .cost_ns = lm_clock_ns() - began,
                                  .cpu_ns = lm_clock_thread_ns() -
                                            event->cpu_began_ns,
                                  .mark_ns = event->mark_ns,
                                  .written_pages = event->first_pages,
                                  .look_ns = event->look_ns,
                                  .is_beside = event->kind == LM_CYCLE_BESIDE,
                                  .was_full = event->cause == LM_CAUSE_LIMIT ||
                                              event->cause == LM_CAUSE_SOFT};
}

// Makes what is marked what is allocated, and decides what comes next.
static void cycle_turn(struct lm_cycle_event *event, uint64_t began) {
    lm_sweep_begin();
    struct lm_pace_event e = cycle_count_live(event, began);
    if (event->kind == LM_CYCLE_BESIDE) {
        e.cost_ns = e.cpu_ns; // it takes a processor from the program
    }
    lm_pace_after(&e);
    lm_space.is_sticky = lm_pace_is_generational() && !lm_garbage_is_kept();
    lm_settle_begin(event->kind != LM_CYCLE_BESIDE);
    if (!lm_settle_is_under_way()) {
        cycle_attend(cycle.after);
    }
}

// ---- A collection that stops the program ----------------------------------------

// While the loader is locked, so that what is loaded stays so.
static void cycle_run_full(const struct lm_images *images, void *argument) {
    struct lm_cycle_event *event = argument;
    uint64_t began = cycle_enter(event);
    cycle_attend(cycle.before);
    lm_sweep_prepare();
    uint64_t marking = lm_clock_ns();
    struct loam_marker *marker = lm_team_begin(false);
    lm_roots_mark(marker, images);
    lm_settle_roots(marker, true);
    lm_team_finish();
    event->mark_ns = lm_clock_ns() - marking;
    cycle_turn(event, began);
    if (lm_space.is_sticky) {
        lm_dirty_arm(); // what is written from now on is of interest
    }
    cycle_start(event, began);
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
    uint64_t began = cycle_enter(event);
    size_t most = lm_pace_minor_pages();
    uint64_t looking = lm_clock_ns();
    event->dirty_pages = lm_dirty_count_old(most == SIZE_MAX ? 0 : most + 1);
    event->look_ns = lm_clock_ns() - looking;
    if (event->dirty_pages > most || !lm_settle_allows_minor()) {
        minor_give_up(event);
        cycle_start(event, began);
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
    cycle_attend(cycle.after);
    event->mark_ns = lm_clock_ns() - began - event->stop_ns;
    struct lm_pace_event e = cycle_count_live(event, began);
    lm_pace_after_minor(&e);
    cycle_start(event, began);
}

// ---- Marking beside the program ---------------------------------------------------

static void beside_begin(const struct lm_images *images, void *argument) {
    struct lm_cycle_event *event = argument;
    uint64_t began = cycle_enter(event);
    cycle_attend(cycle.before);
    lm_sweep_prepare();
    lm_space.is_marking = true;
    lm_roots_mark(lm_team_begin(false), images);
    cycle_start(event, began);
}

// One marking beside the program.
struct beside {
    struct lm_cycle_event *event;
    size_t pages;      // written, met since the program was first stopped again
    size_t block;      // where the visit of written pages goes on
    uint64_t began_ns; // the marking, not only its end
    unsigned stops;
    unsigned late; // of those, how many had no time for all that was written
    uint64_t ns;   // that they took in all
    bool is_done;
};

// Of the pause target, for marking; the rest is for stopping and starting. Where
// stopping took longer there is time to mark all the same, or it was in vain.
static uint64_t beside_deadline(const struct beside *b) {
    uint64_t gib = (lm_run_used() >> (30 - LM_BLOCK_SHIFT)) + 1;
    if (b->stops >= CYCLE_STOPS * gib || b->ns >= CYCLE_STOPS_NS * gib ||
        lm_phase_is_hurried()) {
        return 0;
    }
    return lm_clock_ns() + lm_pace_target_ns() / 10 * 6;
}

// What took as long as it took may have been all the time there was; what it led
// to gets a little in any case, or there would be no end of it.
static uint64_t beside_least(uint64_t deadline_ns) {
    uint64_t least = lm_clock_ns() + lm_pace_target_ns() / 10;
    return deadline_ns && deadline_ns < least ? least : deadline_ns;
}

// The roots come last, in stops that may be the last one, since nobody tells which
// of them were written.
static bool beside_is_rooted(const struct lm_images *images,
                             uint64_t deadline_ns) {
    lm_phase_set(false, false, 0);
    lm_roots_mark(lm_team_marker(), images);
    lm_settle_roots(lm_team_marker(), false);
    return lm_team_drain(false, beside_least(deadline_ns));
}

// Arms what is written and scans it again, a little at a time: what there is no
// time for had better stay unarmed, for then the program writes it for nothing.
static bool beside_visit(struct beside *b, bool is_concurrent,
                         uint64_t deadline_ns) {
    // First what is left of the visit before: pages that wait to be scanned are
    // written, and visited, again.
    bool is_drained = lm_team_drain(is_concurrent, deadline_ns);
    bool is_end = false;
    while (is_drained && !is_end) {
        lm_phase_set(false, is_concurrent, 0);
        is_end = lm_dirty_visit_some(lm_team_marker(), &b->pages, &b->block,
                                     CYCLE_VISIT_PAGES);
        is_drained = lm_team_drain(
            is_concurrent, is_end ? beside_least(deadline_ns) : deadline_ns);
        if (deadline_ns && lm_clock_ns() > deadline_ns) {
            break;
        }
    }
    return is_drained && is_end;
}

// All that is written has been visited and all that is marked has been scanned,
// in one stop: so nothing is left.
static bool beside_is_all(struct beside *b, const struct lm_images *images,
                          uint64_t deadline_ns) {
    bool is_whole;
    do {
        is_whole = b->block == 1;
        if (!beside_visit(b, false, deadline_ns)) {
            return false;
        }
    } while (!is_whole);
    return beside_is_rooted(images, deadline_ns);
}

static void beside_stop(const struct lm_images *images, void *argument) {
    struct beside *b = argument;
    struct lm_cycle_event *event = b->event;
    uint64_t began = cycle_stop(event);
    b->is_done = beside_is_all(b, images, beside_deadline(b));
    b->late += b->block != 1;
    b->stops++;
    if (b->is_done) {
        lm_cache_retire_all();
        lm_team_finish();
        lm_space.is_marking = false;
        event->mark_ns = lm_clock_ns() - b->began_ns;
        cycle_turn(event, began);
    }
    cycle_start(event, began);
    b->ns += lm_clock_ns() - began;
}

// Gives the marker what lives because of records and maps.
static void beside_ahead(bool is_first) {
    lm_phase_set(false, true, 0);
    lm_settle_ahead(lm_team_marker(), is_first);
}

// Arms what is written, and scans it again.
static bool beside_round(size_t *old_pages) {
    lm_phase_set(false, true, 0);
    *old_pages = lm_dirty_visit_all(lm_team_marker());
    return lm_team_drain(true, 0);
}

// Marks until little is left for the last stop: as long as rounds find far fewer
// changes than those before.
static void beside_mark(struct lm_cycle_event *event) {
    size_t before = SIZE_MAX;
    size_t pages;
    lm_lines_begin();
    beside_ahead(true);
    bool ok = beside_round(&pages);
    lm_team_lines();
    while (ok && event->rounds < CYCLE_ROUNDS) {
        ok = beside_round(&pages);
        size_t lines = lm_team_lines();
        event->first_pages = event->rounds++ ? event->first_pages : pages;
        if (lines <= CYCLE_FEW_LINES || lines > before / 2) {
            break;
        }
        before = lines;
    }
    if (ok) {
        beside_ahead(false);
        lm_team_drain(true, 0);
    }
}

// Without a list of roots there is no end: the marks are dropped.
static void beside_abandon(void) {
    lm_world_stop();
    lm_cache_retire_all();
    lm_team_abandon();
    lm_sweep_forget_marks();
    lm_space.is_marking = false;
    lm_world_start();
}

// How long the program runs between two stops, but for what marking there is left
// to do: half as long as they take, and where it writes faster than this thread can
// read, less and less.
static uint64_t beside_interval(const struct beside *b) {
    unsigned shift = b->late < CYCLE_SHIFT_MAX ? b->late : CYCLE_SHIFT_MAX;
    return (lm_pace_target_ns() / 4) >> shift;
}

// How long marking goes on between two stops, at most: also less and less.
static uint64_t beside_drain(const struct beside *b) {
    unsigned shift = b->late / CYCLE_DRAIN_STOPS;
    return CYCLE_DRAIN_NS >>
           (shift < CYCLE_SHIFT_MAX ? shift : CYCLE_SHIFT_MAX);
}

// What does not fit one short stop is done in several. In between the program
// runs, and marking goes on beside it.
static bool beside_finish(struct lm_cycle_event *event, uint64_t began_ns) {
    struct beside b = {.event = event, .began_ns = began_ns, .block = 1};
    for (;;) {
        lm_cycle_gate();
        bool ok = lm_image_hold(beside_stop, &b);
        if (!ok) {
            beside_abandon();
        }
        lm_cycle_ungate();
        if (b.is_done || !ok) {
            event->dirty_pages += b.pages;
            event->stops = b.stops;
            return ok;
        }
        // Marking is let come to its end, within reason: what a stop had no time
        // for need not wait for the next.
        lm_team_drain(true, lm_clock_ns() + beside_drain(&b));
        uint64_t until = lm_clock_ns() + beside_interval(&b);
        beside_visit(&b, true, until);
        uint64_t now = lm_clock_ns();
        if (now < until && !lm_phase_is_hurried()) {
            lm_thread_sleep(until - now);
        }
    }
}

static bool cycle_run_beside(struct lm_cycle_event *event) {
    lm_sweep_rest();
    ages_forget(event);
    lm_sweep_forget_freed();
    lm_cycle_gate();
    bool ok = lm_image_hold(beside_begin, event);
    __atomic_store_n(&cycle.is_beside, ok, __ATOMIC_RELAXED);
    lm_cycle_ungate();
    if (!ok) {
        return false;
    }
    uint64_t marking = lm_clock_ns();
    beside_mark(event);
    ok = beside_finish(event, marking);
    __atomic_store_n(&cycle.is_beside, false, __ATOMIC_RELAXED);
    return ok;
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
        return cycle_run_beside(event);
    }
    lm_cycle_gate();
    bool ok = lm_image_hold(event->kind == LM_CYCLE_MINOR ? cycle_run_minor
                                                          : cycle_run_full,
                            event);
    lm_cycle_ungate();
    return ok;
}

static void cycle_settle(struct lm_cycle_event *event) {
    bool is_more = true;
    if (!lm_settle_is_under_way()) {
        return;
    }
    while (is_more) {
        lm_cycle_gate();
        is_more = lm_settle_some();
        lm_cycle_ungate();
        if (lm_settle_needs_stop()) {
            cycle_pause(event, lm_settle_stopped);
        }
    }
    if (cycle.is_after_wanted && cycle.is_after_wanted()) {
        cycle_pause(event, cycle.after);
    }
    lm_settle_end();
}

// What is left to do when the program runs again.
static void cycle_follow(struct lm_cycle_event *event) {
    cycle_settle(event);
    lm_chunk_trim();
    // A fork in the middle of it would leave the child a run that is neither
    // somebody's nor free.
    lm_cycle_gate();
    lm_sweep_dead_runs();
    lm_cycle_ungate();
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
    if (lm_cycle_is_beside()) {
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
    if (ok) {
        cycle_follow(&event);
        lm_cycle_gate();
        cycle_account(&event, lm_clock_thread_ns() - event.cpu_began_ns);
        lm_cycle_ungate();
        cycle_report(&event);
    } else {
        __atomic_store_n(&cycle.begun, lm_cycle_number(), __ATOMIC_RELAXED);
    }
    lm_cycle_let();
    return ok;
}

// ---- For others ----------------------------------------------------------------

void lm_cycle_figures_get(struct lm_cycle_figures *figures) {
    lm_cycle_gate();
    *figures = cycle.figures;
    lm_cycle_ungate();
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

struct pause {
    lm_cycle_pause_fn *fn;
    void *argument;
    uint64_t ns;
};

static void pause_run(const struct lm_images *images, void *argument) {
    struct pause *p = argument;
    struct lm_cycle_event event = {0};
    uint64_t began = cycle_stop(&event);
    lm_cache_retire_all();
    p->fn(images, began, p->argument);
    cycle_start(&event, began);
    p->ns = event.pause_ns;
}

uint64_t lm_cycle_pause(lm_cycle_pause_fn *fn, void *argument) {
    struct pause p = {fn, argument, 0};
    lm_cycle_gate();
    lm_image_hold(pause_run, &p);
    lm_cycle_ungate();
    return p.ns;
}

// A child has none of the threads that marked; what they have done is undone.
static void cycle_abandon(void) {
    lm_sweep_forget_marks();
    lm_space.is_marking = lm_space.is_sticky = false;
    cycle.is_beside = cycle.is_forgetting = false;
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
    cycle_attend(cycle.after);
    lm_settle_end();
}

void lm_cycle_fork_prepare(void) {
    lm_cycle_gate();
}

void lm_cycle_fork_done(bool in_child) {
    if (in_child) {
        cycle.figures.cpu_ns = 0;
        cycle.waiting = 0;
        cycle_settle_child();
        if (lm_space.is_marking || lm_space.is_sticky || cycle.is_forgetting) {
            cycle_abandon();
            lm_pace_forget();
        }
        cycle.begun = cycle.number;
        lm_queue_reset(&cycle.lock, false);
        lm_queue_reset(&cycle.gate, true);
        // Who was about to is not here: what died, and the old marks of large
        // objects, which the next marking would take for its own.
        lm_sweep_dead_runs();
        lm_sweep_large();
    }
    lm_cycle_ungate();
}
