// SPDX-License-Identifier: MIT
// beside.c: marking while the program runs: rounds over written pages, then short
// stops. See docs/internals/decisions/0009.

#include "collect/beside.h"

#include "alloc/cache.h"
#include "alloc/sweep.h"
#include "collect/dirty.h"
#include "collect/pace.h"
#include "collect/pause.h"
#include "collect/turn.h"
#include "heap/run.h"
#include "heap/space.h"
#include "life/settle.h"
#include "mark/lines.h"
#include "mark/phase.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/image.h"
#include "os/thread.h"
#include "world/roots.h"
#include "world/stop.h"

// Rounds over written pages before the program is stopped for the last of them, and
// how few changed lines are not worth another. Nor is one that has found more than
// half as many as the one before: stops get further at less cost.
#define BESIDE_ROUNDS 12
#define BESIDE_FEW_LINES 512

// So many short stops are tried, or for so long in all, for each GiB of heap, before
// the last one takes as long as it takes: to stop a thousand threads alone takes
// longer than a pause should.
#define BESIDE_STOPS 4096
#define BESIDE_STOPS_NS 2000000000u
#define BESIDE_SHIFT_MAX 4

// Written pages that are armed at a time in and between short stops.
#define BESIDE_VISIT_PAGES 512

// The longest marking between two short stops; after so many that had no time for
// all that was written it is halved.
#define BESIDE_DRAIN_NS 500000u
#define BESIDE_DRAIN_STOPS 256

static bool beside_is_on; // such a marking is under way; atomic

bool lm_beside_is_on(void) {
    return __atomic_load_n(&beside_is_on, __ATOMIC_RELAXED);
}

void lm_beside_fork_child(void) {
    beside_is_on = false;
}

static void beside_begin(const struct lm_images *images, void *argument) {
    struct lm_cycle_event *event = argument;
    uint64_t began = lm_pause_enter(event);
    lm_pause_before();
    lm_sweep_prepare();
    lm_space.is_marking = true;
    lm_roots_mark(lm_team_begin(false), images);
    lm_pause_end(event, began);
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
    if (b->stops >= BESIDE_STOPS * gib || b->ns >= BESIDE_STOPS_NS * gib) {
        b->event->end = LM_END_STALLED;
        return 0;
    }
    if (lm_phase_is_hurried()) {
        b->event->end = LM_END_AWAITED;
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
                                     BESIDE_VISIT_PAGES);
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
    uint64_t began = lm_pause_begin(event);
    b->is_done = beside_is_all(b, images, beside_deadline(b));
    b->late += b->block != 1;
    b->stops++;
    if (b->is_done) {
        lm_cache_retire_all();
        lm_team_finish();
        lm_space.is_marking = false;
        event->mark_ns = lm_clock_ns() - b->began_ns;
        lm_turn(event, began);
    }
    lm_pause_end(event, began);
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
    while (ok && event->rounds < BESIDE_ROUNDS) {
        ok = beside_round(&pages);
        size_t lines = lm_team_lines();
        event->first_pages = event->rounds++ ? event->first_pages : pages;
        if (lines <= BESIDE_FEW_LINES || lines > before / 2) {
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
    unsigned shift = b->late < BESIDE_SHIFT_MAX ? b->late : BESIDE_SHIFT_MAX;
    return (lm_pace_target_ns() / 4) >> shift;
}

// How long marking goes on between two stops, at most: also less and less.
static uint64_t beside_drain(const struct beside *b) {
    unsigned shift = b->late / BESIDE_DRAIN_STOPS;
    return BESIDE_DRAIN_NS >>
           (shift < BESIDE_SHIFT_MAX ? shift : BESIDE_SHIFT_MAX);
}

// What does not fit one short stop is done in several. In between the program
// runs, and marking goes on beside it.
static bool beside_finish(struct lm_cycle_event *event, uint64_t began_ns) {
    struct beside b = {.event = event, .began_ns = began_ns, .block = 1};
    for (;;) {
        lm_pause_gate();
        bool ok = lm_image_hold(beside_stop, &b);
        if (!ok) {
            beside_abandon();
        }
        lm_pause_ungate();
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

bool lm_beside_run(struct lm_cycle_event *event) {
    lm_sweep_rest();
    lm_turn_forget_ages(event);
    lm_sweep_forget_freed();
    lm_pause_gate();
    bool ok = lm_image_hold(beside_begin, event);
    __atomic_store_n(&beside_is_on, ok, __ATOMIC_RELAXED);
    lm_pause_ungate();
    if (!ok) {
        return false;
    }
    uint64_t marking = lm_clock_ns();
    beside_mark(event);
    ok = beside_finish(event, marking);
    __atomic_store_n(&beside_is_on, false, __ATOMIC_RELAXED);
    return ok;
}
