// SPDX-License-Identifier: MIT
// alloc/budget.h: how much may be allocated before the next collection.
//
// The allocator charges what it takes and answers "over budget" when nothing
// is left. What to do then is decided above, in collect/.

#ifndef ALLOC_BUDGET_H
#define ALLOC_BUDGET_H

#include "heap/kind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How far an allocation may go.
enum lm_effort {
    LM_EFFORT_BUDGET, // as far as the budget
    LM_EFFORT_EXCEED, // beyond it
    LM_EFFORT_LAST,   // and to the last blocks (heap/run.h), after a collection
};

// lm_budget_claim_last says whether an allocation of a kind may have so many of the
// last blocks, and counts them as given. A kind with few blocks may, and one that no
// collection has helped. That is given more each time, one block, then three, then
// seven, so that a kind which grows does not pay a collection for each.
bool lm_budget_claim_last(enum lm_effort effort, struct lm_kind *kind,
                          size_t blocks);

// lm_budget_has_helped ends that: a collection did give the kind room.
void lm_budget_has_helped(struct lm_kind *kind);

// lm_budget_set starts a new budget, in bytes, with so many alive.
void lm_budget_set(size_t bytes, size_t live_bytes);

// lm_budget_heap_bytes returns how large the heap should get on this budget,
// with something for cells that do not fit: when it is larger there are dead
// blocks to be swept, which should come before free ones.
size_t lm_budget_heap_bytes(void);

// lm_budget_charge takes bytes off the budget, which may fall below zero.
void lm_budget_charge(size_t bytes);

// lm_budget_refund puts bytes back, when they were charged and not used.
void lm_budget_refund(size_t bytes);

// lm_budget_listen sets what is called once when a budget falls to its low
// mark: a collection beside the program should begin now, to end before the
// budget does. The callee holds whatever locks the charging thread holds.
void lm_budget_listen(void (*fn)(void));

// lm_budget_set_low sets the mark of the budget under way; 0: none.
void lm_budget_set_low(size_t bytes);

// lm_budget_over returns by how much it is exceeded.
size_t lm_budget_over(void);

// lm_budget_left returns what is left, 0 when it is spent.
size_t lm_budget_left(void);

#endif // ALLOC_BUDGET_H
