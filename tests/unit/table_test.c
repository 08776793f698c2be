// SPDX-License-Identifier: MIT
// table_test.c: world/table.h.

#include "world/table.h"

#include "support/framework.h"

#include <stdint.h>

static void an_empty_table_has_nothing(void **state) {
    (void)state;
    struct lm_table table = {0};
    assert_int_equal(lm_table_get(&table, 8), 0);
    assert_int_equal(lm_table_remove(&table, 8), 0);
}

static void a_key_keeps_its_last_value(void **state) {
    (void)state;
    struct lm_table table = {0};
    assert_true(lm_table_set(&table, 64, 1));
    assert_true(lm_table_set(&table, 64, 2));
    assert_int_equal(lm_table_get(&table, 64), 2);
    assert_int_equal(table.count, 1);
    assert_int_equal(lm_table_remove(&table, 64), 2);
    assert_int_equal(lm_table_get(&table, 64), 0);
    lm_table_fini(&table);
}

// Against the naive oracle: key i is there, with value i + 1, unless i is a
// multiple of 3, which was removed.
static void a_hundred_thousand_keys_come_and_go(void **state) {
    (void)state;
    struct lm_table table = {0};
    const uintptr_t count = 100000;
    for (uintptr_t i = 1; i <= count; i++) {
        assert_true(lm_table_set(&table, i * 16, i + 1));
    }
    for (uintptr_t i = 3; i <= count; i += 3) {
        assert_int_equal(lm_table_remove(&table, i * 16), i + 1);
    }
    for (uintptr_t i = 1; i <= count; i++) {
        assert_int_equal(lm_table_get(&table, i * 16), i % 3 ? i + 1 : 0);
    }
    assert_int_equal(table.count, count - count / 3);
    lm_table_fini(&table);
}

static void keys_removed_make_room_for_others(void **state) {
    (void)state;
    struct lm_table table = {0};
    for (uintptr_t i = 1; i <= 200000; i++) {
        assert_true(lm_table_set(&table, i * 8, 1));
        assert_int_equal(lm_table_remove(&table, i * 8), 1);
    }
    assert_true(table.room <= 1024);
    lm_table_fini(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(a_key_keeps_its_last_value),
        cmocka_unit_test(a_hundred_thousand_keys_come_and_go),
        cmocka_unit_test(keys_removed_make_room_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
