// SPDX-License-Identifier: MIT
// turn.c: from one collection to the next.

#include "collect/turn.h"

#include "alloc/sweep.h"
#include "collect/pause.h"
#include "heap/kind.h"
#include "heap/run.h"
#include "heap/space.h"
#include "life/garbage.h"
#include "life/settle.h"
#include "os/clock.h"

static bool turn_is_forgetting; // what is old; changes under the gate

// With the program stopped: who takes a block from now on leaves it without marks.
static void ages_end(void) {
    lm_space.is_sticky = false;
    turn_is_forgetting = true;
}

// Beside the program, since there may be many young blocks: all that was allocated
// since the last collection.
void lm_turn_forget_ages(struct lm_cycle_event *event) {
    if (!lm_space.is_sticky) {
        return;
    }
    lm_pause_for(event, ages_end);
    lm_sweep_forget_ages();
    lm_pause_gate();
    turn_is_forgetting = false;
    lm_pause_ungate();
}

bool lm_turn_is_forgetting(void) {
    return turn_is_forgetting;
}

void lm_turn_fork_child(void) {
    turn_is_forgetting = false;
}

struct lm_pace_event lm_turn_count(struct lm_cycle_event *event,
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

void lm_turn(struct lm_cycle_event *event, uint64_t began) {
    lm_sweep_begin();
    struct lm_pace_event e = lm_turn_count(event, began);
    if (event->kind == LM_CYCLE_BESIDE) {
        e.cost_ns = e.cpu_ns; // it takes a processor from the program
    }
    lm_pace_after(&e);
    lm_space.is_sticky = lm_pace_is_generational() && !lm_garbage_is_kept();
    lm_settle_begin(event->kind != LM_CYCLE_BESIDE);
    if (!lm_settle_is_under_way()) {
        lm_pause_after();
    }
}
