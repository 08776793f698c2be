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
    LM_CAUSE_SOFT,    // the soft limit was reached
    LM_CAUSE_LIMIT,   // the heap's maximum was reached
    LM_CAUSE_REFUSED, // the system gave no memory
    LM_CAUSE_REQUEST, // loam_collect
    LM_CAUSE_TORTURE, // LOAM_TORTURE=collect:N
    LM_CAUSE_EXIT,    // for the report at exit
};

const char *lm_cause_name(enum lm_cause cause);

// What a collection does.
enum lm_cycle_kind {
    LM_CYCLE_FULL,     // marks all while the program is stopped
    LM_CYCLE_MINOR,    // marks what is young, while it is stopped
    LM_CYCLE_BESIDE,   // marks all beside the program, between short stops
    LM_CYCLE_GIVEN_UP, // a minor one that would have taken too long
};
#define LM_CYCLE_KINDS 4

const char *lm_cycle_kind_name(enum lm_cycle_kind kind);

// struct lm_cycle_event is one collection, for who listens.
struct lm_cycle_event {
    uint64_t number;
    enum lm_cycle_kind kind;
    enum lm_cause cause;
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

// The listener, called after each collection on the collecting thread, which
// is not stopped then but holds the cycle's lock: it must not allocate.
typedef void lm_cycle_listener(const struct lm_cycle_event *event);

// lm_cycle_listen sets the listener, and what is told of each pause;
// wants_heap_after says whether to count heap_after_bytes, which looks at every
// block.
void lm_cycle_listen(lm_cycle_listener *listener, void (*on_pause)(uint64_t ns),
                     bool wants_heap_after);

// lm_cycle_watch sets what is told before each collection, where the listener is
// told after it.
void lm_cycle_watch(void (*on_begin)(uint64_t number));

// lm_cycle_attend sets what is called in stops: `before` in the first one of a
// collection of everything, before it marks; `after` in the last one of each
// collection, when what is allocated is what is alive. They must not allocate,
// nor wait for anybody who may be stopped. Where lifetimes are settled after the
// last stop, there is another one for `after` when they are, if is_wanted says so.
void lm_cycle_attend(void (*before)(void), void (*after)(void),
                     bool (*is_wanted)(void));

// lm_cycle_number returns how many collections there have been.
uint64_t lm_cycle_number(void);

// lm_cycle_begun returns that of the last one that was begun: it may be under way,
// and does not know what has died since.
uint64_t lm_cycle_begun(void);

// lm_cycle_collect runs a collection on the calling thread, unless one has come
// since the one whose number is `seen` and the cause is content with that. A kind that is not to be had now becomes LM_CYCLE_FULL. False when
// there was no memory to do it.
bool lm_cycle_collect(enum lm_cycle_kind kind, enum lm_cause cause,
                      uint64_t seen);

// lm_cycle_is_beside says whether a marking beside the program is under way.
bool lm_cycle_is_beside(void);

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
void lm_cycle_figures_get(struct lm_cycle_figures *figures);

// lm_cycle_hold keeps collections from happening until lm_cycle_let; the
// calling thread waits in a safe state.
void lm_cycle_hold(void);
void lm_cycle_let(void);

// lm_cycle_gate keeps the program from being stopped by a collection, and the
// figures of objects from changing, until lm_cycle_ungate. A marking beside the
// program goes on. Waiting is as in lm_cycle_hold.
void lm_cycle_gate(void);
void lm_cycle_ungate(void);

// lm_cycle_stopped runs fn with the program stopped, as a collection would
// find it, with all caches retired and nothing unswept.
void lm_cycle_stopped(void (*fn)(void *), void *argument);

// lm_cycle_forget_ages ends the generations, if there are any, until the next
// collection of all. The caller holds collections off.
void lm_cycle_forget_ages(void);

// lm_cycle_is_awaited says whether somebody waits for a collection, which whoever
// holds them off should let happen.
bool lm_cycle_is_awaited(void);

// lm_cycle_pause stops the program, retires all caches, calls fn, which gets the
// moment at which the pause began, and lets the program go on. The caller holds
// collections off. Returns how long it took; 0 when there was no memory to do
// it, and fn was not called.
struct lm_images;
typedef void lm_cycle_pause_fn(const struct lm_images *images,
                               uint64_t began_ns, void *argument);
uint64_t lm_cycle_pause(lm_cycle_pause_fn *fn, void *argument);

void lm_cycle_fork_prepare(void);
void lm_cycle_fork_done(bool in_child);

#endif // COLLECT_CYCLE_H
