// SPDX-License-Identifier: MIT
// compact.c: one pass over the heap, then as many short stops as it takes.
//
//   choose blocks, out of allocators' reach                    alloc/evacuate
//   arm all pages, record the fields that refer into them      mark/refer
//   again and again, until all blocks are done:
//       rounds over the pages that were written meanwhile
//       stop:  what was written last, and the roots
//              move the objects of some blocks, change the fields
//              free the blocks
//
// It comes after a collection and not with one: so marking knows nothing of it
// and costs what it does; what is dead is not moved; and one pass serves for
// all the stops, each of which leaves the heap whole. Dead objects that the
// last collection has not seen die are treated as live.
//
// Where writes cannot be tracked, all of it is one stop.
//
//   compact.1  Between stops each source is as it was or gone, so whoever needs
//              a collection need only wait for the end of a stop.

#include "collect/compact.h"

#include "alloc/evacuate.h"
#include "alloc/sweep.h"
#include "base/config.h"
#include "base/settings.h"
#include "collect/cycle.h"
#include "collect/dirty.h"
#include "collect/pace.h"
#include "collect/pause.h"
#include "collect/turn.h"
#include "heap/run.h"
#include "heap/space.h"
#include "life/garbage.h"
#include "mark/refer.h"
#include "os/clock.h"
#include "os/thread.h"
#include "os/track.h"
#include "world/member.h"
#include "world/roots.h"

// Blocks that are fuller than this, in percent, are left as they are: moving
// much to gain little. And when nobody has asked.
#define COMPACT_DENSE 88
#define COMPACT_DENSE_IDLE 50

// It pays by itself when it would free this share of the blocks in use, in
// percent, and so many.
#define COMPACT_SHARE 20
#define COMPACT_LEAST_BLOCKS (LM_STASH_BLOCKS * 16)

// A request is done when a pass empties less than one block in so many.
#define COMPACT_LITTLE 64

// Passes, with those that were abandoned.
#define COMPACT_PASSES 4
#define COMPACT_TRIES 8

// Rounds over written pages before a stop, how few pages are not worth another,
// and how many stops in a row may leave no time to move anything before one takes
// as long as it takes.
#define COMPACT_ROUNDS 6
#define COMPACT_FEW_PAGES 32
#define COMPACT_MISSES 16

// Between looks whether those that waited have had their collection.
#define COMPACT_SLEEP_NS 50000
#define COMPACT_SLEEPS 1000

static struct {
    void (*listener)(const struct lm_compact_event *);
    struct lm_compact_figures figures; // atomic
    unsigned running; // lm_compact_run and lm_compact_idle; atomic
} compact;

// One pass.
struct pass {
    struct lm_compact_event event;
    uint32_t next; // source
    bool is_tracked;
    unsigned misses;
    size_t pages; // looked at in this round
    uint64_t deadline_ns;
};

void lm_compact_listen(void (*listener)(const struct lm_compact_event *)) {
    compact.listener = listener;
}

// ---- In a stop -----------------------------------------------------------------

static void row_see(void *argument, uintptr_t start, uintptr_t end) {
    struct pass *p = argument;
    p->pages += (end - start) >> LM_PAGE_SHIFT;
    lm_refer_scan(start, end);
}

static void see_everything(void) {
    lm_refer_scan((uintptr_t)lm_space_address(1),
                  (uintptr_t)lm_space_address(lm_space_used_blocks()));
}

static void row_pass(void *argument, uintptr_t start, uintptr_t end) {
    (void)argument;
    (void)start;
    (void)end;
}

// What was written since stop_see_written was written here, and is known.
static void stop_arm(const struct pass *p) {
    size_t block = 1;
    if (p->is_tracked) {
        lm_dirty_each(row_pass, NULL, &block, 0);
    }
}

// False when the program had written too much for one stop.
static bool stop_see_written(struct pass *p, uint64_t began) {
    size_t block = 1;
    if (!p->is_tracked) {
        see_everything();
        return true;
    }
    return lm_dirty_each(
        row_see, p, &block,
        p->misses < COMPACT_MISSES ? began + lm_pace_target_ns() / 10 * 4 : 0);
}

static void stop_see_roots(const struct lm_images *images) {
    struct loam_marker m;
    lm_refer_roots_begin(&m);
    lm_roots_mark(&m, images);
    lm_refer_roots_end(&m);
    lm_refer_visit_marked();
}

// One block, however late it is; then as many as there is time for.
static void stop_move(struct pass *p) {
    unsigned moved = 0;
    while (p->next <= lm_evacuation.source_count &&
           (moved == 0 || !p->is_tracked ||
            (lm_clock_ns() < p->deadline_ns && moved < LM_COMPACT_BLOCKS))) {
        uint32_t n = p->next++;
        if (lm_evacuation.source[n].state == LM_SOURCE_WAITING &&
            lm_evacuate_move(n)) {
            lm_refer_update(n);
            moved++;
        }
    }
}

static void stop_check(const struct lm_images *images) {
    lm_refer_check(true);
    see_everything();
    stop_see_roots(images);
    lm_refer_check(false);
}

static void pass_stop(const struct lm_images *images, uint64_t began,
                      void *argument) {
    struct pass *p = argument;
    if (!stop_see_written(p, began)) {
        p->misses++;
        return;
    }
    p->misses = 0;
    stop_see_roots(images);
    p->deadline_ns = began + lm_pace_target_ns() / 10 * 7;
    stop_move(p);
    if (lm_settings.check >= 3) {
        stop_check(images);
    }
    lm_evacuate_settle();
    stop_arm(p);
}

// ---- Beside the program -----------------------------------------------------------

static void row_see_or_leave(void *argument, uintptr_t start, uintptr_t end) {
    if (!lm_cycle_is_awaited()) {
        row_see(argument, start, end);
    }
}

// Until little is left for the stop. It reads the heap and changes nothing in
// it, so it need not wait when somebody else stops the program.
static void pass_rounds(struct pass *p) {
    struct lm_member *self = lm_self;
    bool is_running = lm_member_is_running(self);
    size_t before = SIZE_MAX;
    if (is_running) {
        lm_member_retreat(self);
    }
    for (unsigned i = 0; i < COMPACT_ROUNDS && !lm_cycle_is_awaited(); i++) {
        size_t block = 1;
        p->pages = 0;
        lm_dirty_each(row_see_or_leave, p, &block, 0);
        if (p->pages <= COMPACT_FEW_PAGES || p->pages / 3 >= before / 4) {
            break;
        }
        before = p->pages;
    }
    if (is_running) {
        lm_member_resume(self);
    }
}

static void pass_stops(struct pass *p) {
    while (p->next <= lm_evacuation.source_count) {
        if (p->is_tracked) {
            pass_rounds(p);
        }
        if (lm_cycle_is_awaited()) {
            p->event.is_abandoned = true;
            return;
        }
        uint64_t ns = lm_pause_run(pass_stop, p);
        if (ns == 0) {
            return;
        }
        p->event.pause_ns = ns > p->event.pause_ns ? ns : p->event.pause_ns;
        p->event.stops++;
    }
}

static bool pass_begin(struct pass *p, unsigned percent) {
    lm_sweep_rest();
    lm_turn_forget_ages(
        &(struct lm_cycle_event){0}); // pages are armed for another purpose now
    lm_sweep_large();
    lm_pause_gate(); // a fork must find the lists in order
    p->event.sources = lm_evacuate_begin(percent);
    bool ok = p->event.sources > 0 && lm_refer_begin();
    if (!ok) {
        lm_evacuate_end();
    }
    lm_pause_ungate();
    p->next = 1;
    p->is_tracked = ok && lm_dirty_open() && lm_pace_is_tracked();
    return ok;
}

static void pass_account(struct pass *p) {
    struct lm_compact_figures *f = &compact.figures;
    p->event.emptied = lm_evacuation.emptied;
    p->event.moved_count = lm_evacuation.moved_count;
    p->event.moved_bytes = lm_evacuation.moved_bytes;
    p->event.number = __atomic_add_fetch(&f->count, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&f->moved_count, p->event.moved_count, __ATOMIC_RELAXED);
    __atomic_add_fetch(&f->moved_bytes, p->event.moved_bytes, __ATOMIC_RELAXED);
    if (p->event.pause_ns > f->pause_max_ns) {
        __atomic_store_n(&f->pause_max_ns, p->event.pause_ns, __ATOMIC_RELAXED);
    }
}

// The caller holds collections off. False when there was nothing to do, or what
// has died is kept, and listed by address.
static bool pass_run(struct pass *p, unsigned percent) {
    uint64_t began = lm_clock_ns();
    if (lm_garbage_is_kept() || !pass_begin(p, percent)) {
        return false;
    }
    if (p->is_tracked) {
        lm_dirty_disarm(); // so that all there is counts as written
    }
    pass_stops(p);
    if (p->is_tracked) {
        lm_dirty_disarm();
    }
    lm_pause_gate();
    pass_account(p);
    lm_refer_end();
    lm_evacuate_end();
    lm_pause_ungate();
    p->event.ns = lm_clock_ns() - began;
    if (compact.listener) {
        compact.listener(&p->event);
    }
    return true;
}

// ---- All of it -----------------------------------------------------------------

// Locks are not fair: who has just let one go would get it again.
static void compact_give_way(void) {
    for (unsigned i = 0; i < COMPACT_SLEEPS && lm_cycle_is_awaited(); i++) {
        lm_thread_sleep(COMPACT_SLEEP_NS);
    }
}

static void compact_begin(void) {
    __atomic_add_fetch(&compact.running, 1, __ATOMIC_RELAXED);
}

static void compact_end(void) {
    __atomic_sub_fetch(&compact.running, 1, __ATOMIC_RELAXED);
}

static void compact_passes(void) {
    unsigned passes = 0;
    for (unsigned i = 0; i < COMPACT_TRIES && passes < COMPACT_PASSES; i++) {
        struct pass p = {.next = 1};
        lm_cycle_collect(lm_pace_is_concurrent() ? LM_CYCLE_BESIDE
                                                 : LM_CYCLE_FULL,
                         LM_CAUSE_REQUEST, 0);
        lm_cycle_hold();
        lm_member_note_keep(lm_self);
        bool is_more = pass_run(&p, COMPACT_DENSE);
        lm_member_note_drop(lm_self);
        lm_cycle_let();
        passes += !p.event.is_abandoned;
        compact_give_way();
        if (!is_more || (!p.event.is_abandoned &&
                         p.event.emptied <= lm_run_used() / COMPACT_LITTLE)) {
            return;
        }
    }
}

void lm_compact_run(void) {
    compact_begin();
    compact_passes();
    compact_end();
}

void lm_compact_idle(void) {
    struct pass p = {.next = 1};
    compact_begin();
    lm_cycle_hold();
    size_t gain = lm_evacuate_gain(COMPACT_DENSE_IDLE);
    if (gain >= COMPACT_LEAST_BLOCKS &&
        gain * 100 >= lm_run_used() * COMPACT_SHARE && lm_dirty_open() &&
        lm_pace_is_tracked()) {
        pass_run(&p, COMPACT_DENSE_IDLE);
    }
    lm_cycle_let();
    compact_end();
}

void lm_compact_figures_get(struct lm_compact_figures *f) {
    f->count = __atomic_load_n(&compact.figures.count, __ATOMIC_RELAXED);
    f->moved_count =
        __atomic_load_n(&compact.figures.moved_count, __ATOMIC_RELAXED);
    f->moved_bytes =
        __atomic_load_n(&compact.figures.moved_bytes, __ATOMIC_RELAXED);
    f->pause_max_ns =
        __atomic_load_n(&compact.figures.pause_max_ns, __ATOMIC_RELAXED);
}

bool lm_compact_is_on(void) {
    return __atomic_load_n(&compact.running, __ATOMIC_RELAXED) != 0;
}

void lm_compact_fork_child(void) {
    compact.running = 0;
    lm_refer_end();
    lm_evacuate_end();
}
