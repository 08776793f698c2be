// SPDX-License-Identifier: MIT
// collect/compact.h: moving objects together, and giving back what that empties.

#ifndef COLLECT_COMPACT_H
#define COLLECT_COMPACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_compact_event is one compaction, for who listens.
struct lm_compact_event {
    uint64_t number;
    size_t sources; // blocks that were to be emptied
    size_t emptied; // of them
    size_t moved_count;
    size_t moved_bytes;
    unsigned stops;
    uint64_t pause_ns; // the longest
    uint64_t ns;       // all of it
    bool is_abandoned; // somebody waited for a collection
};

// The listener, called after each compaction on the thread that ran it, which
// holds the cycle's lock: it must not allocate.
void lm_compact_listen(void (*listener)(const struct lm_compact_event *));

// lm_compact_run collects and compacts on the calling thread until that gains
// little. What it emptied is in the pool.
void lm_compact_run(void);

// lm_compact_idle compacts if that pays, without a collection before: for the
// library's own thread, when the program has not needed it for a while.
void lm_compact_idle(void);

// lm_compact_is_on says whether one of these is under way: who has spent the budget
// need not ask for a collection, which would have it left off. It paces itself.
bool lm_compact_is_on(void);

// Figures, since the start.
struct lm_compact_figures {
    uint64_t count;
    uint64_t moved_count;
    uint64_t moved_bytes;
    uint64_t pause_max_ns;
};
void lm_compact_figures_get(struct lm_compact_figures *figures);

void lm_compact_fork_child(void);

#endif // COLLECT_COMPACT_H
