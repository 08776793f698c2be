// SPDX-License-Identifier: MIT
// collect/pace.h: when the next collection is due.

#ifndef COLLECT_PACE_H
#define COLLECT_PACE_H

#include <stddef.h>
#include <stdint.h>

// lm_pace_init sets the budget until the first collection.
void lm_pace_init(void);

// lm_pace_after sets the budget after a collection that found so much alive,
// began at began_ns and ended now.
void lm_pace_after(size_t live_bytes, uint64_t began_ns);

// lm_pace_change applies changed settings to the budget under way.
void lm_pace_change(void);

#endif // COLLECT_PACE_H
