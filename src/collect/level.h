// SPDX-License-Identifier: MIT
// collect/level.h: telling the program how full its heap is.

#ifndef COLLECT_LEVEL_H
#define COLLECT_LEVEL_H

#include <stdbool.h>
#include <stddef.h>

typedef void lm_level_fn(unsigned percent, void *argument);

// lm_level_add has fn called when so many percent of the limit are alive; false
// when there are too many already. lm_level_remove takes all back that were
// added with these two; false when there was none. The caller is inside.
bool lm_level_add(unsigned percent, lm_level_fn *fn, void *argument);
bool lm_level_remove(lm_level_fn *fn, void *argument);

// lm_level_note looks, after a collection of all, which levels are passed.
void lm_level_note(size_t live_bytes);

// lm_level_tell calls the functions that are due, on the calling thread, which
// is outside of the allocator.
void lm_level_tell_due(void);
bool lm_level_is_due(void);

static inline void lm_level_tell(void) {
    if (__builtin_expect(lm_level_is_due(), 0)) {
        lm_level_tell_due();
    }
}

void lm_level_fork_child(void);

#endif // COLLECT_LEVEL_H
