// SPDX-License-Identifier: MIT
// defer_test.c: loam/defer.h.

#include <fcntl.h>
#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "support/framework.h"
#include "support/survivors.h"

static char order[64]; // what has ended, a letter each

static void note(void *letter) {
    size_t length = strlen(order);
    must(length + 1 < sizeof order);
    order[length] = *(const char *)letter;
}

static void expect_order(const char *expected) {
    assert_string_equal(order, expected);
    memset(order, 0, sizeof order);
}

static char a = 'a', b = 'b', c = 'c', d = 'd';

// ---- LOAM_DEFER -------------------------------------------------------------

static void the_newest_ends_first(void **state) {
    (void)state;
    {
        LOAM_DEFER(note, &a);
        LOAM_DEFER(note, &b);
        LOAM_DEFER(note, &c);
        expect_order("");
    }
    expect_order("cba");
}

static void inner_scopes_end_before_outer_ones(void **state) {
    (void)state;
    {
        LOAM_DEFER(note, &a);
        {
            LOAM_DEFER(note, &b);
            LOAM_DEFER(note, &c);
        }
        note(&d);
    }
    expect_order("cbda");
}

static int leave_early(int when) {
    LOAM_DEFER(note, &a);
    if (when == 0) {
        return 10;
    }
    LOAM_DEFER(note, &b);
    if (when == 1) {
        return 11;
    }
    {
        LOAM_DEFER(note, &c);
        if (when == 2) {
            goto end;
        }
    }
    note(&d);
end:
    return 12;
}

static void an_early_return_ends_what_has_begun(void **state) {
    (void)state;
    assert_int_equal(leave_early(0), 10);
    expect_order("a");
    assert_int_equal(leave_early(1), 11);
    expect_order("ba");
    assert_int_equal(leave_early(2), 12);
    expect_order("cba");
    assert_int_equal(leave_early(3), 12);
    expect_order("cdba");
}

static void every_turn_of_a_loop_is_a_scope(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        LOAM_DEFER(note, &a);
        if (i == 1) {
            continue;
        }
        if (i == 3) {
            break;
        }
        note(&b);
    }
    expect_order("baabaa");
}

static void the_argument_is_that_of_the_statement(void **state) {
    (void)state;
    char *letter = &a;
    {
        LOAM_DEFER(note, letter);
        letter = &b;
        LOAM_DEFER(note, letter);
    }
    expect_order("ba");
}

static void set_errno(void *value) {
    errno = *(int *)value;
}

static int fail_with(int number) {
    int other = EBUSY;
    LOAM_DEFER(set_errno, &other);
    errno = number;
    return -1;
}

static void errno_survives_the_end_of_a_scope(void **state) {
    (void)state;
    assert_int_equal(fail_with(ENOENT), -1);
    assert_int_equal(errno, ENOENT);
}

static jmp_buf beyond;

static void jump_out(void) {
    LOAM_DEFER(note, &a);
    longjmp(beyond, 1);
}

static void longjmp_ends_nothing(void **state) {
    (void)state;
    if (setjmp(beyond) == 0) {
        jump_out();
    }
    expect_order("");
}

// ---- Files and descriptors --------------------------------------------------

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) != -1;
}

static int open_null(void) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    must(fd >= 0);
    return fd;
}

static void descriptors_are_closed(void **state) {
    (void)state;
    int seen;
    {
        LOAM_SCOPED_FD int fd = open_null();
        seen = fd;
        assert_true(is_open(seen));
    }
    assert_false(is_open(seen));
    {
        errno = 0;
        LOAM_SCOPED_FD int none = open("/nowhere/at/all", O_RDONLY);
        assert_int_equal(none, -1);
    }
    assert_int_equal(errno, ENOENT);
}

static void files_are_closed(void **state) {
    (void)state;
    int seen;
    {
        LOAM_SCOPED_FILE FILE *file = fopen("/dev/null", "r");
        LOAM_SCOPED_FILE FILE *none = fopen("/nowhere/at/all", "r");
        assert_non_null(file);
        assert_null(none);
        seen = fileno(file);
    }
    assert_false(is_open(seen));
}

static FILE *make_file(bool can_finish) {
    LOAM_SCOPED_FILE FILE *file = tmpfile();
    must(file != NULL);
    if (!can_finish) {
        return NULL;
    }
    return LOAM_TAKE(file);
}

static int make_fd(void) {
    LOAM_SCOPED_FD int fd = open_null();
    return LOAM_TAKE_FD(fd);
}

static void what_is_kept_stays_open(void **state) {
    (void)state;
    assert_null(make_file(false));
    FILE *file = make_file(true);
    assert_true(is_open(fileno(file)));
    assert_int_equal(fclose(file), 0);
    int fd = make_fd();
    assert_true(is_open(fd));
    close(fd);
}

// ---- Mappings, locks, counted objects ---------------------------------------

static void mappings_are_undone(void **state) {
    (void)state;
    void *seen;
    {
        LOAM_SCOPED_MAPPING struct loam_mapping m = {
            mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            4096};
        assert_ptr_not_equal(m.start, MAP_FAILED);
        memset(m.start, 1, m.bytes);
        seen = m.start;
        LOAM_SCOPED_MAPPING struct loam_mapping none = {MAP_FAILED, 4096};
        LOAM_SCOPED_MAPPING struct loam_mapping nothing = {NULL, 0};
    }
    assert_int_equal(msync(seen, 4096, MS_ASYNC), -1);
    assert_int_equal(errno, ENOMEM); // nothing is mapped there
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int locked_return(int value) {
    LOAM_SCOPED_LOCK(&mutex);
    must(pthread_mutex_trylock(&mutex) == EBUSY);
    return value;
}

static void locks_are_held_until_the_scope_ends(void **state) {
    (void)state;
    assert_int_equal(locked_return(5), 5);
    assert_int_equal(pthread_mutex_trylock(&mutex), 0);
    pthread_mutex_unlock(&mutex);
}

struct counted {
    long number;
};

static void count_end(void *object) {
    (void)object;
    note(&d);
}
LOAM_COUNTED(struct counted, count_end)

static struct counted *counted_make(bool can_finish) {
    LOAM_SCOPED_COUNTED struct counted *made = loam_counted_new(struct counted);
    LOAM_SCOPED_COUNTED struct counted *none = NULL;
    return can_finish ? LOAM_TAKE(made) : none;
}

static void counted_objects_are_released(void **state) {
    (void)state;
    assert_null(counted_make(false));
    expect_order("d");
    struct counted *made = counted_make(true);
    expect_order("");
    assert_int_equal(loam_count_of(made), 1);
    loam_release(made);
    expect_order("d");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_ends_first),
        cmocka_unit_test(inner_scopes_end_before_outer_ones),
        cmocka_unit_test(an_early_return_ends_what_has_begun),
        cmocka_unit_test(every_turn_of_a_loop_is_a_scope),
        cmocka_unit_test(the_argument_is_that_of_the_statement),
        cmocka_unit_test(errno_survives_the_end_of_a_scope),
        cmocka_unit_test(longjmp_ends_nothing),
        cmocka_unit_test(descriptors_are_closed),
        cmocka_unit_test(files_are_closed),
        cmocka_unit_test(what_is_kept_stays_open),
        cmocka_unit_test(mappings_are_undone),
        cmocka_unit_test(locks_are_held_until_the_scope_ends),
        cmocka_unit_test(counted_objects_are_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
