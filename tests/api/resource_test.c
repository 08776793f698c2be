// SPDX-License-Identifier: MIT
// resource_test.c: what is forgotten is closed, and told of.

#include <errno.h>
#include <fcntl.h>
#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 50

static int closed; // atomic

static int count_close(void *held) {
    must(strcmp(held, "held") == 0);
    __atomic_add_fetch(&closed, 1, __ATOMIC_RELAXED);
    return 7;
}

static struct loam_resource *own_text(void) {
    return loam_resource_own(loam_strdup("held"), count_close, "text");
}

static void a_resource_is_closed_once(void **state) {
    (void)state;
    closed = 0;
    struct loam_resource *r = own_text();
    assert_string_equal(loam_resource_get(r), "held");
    loam_collect();
    assert_string_equal(loam_resource_get(r), "held");
    assert_int_equal(loam_resource_close(r), 7);
    assert_int_equal(loam_resource_close(r), 0);
    assert_int_equal(loam_resource_close(NULL), 0);
    assert_null(loam_resource_get(r));
    assert_int_equal(closed, 1);
}

static void what_could_not_be_opened_is_no_resource(void **state) {
    (void)state;
    assert_null(loam_file_own(fopen("/no/such/file", "r")));
    assert_null(loam_fd_own(open("/no/such/file", O_RDONLY)));
    assert_null(loam_resource_own(NULL, count_close, "text"));
}

static void descriptors_and_files_can_be_used(void **state) {
    (void)state;
    int ends[2];
    char text[6] = "";
    assert_int_equal(pipe(ends), 0);
    struct loam_resource *out = loam_file_own(fdopen(ends[1], "w"));
    struct loam_resource *in = loam_fd_own(ends[0]);
    assert_int_equal(loam_fd_get(in), ends[0]);
    assert_true(fputs("hello", loam_resource_get(out)) >= 0);
    assert_int_equal(loam_resource_close(out), 0);
    assert_int_equal(read(loam_fd_get(in), text, 5), 5);
    assert_string_equal(text, "hello");
    assert_int_equal(loam_resource_close(in), 0);
    assert_int_equal(loam_fd_get(in), -1);
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    assert_int_equal(errno, EBADF);
}

static void descriptor_zero_is_one_too(void **state) {
    (void)state;
    int kept = dup(0);
    struct loam_resource *r = loam_fd_own(0);
    assert_int_equal(loam_fd_get(r), 0);
    assert_int_equal(loam_resource_close(r), 0);
    assert_int_equal(loam_fd_get(r), -1);
    if (kept >= 0) {
        assert_int_equal(dup2(kept, 0), 0);
        close(kept);
    }
}

static struct loam_resource *shared;

static void *close_shared(void *barrier) {
    pthread_barrier_wait(barrier);
    loam_resource_close(shared);
    return NULL;
}

static void of_two_threads_one_closes(void **state) {
    (void)state;
    closed = 0;
    for (int i = 0; i < 100; i++) {
        pthread_t other;
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, 2);
        shared = own_text();
        pthread_create(&other, NULL, close_shared, &barrier);
        pthread_barrier_wait(&barrier);
        loam_resource_close(shared);
        pthread_join(other, NULL);
        pthread_barrier_destroy(&barrier);
    }
    assert_int_equal(closed, 100);
}

static OWN_FRAME void forget_some(void) {
    for (int i = 0; i < COUNT; i++) {
        must(own_text() != NULL);
        must(loam_fd_own(dup(2)) != NULL);
    }
}

static void scene_forget(void) {
    int lowest = dup(2);
    close(lowest);
    forget_some();
    collect_clean();
    must(loam_finalizers_wait(20000000000u) == 0);
    must(closed >= COUNT - SURVIVORS_SLACK);
    int open_count = 0;
    for (int fd = lowest; fd < lowest + COUNT; fd++) {
        open_count += fcntl(fd, F_GETFD) != -1;
    }
    must(open_count <= SURVIVORS_SLACK);
}

static void what_is_forgotten_is_closed_and_reported(void **state) {
    (void)state;
    const struct outcome *o = scene_play("forget", (const char *[]){NULL});
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->err, "left open: a text that was opened at"));
    assert_non_null(strstr(o->err, "left open: a descriptor that was opened"));
    assert_non_null(strstr(o->err, "resource_test.c:"));
}

static const struct scene scenes[] = {{"forget", scene_forget}};

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resource_is_closed_once),
        cmocka_unit_test(what_could_not_be_opened_is_no_resource),
        cmocka_unit_test(descriptors_and_files_can_be_used),
        cmocka_unit_test(descriptor_zero_is_one_too),
        cmocka_unit_test(of_two_threads_one_closes),
        cmocka_unit_test(what_is_forgotten_is_closed_and_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
