// SPDX-License-Identifier: MIT
// alloc/budget.h: how much may be allocated before the next collection.
//
// The allocator charges what it takes and answers "over budget" when nothing
// is left. What to do then is decided above, in collect/.

#ifndef ALLOC_BUDGET_H
#define ALLOC_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_budget_set starts a new budget, in bytes.
void lm_budget_set(size_t bytes);

// lm_budget_charge takes bytes off the budget, which may fall below zero.
void lm_budget_charge(size_t bytes);

// lm_budget_refund puts bytes back, when they were charged and not used.
void lm_budget_refund(size_t bytes);

// lm_budget_left returns what is left, 0 when it is spent.
size_t lm_budget_left(void);

#endif // ALLOC_BUDGET_H
