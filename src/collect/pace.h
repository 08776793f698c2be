// SPDX-License-Identifier: MIT
// collect/pace.h: when the next collection is due.

#ifndef COLLECT_PACE_H
#define COLLECT_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_pace_init sets the budget until the first collection.
void lm_pace_init(void);

// What a collection found and cost.
struct lm_pace_event {
    size_t live_bytes;
    size_t used_bytes; // of blocks, with what has died
    uint64_t cpu_ns;   // of the collecting thread
    uint64_t cost_ns;  // of the program's time, or of a processor's beside it
    uint64_t mark_ns;  // from its beginning to its end
    size_t written_pages; // old ones, while a marking beside the program ran
    uint64_t look_ns;     // a minor one's, for written pages
    bool is_beside;       // it marked beside the program
    bool was_full;        // a limit had been reached
};

// lm_pace_after sets the budget after a collection of all that ended now.
void lm_pace_after(const struct lm_pace_event *event);

// lm_pace_after_minor does so after a minor one, which may show that
// generations do not pay.
void lm_pace_after_minor(const struct lm_pace_event *event);

// lm_pace_target_ns returns how long a pause should be at most.
uint64_t lm_pace_target_ns(void);

// lm_pace_is_tracked says whether enough is told of stores for short stops.
bool lm_pace_is_tracked(void);

// lm_pace_is_concurrent says whether the next collection of all should mark
// beside the program.
bool lm_pace_is_concurrent(void);

// lm_pace_is_generational says whether minor collections are worth it, from the
// last collection of all until the next.
bool lm_pace_is_generational(void);

// lm_pace_minor_pages returns how many pages a minor collection may visit and still
// keep to the pause target, about; SIZE_MAX where the settings ask for them.
size_t lm_pace_minor_pages(void);

// lm_pace_give_up ends generations for a while.
void lm_pace_give_up(void);

// lm_pace_wants_full says whether the next collection should be one of all.
bool lm_pace_wants_full(void);

// lm_pace_forget makes the next collection one of all: in the child of a fork.
void lm_pace_forget(void);

// lm_pace_change applies changed settings to the budget under way.
void lm_pace_change(void);

#endif // COLLECT_PACE_H
