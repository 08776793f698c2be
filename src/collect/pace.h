// SPDX-License-Identifier: MIT
// collect/pace.h: when the next collection is due.

#ifndef COLLECT_PACE_H
#define COLLECT_PACE_H

#include <stddef.h>

// lm_pace_init sets the budget until the first collection.
void lm_pace_init(void);

// lm_pace_after sets the budget after a collection that found so much alive.
void lm_pace_after(size_t live_bytes);

// lm_pace_change applies changed settings to the budget under way.
void lm_pace_change(void);

#endif // COLLECT_PACE_H
