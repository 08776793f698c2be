// SPDX-License-Identifier: MIT
// collect/cycle.h: one collection, from the decision to the line in the log.

#ifndef COLLECT_CYCLE_H
#define COLLECT_CYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Why a collection was run.
enum lm_cause {
    LM_CAUSE_GROWTH,  // the budget is spent
    LM_CAUSE_LIMIT,   // the heap's maximum was reached
    LM_CAUSE_REFUSED, // the system gave no memory
    LM_CAUSE_REQUEST, // loam_collect
    LM_CAUSE_TORTURE, // LOAM_TORTURE=collect:N
    LM_CAUSE_EXIT,    // for the report at exit
};

const char *lm_cause_name(enum lm_cause cause);

// struct lm_cycle_event is one collection, for who listens.
struct lm_cycle_event {
    uint64_t number;
    enum lm_cause cause;
    size_t heap_before_bytes;
    size_t heap_after_bytes; // blocks with anything alive
    size_t live_bytes;
    size_t live_count;
    uint64_t pause_ns;
    uint64_t stop_ns; // of the pause, until all threads had stopped
    uint64_t mark_ns;
    unsigned markers;
    uint64_t cpu_ns; // spent collecting since the start of the process
};

// The listener, called after each collection on the collecting thread, which
// is not stopped then but holds the cycle's lock: it must not allocate.
typedef void lm_cycle_listener(const struct lm_cycle_event *event);

// lm_cycle_listen sets the listener; wants_heap_after says whether to count
// heap_after_bytes, which looks at every block.
void lm_cycle_listen(lm_cycle_listener *listener, bool wants_heap_after);

// lm_cycle_number returns how many collections there have been.
uint64_t lm_cycle_number(void);

// lm_cycle_collect runs a full collection on the calling member, unless one
// has come between since lm_cycle_number() gave `seen` and the cause is
// content with that. False when there was no memory to do it.
bool lm_cycle_collect(enum lm_cause cause, uint64_t seen);

// Figures of the last collection, and in all.
struct lm_cycle_figures {
    size_t live_bytes;
    size_t live_count;
    uint64_t cpu_ns; // of collecting threads, without helpers
    uint64_t stop_max_ns;
    uint64_t pause_total_ns;
    uint64_t pause_last_ns;
    uint64_t pause_max_ns;
};
void lm_cycle_figures_get(struct lm_cycle_figures *figures);

// lm_cycle_hold keeps collections from happening until lm_cycle_let; the
// calling thread waits in a safe state.
void lm_cycle_hold(void);
void lm_cycle_let(void);

// lm_cycle_stopped runs fn with the program stopped, as a collection would
// find it, with all caches retired and nothing unswept.
void lm_cycle_stopped(void (*fn)(void *), void *argument);

void lm_cycle_fork_done(bool in_child);

#endif // COLLECT_CYCLE_H
