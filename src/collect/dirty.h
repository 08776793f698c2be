// SPDX-License-Identifier: MIT
// collect/dirty.h: the pages of old objects that the program has written.

#ifndef COLLECT_DIRTY_H
#define COLLECT_DIRTY_H

#include "mark/marker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_dirty_open says whether writes can be tracked at all; the first call finds
// out. By who holds the cycle's lock, before a stop.
bool lm_dirty_open(void);

// lm_dirty_may_open says the same as far as it is known: true before the first
// lm_dirty_open.
bool lm_dirty_may_open(void);

// lm_dirty_arm makes all there is count as unwritten from now on.
void lm_dirty_arm(void);

// lm_dirty_disarm makes writing cost nothing again; lm_dirty_disarm_empty does so
// where nothing is alive. While the program runs, by who collects.
void lm_dirty_disarm(void);
void lm_dirty_disarm_empty(void);

// lm_dirty_visit_all arms the written pages and gives the marker what is marked on
// them to scan again. So the first visit of a marking arms all there is. Returns
// how many pages were in blocks from which nothing has been given out since the
// last collection: what was written there is old.
size_t lm_dirty_visit_all(struct loam_marker *m);

// lm_dirty_visit_some does so from *block on, where few pages are expected, and
// adds to how many there were; false when there are more than about `most`, and
// then *block is where to go on.
bool lm_dirty_visit_some(struct loam_marker *m, size_t *pages, size_t *block,
                         size_t most);

// lm_dirty_each arms the written pages and calls fn for each row of them, from
// *block on; false when the time is up, and then *block is where to go on. No
// time is 0.
typedef void lm_dirty_fn(void *argument, uintptr_t start, uintptr_t end);
bool lm_dirty_each(lm_dirty_fn *fn, void *argument, size_t *block,
                   uint64_t deadline_ns);

// lm_dirty_count_old returns how many written pages have something old on them, or
// `most` or a few more where there are more; 0: all are counted. The program is
// stopped.
size_t lm_dirty_count_old(size_t most);

// lm_dirty_visit_old gives the marker those to scan again, for a minor
// collection, and the old objects in blocks with young ones: all that is old and
// may refer to young objects is among them. It arms some of the pages. In the
// same stop.
void lm_dirty_visit_old(struct loam_marker *m);

// lm_dirty_arm_block makes a block count as unwritten whose young objects have
// just become old: what they refer to has, too. lm_dirty_arm_blocks ends a row of
// such calls. In the same stop, in which lm_dirty_visit_old has been called.
void lm_dirty_arm_block(uint32_t block);
void lm_dirty_arm_blocks(void);

#endif // COLLECT_DIRTY_H
