// SPDX-License-Identifier: MIT
// pauses_test.c: see/pauses.h.

#include "see/pauses.h"

#include "support/framework.h"

#include <stdint.h>

static void no_pause_has_no_median(void **state) {
    (void)state;
    assert_int_equal(lm_pauses_quantile(500), 0);
}

static void expect_near(uint64_t is, uint64_t wanted) {
    assert_in_range(is, wanted - wanted / 25, wanted + wanted / 25);
}

static void quantiles_are_within_four_percent(void **state) {
    (void)state;
    for (uint64_t us = 1; us <= 1000; us++) {
        lm_pauses_add(us * 1000);
    }
    expect_near(lm_pauses_quantile(500), 500000);
    expect_near(lm_pauses_quantile(990), 990000);
    expect_near(lm_pauses_quantile(1000), 1000000);
}

static void the_longest_pauses_there_can_be_have_a_place(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) {
        lm_pauses_add(UINT64_MAX);
    }
    assert_true(lm_pauses_quantile(990) > UINT64_MAX / 25 * 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_pause_has_no_median),
        cmocka_unit_test(quantiles_are_within_four_percent),
        cmocka_unit_test(the_longest_pauses_there_can_be_have_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
