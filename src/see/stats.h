// SPDX-License-Identifier: MIT
// see/stats.h: gathering what every floor has counted.

#ifndef SEE_STATS_H
#define SEE_STATS_H

#include <loam/collect.h>

#include <stddef.h>

// See loam/collect.h.
void lm_stats_get(struct loam_stats *stats);
size_t lm_stats_types(struct loam_type_stats *entries, size_t room);

// lm_stats_biggest fills entries for the types with most alive, as
// lm_stats_types, but takes no memory and counts no allocations. Returns how
// many it filled, at most `room`.
size_t lm_stats_biggest(struct loam_type_stats *entries, size_t room);

#endif // SEE_STATS_H
