// SPDX-License-Identifier: MIT
// budget.c: one counter, charged a block at a time.

#include "alloc/budget.h"

#include "heap/run.h"

// Relaxed throughout: a count whose exact moment does not matter.
static int64_t budget_bytes;
static int64_t budget_whole; // as it was set

static size_t budget_heap_bytes;

size_t lm_budget_heap_bytes(void) {
    return __atomic_load_n(&budget_heap_bytes, __ATOMIC_RELAXED);
}

void lm_budget_set(size_t bytes, size_t live_bytes) {
    size_t heap;
    if (__builtin_add_overflow(bytes, live_bytes, &heap)) {
        heap = SIZE_MAX / 2;
    }
    __atomic_store_n(&budget_heap_bytes, heap + heap / 8, __ATOMIC_RELAXED);
    int64_t value = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
    __atomic_store_n(&budget_whole, value, __ATOMIC_RELAXED);
    __atomic_store_n(&budget_bytes, value, __ATOMIC_RELAXED);
}

static int64_t budget_low; // 0: none, or it has been passed
static void (*budget_listener)(void);

void lm_budget_listen(void (*fn)(void)) {
    budget_listener = fn;
}

void lm_budget_set_low(size_t bytes) {
    int64_t low = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
    __atomic_store_n(&budget_low, low, __ATOMIC_RELAXED);
}

void lm_budget_charge(size_t bytes) {
    int64_t left =
        __atomic_sub_fetch(&budget_bytes, (int64_t)bytes, __ATOMIC_RELAXED);
    int64_t low = __atomic_load_n(&budget_low, __ATOMIC_RELAXED);
    if (low && left < low &&
        __atomic_exchange_n(&budget_low, 0, __ATOMIC_RELAXED)) {
        budget_listener();
    }
}

void lm_budget_refund(size_t bytes) {
    int64_t whole = __atomic_load_n(&budget_whole, __ATOMIC_RELAXED);
    int64_t left =
        __atomic_add_fetch(&budget_bytes, (int64_t)bytes, __ATOMIC_RELAXED);
    if (left > whole) {
        // What was charged to an earlier budget gives nothing to this one.
        __atomic_sub_fetch(&budget_bytes, left - whole, __ATOMIC_RELAXED);
    }
}

size_t lm_budget_over(void) {
    int64_t left = __atomic_load_n(&budget_bytes, __ATOMIC_RELAXED);
    return left < 0 ? (size_t)-left : 0;
}

size_t lm_budget_left(void) {
    int64_t left = __atomic_load_n(&budget_bytes, __ATOMIC_RELAXED);
    return left > 0 ? (size_t)left : 0;
}

// ---- The last blocks -----------------------------------------------------------

// A kind has few blocks when what lived of it at the last collection is less than
// this part of what is kept.
#define BUDGET_FEW_PART 16

// More than that at a time are as many as one wants.
#define BUDGET_GIVEN_MAX (1u << 20)

static bool budget_take_given(struct lm_kind *kind, size_t blocks) {
    // Relaxed: a count that nothing else goes by.
    uint32_t left = __atomic_load_n(&kind->last_left, __ATOMIC_RELAXED);
    while (left >= blocks &&
           !__atomic_compare_exchange_n(&kind->last_left, &left,
                                        left - (uint32_t)blocks, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return left >= blocks;
}

bool lm_budget_claim_last(enum lm_effort effort, struct lm_kind *kind,
                          size_t blocks) {
    if (kind->live_bytes < lm_run_kept_bytes() / BUDGET_FEW_PART ||
        budget_take_given(kind, blocks)) {
        return true;
    }
    if (effort != LM_EFFORT_LAST) {
        return false;
    }
    uint32_t given = __atomic_load_n(&kind->last_given, __ATOMIC_RELAXED);
    given = given < BUDGET_GIVEN_MAX ? 2 * given + 1 : given;
    __atomic_store_n(&kind->last_given, given, __ATOMIC_RELAXED);
    __atomic_store_n(&kind->last_left, given - 1, __ATOMIC_RELAXED);
    return true;
}

void lm_budget_has_helped(struct lm_kind *kind) {
    __atomic_store_n(&kind->last_given, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&kind->last_left, 0, __ATOMIC_RELAXED);
}
