// SPDX-License-Identifier: MIT
// pace_test.c: when generations are tried, and what is young then.

#include "collect/pace.h"

#include "alloc/budget.h"
#include "alloc/sweep.h"
#include "heap/kind.h"
#include "heap/space.h"
#include "os/track.h"

#include <loam.h>
#include <string.h>

#include "support/framework.h"

struct node {
    struct node *next;
    long value[3];
};
LOAM_TYPE(struct node, next)

#define MIB ((size_t)1 << 20)
#define MS UINT64_C(1000000)

// What a program of 100 MiB pays whose collections of all take that long.
static struct lm_pace_event full_of(uint64_t cost_ns) {
    return (struct lm_pace_event){.live_bytes = 100 * MIB,
                                  .used_bytes = 110 * MIB,
                                  .cpu_ns = cost_ns,
                                  .cost_ns = cost_ns,
                                  .mark_ns = cost_ns,
                                  .is_beside = true};
}

static bool has_generations(void) {
    loam_collect();
    return strcmp(loam_track_name(), "kernel") == 0 ||
           strcmp(loam_track_name(), "mprotect") == 0;
}

// Each failed try was followed by a collection of all at once: a program that only
// grew had one of them after every few MiB.
static void a_failed_try_of_generations_costs_no_budget(void **state) {
    (void)state;
    if (!has_generations()) {
        skip(); // Writes cannot be tracked here.
    }
    struct lm_pace_event full = full_of(50 * MS);
    lm_pace_after(&full);
    assert_true(lm_pace_is_generational());
    struct lm_pace_event minor = {.live_bytes = 100 * MIB, .cost_ns = 200 * MS};
    for (int i = 0; i < 3; i++) {
        assert_true(lm_pace_is_generational());
        minor.live_bytes += MIB; // all of it lived
        lm_pace_after_minor(&minor);
    }
    assert_false(lm_pace_is_generational());
    assert_true(lm_pace_wants_full());
    assert_in_range(lm_budget_left(), 40 * MIB, 88 * MIB); // not of a nursery
    lm_pace_init();
}

// They rested for 4 collections of all, then 8, up to 64, however little the try had
// cost, and however much those took.
static void generations_rest_for_what_trying_cost(void **state) {
    (void)state;
    if (!has_generations()) {
        skip(); // Writes cannot be tracked here.
    }
    struct lm_pace_event full = full_of(50 * MS);
    lm_pace_after(&full);
    struct lm_pace_event minor = {.live_bytes = 103 * MIB, .cost_ns = 20 * MS};
    for (int i = 0; i < 3; i++) {
        lm_pace_after_minor(&minor);
    }
    // 60 ms were in vain; 16 times that takes 20 collections of 50 ms.
    for (int i = 0; i < 19; i++) {
        assert_false(lm_pace_is_generational());
        lm_pace_after(&full);
    }
    assert_false(lm_pace_is_generational());
    lm_pace_after(&full);
    assert_true(lm_pace_is_generational());
    // And one that takes long pays for a try at once.
    for (int i = 0; i < 3; i++) {
        lm_pace_after_minor(&minor);
    }
    assert_false(lm_pace_is_generational());
    full = full_of(1000 * MS);
    lm_pace_after(&full);
    assert_true(lm_pace_is_generational());
    lm_pace_init();
}

// Blocks with many old objects are looked at in each minor collection, so those with
// few come first, wherever they lie.
static struct node *old[3000]; // static data, where it is looked for

static void blocks_make(void) {
    for (size_t i = 0; i < COUNT_OF(old); i++) {
        old[i] = loam_new(struct node);
        assert_non_null(old[i]);
    }
    // Of most blocks three eighths go, of every fourth seven.
    for (size_t i = 0; i < COUNT_OF(old); i++) {
        size_t block = lm_space_block_of((uintptr_t)old[i]);
        bool is_sparse = block % 4 == 2;
        if (is_sparse ? i % 8 != 0 : i % 8 < 3) {
            old[i] = NULL;
        }
    }
    loam_collect();
    assert_true(lm_space.is_sticky);
}

static void sparse_blocks_are_young_first(void **state) {
    (void)state;
    if (!has_generations()) {
        skip(); // Writes cannot be tracked here.
    }
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    blocks_make();
    // One block's worth, from the middle of which no other has been begun.
    for (int i = 0; i < 100; i++) {
        const struct node *young = loam_new(struct node);
        assert_non_null(young);
        assert_int_equal(lm_space_block_of((uintptr_t)young) % 4, 2);
    }
    loam_verify();
    memset(old, 0, sizeof old);
    loam_generations_set(before);
}

// They were put back among those that are not, where a marking that had just swept
// all met them.
static void blocks_passed_over_stay_swept(void **state) {
    (void)state;
    if (!has_generations()) {
        skip(); // Writes cannot be tracked here.
    }
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    blocks_make();
    const struct node *node = loam_new(struct node);
    assert_non_null(node);
    const struct lm_kind *k =
        &lm_kinds[lm_block_load(lm_space_block_of((uintptr_t)node)).kind];
    lm_sweep_rest();
    assert_int_equal(k->fewer_quarters, 0);
    for (size_t i = 0; k->fewer_quarters == 0; i++) {
        assert_in_range(i, 0, 3 * COUNT_OF(old));
        assert_non_null(loam_new(struct node));
    }
    assert_int_equal(k->unswept.first, 0);
    loam_verify();
    memset(old, 0, sizeof old);
    loam_generations_set(before);
}

struct pair {
    struct pair *next;
    long value[5];
};
LOAM_TYPE(struct pair, next)

// Those of a type that was new since the last collection of all were not: each minor
// collection looked at all of them.
static void full_blocks_are_left_alone(void **state) {
    (void)state;
    if (!has_generations()) {
        skip(); // Writes cannot be tracked here.
    }
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    loam_collect();
    assert_true(lm_space.is_sticky);
    struct pair *list = NULL;
    for (int i = 0; i < 2000; i++) {
        struct pair *pair = loam_new(struct pair);
        assert_non_null(pair);
        pair->next = list;
        list = pair;
    }
    loam_collect_minor();
    const struct lm_kind *k =
        &lm_kinds[lm_block_load(lm_space_block_of((uintptr_t)list)).kind];
    size_t full = 0;
    for (uint32_t b = k->full.first; b; b = lm_space.next[b]) {
        full++;
    }
    // 2,000 of 48 bytes fill 11 of 12 blocks.
    assert_in_range(full, 8, 12);
    loam_verify();
    loam_generations_set(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_try_of_generations_costs_no_budget),
        cmocka_unit_test(generations_rest_for_what_trying_cost),
        cmocka_unit_test(sparse_blocks_are_young_first),
        cmocka_unit_test(blocks_passed_over_stay_swept),
        cmocka_unit_test(full_blocks_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
