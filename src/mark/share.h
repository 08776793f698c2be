// SPDX-License-Identifier: MIT
// mark/share.h: chunks on offer between markers, and when all is done.
//
// A marker whose stack passes a chunk offers the full one here. When somebody
// is hungry, a marker with little more than it needs offers its oldest half:
// the oldest entries are the roots of the largest unmarked parts. Helpers are
// not woken before there is something to steal, so a heap that offers no
// parallel work (one long list) costs no more than with a single marker.

#ifndef MARK_SHARE_H
#define MARK_SHARE_H

#include "mark/chunk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_share_begin opens a marking phase in which `helpers` markers besides the
// caller may take part. What the phase before has left wakes them.
void lm_share_begin(unsigned helpers);

// lm_share_widen lets so many take part in the phase under way, if they are more.
void lm_share_widen(unsigned helpers);

// lm_share_offer puts a chunk on offer.
void lm_share_offer(struct lm_chunk *chunk);

// lm_share_steal waits for a chunk: NULL when all work is done, for everybody, or
// somebody has quit.
// The caller counts as busy until it asks again.
struct lm_chunk *lm_share_steal(void);

// lm_share_take returns a chunk if one is on offer, and does not wait.
struct lm_chunk *lm_share_take(void);

// lm_share_has_offer says whether a chunk is on offer: a hint, too.
bool lm_share_has_offer(void);

// lm_share_is_hungry says whether splitting a stack would feed somebody. A
// hint: one load.
bool lm_share_is_hungry(void);

// lm_share_join makes a helper wait for the next phase's first work; NULL when
// told to leave.
struct lm_chunk *lm_share_join(void);

// lm_share_quit says that the caller is busy no more, though work may be left:
// when lm_phase_is_leaving. It ends the phase: a helper that left would join again
// otherwise, and take back what it had offered, before others are awake.
void lm_share_quit(void);

// lm_share_leave says that a helper that joined touches nothing any more.
void lm_share_leave(void);

// lm_share_end waits until no helper takes part any more.
void lm_share_end(void);

// lm_share_dismiss makes lm_share_join return NULL to all helpers.
void lm_share_dismiss(void);

void lm_share_fork_child(void);

#endif // MARK_SHARE_H
