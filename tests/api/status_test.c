// SPDX-License-Identifier: MIT
// status_test.c: how a failed call is explained.

#include <loam.h>
#include <pthread.h>
#include <string.h>

#include "support/framework.h"
#include "support/survivors.h"

static void nothing_has_failed_at_first(void **state) {
    (void)state;
    assert_int_equal(loam_last_status(), LOAM_OK);
    assert_string_equal(loam_last_error(), "");
}

static void a_failure_is_explained_with_what_was_asked(void **state) {
    (void)state;
    assert_null(loam_alloc_aligned(48, 16));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_non_null(strstr(loam_last_error(), "48"));
    assert_non_null(strstr(loam_last_error(), "power of two"));
}

static void a_success_leaves_the_last_failure_in_place(void **state) {
    (void)state;
    assert_null(loam_alloc(SIZE_MAX / 2));
    assert_non_null(loam_alloc(16));
    loam_collect();
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_true(strlen(loam_last_error()) > 0);
}

static void a_new_failure_replaces_the_last(void **state) {
    (void)state;
    assert_null(loam_alloc(SIZE_MAX / 2));
    assert_null(loam_alloc_aligned(3, 16));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
}

static void *fail_differently(void *argument) {
    (void)argument;
    must(loam_last_status() == LOAM_OK);
    must(strcmp(loam_last_error(), "") == 0);
    must(loam_alloc_aligned(3, 16) == NULL);
    must(loam_last_status() == LOAM_BAD_ARGUMENT);
    return NULL;
}

static void each_thread_has_its_own_failure(void **state) {
    (void)state;
    assert_null(loam_alloc(SIZE_MAX / 2));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fail_differently, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
}

static void every_status_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int i = LOAM_OK; i <= LOAM_UNSUPPORTED; i++) {
        const char *name = loam_status_name((enum loam_status)i);
        assert_true(strlen(name) > 0);
        for (int j = LOAM_OK; j < i; j++) {
            assert_string_not_equal(name,
                                    loam_status_name((enum loam_status)j));
        }
    }
    assert_string_equal(loam_status_name(LOAM_HEAP_FULL), "heap full");
    // Not one of them, and yet no crash.
    assert_non_null(loam_status_name((enum loam_status)1000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_has_failed_at_first),
        cmocka_unit_test(a_failure_is_explained_with_what_was_asked),
        cmocka_unit_test(a_success_leaves_the_last_failure_in_place),
        cmocka_unit_test(a_new_failure_replaces_the_last),
        cmocka_unit_test(each_thread_has_its_own_failure),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
