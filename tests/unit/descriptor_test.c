// SPDX-License-Identifier: MIT
// descriptor_test.c: os/descriptor.h.

#include "os/descriptor.h"

#include "support/framework.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static int null_open(void) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void what_is_kept_moves_up_and_is_closed(void **state) {
    (void)state;
    struct lm_descriptor d;
    int low = null_open();
    assert_true(lm_descriptor_keep(&d, low));
    assert_true(d.fd > low && !is_open(low));
    assert_true(lm_descriptor_is_ours(&d));
    int high = d.fd;
    lm_descriptor_close(&d);
    assert_false(is_open(high));
    assert_false(lm_descriptor_is_ours(&d));
}

static void where_numbers_are_few_it_is_not_high(void **state) {
    (void)state;
    struct lm_descriptor d;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_true(lm_descriptor_keep(&d, null_open()));
    assert_false(lm_descriptor_is_high(&d));
    assert_true(d.fd >= 10);
    lm_descriptor_close(&d);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(lm_descriptor_keep(&d, null_open()));
    assert_true(lm_descriptor_is_high(&d));
    lm_descriptor_close(&d);
}

static void a_failed_open_is_kept_as_none(void **state) {
    (void)state;
    struct lm_descriptor d;
    errno = EMFILE;
    assert_false(lm_descriptor_keep(&d, -1));
    assert_int_equal(errno, EMFILE);
    lm_descriptor_close(&d);
    assert_false(lm_descriptor_is_ours(&d));
}

static void a_number_that_the_program_took_is_not_closed(void **state) {
    (void)state;
    struct lm_descriptor d;
    int ends[2];
    assert_true(lm_descriptor_keep(&d, null_open()));
    assert_int_equal(pipe(ends), 0);
    int number = d.fd;
    assert_int_equal(dup2(ends[0], number), number);
    assert_false(lm_descriptor_is_ours(&d));
    lm_descriptor_close(&d);
    assert_true(is_open(number));
    close(number);
    close(ends[0]);
    close(ends[1]);
}

static void a_file_that_the_program_closed_is_not_ours(void **state) {
    (void)state;
    struct lm_descriptor d;
    assert_true(lm_descriptor_keep(&d, null_open()));
    close(d.fd);
    errno = 17;
    assert_false(lm_descriptor_is_ours(&d));
    lm_descriptor_close(&d);
    assert_int_equal(errno, 17);
}

static void a_files_text_is_cut_to_the_room_there_is(void **state) {
    (void)state;
    char text[6];
    assert_true(lm_file_text("/proc/self/status", text, sizeof text));
    assert_string_equal(text, "Name:");
}

static void a_file_that_is_not_there_has_no_text(void **state) {
    (void)state;
    char text[6] = "left";
    errno = 17;
    assert_false(lm_file_text("/proc/self/nothing", text, sizeof text));
    assert_string_equal(text, "");
    assert_int_equal(errno, 17);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_moves_up_and_is_closed),
        cmocka_unit_test(where_numbers_are_few_it_is_not_high),
        cmocka_unit_test(a_failed_open_is_kept_as_none),
        cmocka_unit_test(a_number_that_the_program_took_is_not_closed),
        cmocka_unit_test(a_file_that_the_program_closed_is_not_ours),
        cmocka_unit_test(a_files_text_is_cut_to_the_room_there_is),
        cmocka_unit_test(a_file_that_is_not_there_has_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
