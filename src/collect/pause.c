// SPDX-License-Identifier: MIT
// pause.c: stopping the program for a collection, and what attends that.

#include "collect/pause.h"

#include "alloc/cache.h"
#include "heap/run.h"
#include "os/clock.h"
#include "os/lock.h"
#include "world/member.h"
#include "world/stop.h"

static struct {
    // Guards all below, and is held while the program is being stopped: what
    // has to wait for neither marking beside the program nor sweeping takes
    // only this.
    struct lm_queue gate;
    uint64_t total_ns;
    uint64_t last_ns;
    uint64_t max_ns;
    void (*on_pause)(uint64_t ns);
    void (*before)(void);
    void (*after)(void);
    bool (*is_after_wanted)(void);
} stops;

void lm_pause_gate(void) {
    lm_member_acquire(&stops.gate);
}

void lm_pause_ungate(void) {
    lm_member_release(&stops.gate);
}

void lm_pause_fork_child(void) {
    lm_queue_reset(&stops.gate, true);
}

void lm_pause_figures_get(struct lm_cycle_figures *figures) {
    figures->pause_total_ns = stops.total_ns;
    figures->pause_last_ns = stops.last_ns;
    figures->pause_max_ns = stops.max_ns;
}

// ---- Who listens ---------------------------------------------------------------

void lm_pause_listen(void (*on_pause)(uint64_t)) {
    stops.on_pause = on_pause;
}

void lm_pause_attend(void (*before)(void), void (*after)(void),
                     bool (*is_wanted)(void)) {
    stops.before = before;
    stops.after = after;
    stops.is_after_wanted = is_wanted;
}

void lm_pause_before(void) {
    if (stops.before) {
        stops.before();
    }
}

void lm_pause_after(void) {
    if (stops.after) {
        stops.after();
    }
}

bool lm_pause_after_is_wanted(void) {
    return stops.is_after_wanted && stops.is_after_wanted();
}

// ---- Stopping --------------------------------------------------------------------

// When the pause began: when the first thread was asked to stop, and not before,
// when this one may have had to wait for a processor.
uint64_t lm_pause_begin(struct lm_cycle_event *event) {
    uint64_t ns = lm_world_stop();
    if (ns > event->stop_ns) {
        event->stop_ns = ns;
    }
    if (lm_self) {
        lm_member_note(lm_self);
    }
    return lm_clock_ns() - ns;
}

uint64_t lm_pause_enter(struct lm_cycle_event *event) {
    uint64_t began = lm_pause_begin(event);
    lm_cache_retire_all();
    event->heap_before_bytes = lm_run_used() << LM_BLOCK_SHIFT;
    return began;
}

void lm_pause_end(struct lm_cycle_event *event, uint64_t began) {
    // Read first: as soon as the others may go on they may take this thread's
    // processor.
    uint64_t ns = lm_clock_ns() - began;
    lm_world_start();
    stops.total_ns += ns;
    stops.last_ns = ns;
    stops.max_ns = ns > stops.max_ns ? ns : stops.max_ns;
    event->pause_ns = ns > event->pause_ns ? ns : event->pause_ns;
    event->pause_count++;
    if (stops.on_pause) {
        stops.on_pause(ns);
    }
}

void lm_pause_for(struct lm_cycle_event *event, void (*fn)(void)) {
    lm_pause_gate();
    uint64_t began = lm_pause_begin(event);
    fn();
    lm_pause_end(event, began);
    lm_pause_ungate();
}

struct run {
    lm_pause_fn *fn;
    void *argument;
    uint64_t ns;
};

static void run_stopped(const struct lm_images *images, void *argument) {
    struct run *run = argument;
    struct lm_cycle_event event = {0};
    uint64_t began = lm_pause_begin(&event);
    lm_cache_retire_all();
    run->fn(images, began, run->argument);
    lm_pause_end(&event, began);
    run->ns = event.pause_ns;
}

uint64_t lm_pause_run(lm_pause_fn *fn, void *argument) {
    struct run run = {fn, argument, 0};
    lm_pause_gate();
    lm_image_hold(run_stopped, &run);
    lm_pause_ungate();
    return run.ns;
}
