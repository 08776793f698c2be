// SPDX-License-Identifier: MIT
// collect/event.h: what a collection is told, and tells, of itself.

#ifndef COLLECT_EVENT_H
#define COLLECT_EVENT_H

#include <stddef.h>
#include <stdint.h>

// Why a collection was run.
enum lm_cause {
    LM_CAUSE_GROWTH,  // the budget is spent
    LM_CAUSE_SOFT,    // the soft limit was reached
    LM_CAUSE_LIMIT,   // the heap's maximum was reached
    LM_CAUSE_REFUSED, // the system gave no memory
    LM_CAUSE_REQUEST, // loam_collect
    LM_CAUSE_TORTURE, // LOAM_TORTURE=collect:N
    LM_CAUSE_EXIT,    // for the report at exit
};

// What a collection does.
enum lm_cycle_kind {
    LM_CYCLE_FULL,     // marks all while the program is stopped
    LM_CYCLE_MINOR,    // marks what is young, while it is stopped
    LM_CYCLE_BESIDE,   // marks all beside the program, between short stops
    LM_CYCLE_GIVEN_UP, // a minor one that would have taken too long
};
#define LM_CYCLE_KINDS 4

// How a marking beside the program ended, where it was not in short stops.
enum lm_cycle_end {
    LM_END_AS_MEANT,
    LM_END_AWAITED, // in one stop: a thread waited for it
    LM_END_STALLED, // in one stop: pages were written as fast as they were read
    LM_END_FAILED,  // not at all, and all was marked in a stop
};

// struct lm_cycle_event is one collection, for who listens.
struct lm_cycle_event {
    uint64_t number;
    enum lm_cycle_kind kind;
    enum lm_cause cause;
    enum lm_cycle_end end;
    size_t heap_before_bytes;
    size_t heap_after_bytes; // blocks with anything alive
    size_t live_bytes;
    size_t live_count;
    uint64_t pause_ns; // the longest
    unsigned pause_count;
    uint64_t stop_ns; // the longest of it until all threads had stopped
    uint64_t mark_ns;
    size_t dirty_pages; // with old objects, visited while stopped
    size_t first_pages; // old ones, that the first round found written
    uint64_t look_ns;   // a minor collection's, for what was written
    unsigned rounds;    // over written pages, beside the program
    unsigned stops;     // that it took to end that
    unsigned markers;
    uint64_t cpu_ns;       // spent collecting since the start of the process
    uint64_t cpu_began_ns; // of the collecting thread
};

// Figures of the last collection, and in all.
struct lm_cycle_figures {
    uint64_t count[LM_CYCLE_KINDS];
    size_t live_bytes;
    size_t live_count;
    uint64_t cpu_ns; // of collecting threads, without helpers
    uint64_t stop_max_ns;
    uint64_t pause_total_ns;
    uint64_t pause_last_ns;
    uint64_t pause_max_ns;
    uint64_t kind_pause_max_ns[LM_CYCLE_KINDS];
    uint64_t dirty_pages;
};

#endif // COLLECT_EVENT_H
