// SPDX-License-Identifier: MIT
// thread_test.c: stacks, registers and storage of threads as roots.

#include <dirent.h>
#include <loam.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define COUNT 100

// A thread and the test take turns: the thread reports, the test replies.
struct turn {
    sem_t reported;
    sem_t replied;
    struct survivors list;
    void *argument;
    pid_t id;
};

static struct turn *turn_new(void) {
    struct turn *turn = calloc(1, sizeof *turn);
    sem_init(&turn->reported, 0, 0);
    sem_init(&turn->replied, 0, 0);
    turn->list = survivors_new((size_t)COUNT * 4);
    return turn;
}

static void turn_free(struct turn *turn) {
    sem_destroy(&turn->reported);
    sem_destroy(&turn->replied);
    survivors_free(&turn->list);
    free(turn);
}

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0) {
    }
}

static void report_and_wait(struct turn *turn) {
    sem_post(&turn->reported);
    wait_for(&turn->replied);
}

static pthread_t start(void *(*run)(void *), struct turn *turn) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, turn), 0);
    wait_for(&turn->reported);
    return thread;
}

static void finish(pthread_t thread, struct turn *turn) {
    sem_post(&turn->replied);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *hold_on_stack(void *argument) {
    struct turn *turn = argument;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &turn->list);
    report_and_wait(turn);
    must(is_place_intact(place, COUNT, 64));
    return NULL;
}

static void the_stack_of_a_thread_keeps_until_it_ends(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(hold_on_stack, turn);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    collect_clean();
    assert_true(survivors_count(&turn->list) <= SURVIVORS_SLACK);
    turn_free(turn);
}

static _Thread_local void *tls_zeroed[COUNT];
static _Thread_local void *tls_given[COUNT] = {(void *)1};

static void *hold_in_tls(void *argument) {
    struct turn *turn = argument;
    fill_place(tls_zeroed, COUNT, 64, &turn->list);
    fill_place(tls_given, COUNT, 64, &turn->list);
    stack_clear();
    report_and_wait(turn);
    must(is_place_intact(tls_zeroed, COUNT, 64));
    must(is_place_intact(tls_given, COUNT, 64));
    return NULL;
}

static void thread_local_storage_keeps_until_the_thread_ends(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(hold_in_tls, turn);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), 2 * COUNT);
    finish(thread, turn);
    collect_clean();
    assert_true(survivors_count(&turn->list) <= SURVIVORS_SLACK);
    turn_free(turn);
}

static void *hold_in_specific(void *argument) {
    struct turn *turn = argument;
    pthread_key_t *key = turn->argument;
    void **array = loam_alloc(COUNT * sizeof *array);
    fill_place(array, COUNT, 64, &turn->list);
    must(pthread_setspecific(*key, array) == 0);
    array = NULL;
    stack_clear();
    report_and_wait(turn);
    must(is_place_intact(pthread_getspecific(*key), COUNT, 64));
    return NULL;
}

static void thread_specific_data_keeps_objects(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_key_t key;
    assert_int_equal(pthread_key_create(&key, NULL), 0);
    turn->argument = &key;
    pthread_t thread = start(hold_in_specific, turn);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    pthread_key_delete(key);
    turn_free(turn);
}

// Keys from 32 up are kept in memory that libc takes from malloc.
static void late_keys_keep_objects_too(void **state) {
    (void)state;
    enum { KEYS = 60 };
    pthread_key_t keys[KEYS];
    for (size_t i = 0; i < KEYS; i++) {
        assert_int_equal(pthread_key_create(&keys[i], NULL), 0);
    }
    struct turn *turn = turn_new();
    turn->argument = &keys[KEYS - 1];
    pthread_t thread = start(hold_in_specific, turn);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    for (size_t i = 0; i < KEYS; i++) {
        pthread_key_delete(keys[i]);
    }
    turn_free(turn);
}

static int destroyed_count;

static void allocate_in_destructor(void *value) {
    must(((uint64_t *)value)[1] == 77);
    for (int i = 0; i < 1000; i++) {
        uint64_t *p = loam_alloc(64);
        must(p != NULL && p[7] == 0);
        p[7] = 1;
    }
    loam_collect();
    must(((uint64_t *)value)[1] == 77);
    __atomic_add_fetch(&destroyed_count, 1, __ATOMIC_SEQ_CST);
}

static void *leave_a_value(void *argument) {
    uint64_t *value = loam_alloc(32);
    value[1] = 77;
    pthread_setspecific(*(pthread_key_t *)argument, value);
    return NULL;
}

static void destructors_of_thread_specific_data_may_allocate(void **state) {
    (void)state;
    pthread_key_t key;
    destroyed_count = 0;
    assert_int_equal(pthread_key_create(&key, allocate_in_destructor), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, leave_a_value, &key), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_int_equal(destroyed_count, 20);
    pthread_key_delete(key);
}

static void *check_argument(void *argument) {
    uint64_t *object = argument;
    loam_collect();
    must(object[0] == 0x5151);
    return object;
}

// The pointer lives in pthread_create's hands alone for a while.
static void the_argument_of_a_new_thread_is_kept(void **state) {
    (void)state;
    for (size_t i = 0; i < place_scaled(200); i++) {
        uint64_t *object = loam_alloc(64);
        object[0] = 0x5151;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, check_argument, object),
                         0);
        object = NULL;
        collect_clean();
        for (int j = 0; j < 100; j++) {
            uint64_t *other = loam_alloc(64);
            assert_int_equal(other[0], 0);
            other[0] = 0xDEAD;
        }
        void *result = NULL;
        assert_int_equal(pthread_join(thread, &result), 0);
    }
}

static int check_argument_c11(void *argument) {
    check_argument(argument);
    struct survivors list = survivors_new(COUNT);
    void *place[COUNT];
    fill_place(place, COUNT, 64, &list);
    collect_clean();
    must(survivors_count(&list) == COUNT);
    survivors_free(&list);
    return 5;
}

static void threads_of_c11_are_known(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        uint64_t *object = loam_alloc(64);
        object[0] = 0x5151;
        thrd_t thread;
        assert_int_equal(thrd_create(&thread, check_argument_c11, object),
                         thrd_success);
        object = NULL;
        collect_clean();
        int result = 0;
        assert_int_equal(thrd_join(thread, &result), thrd_success);
        assert_int_equal(result, 5);
    }
}

static void *block_all_signals(void *argument) {
    sigset_t all;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    return hold_on_stack(argument);
}

static void a_thread_that_blocks_all_signals_is_stopped_too(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(block_all_signals, turn);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    turn_free(turn);
}

static void a_thread_born_with_all_signals_blocked_is_stopped(void **state) {
    (void)state;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    struct turn *turn = turn_new();
    pthread_t thread = start(hold_on_stack, turn);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    turn_free(turn);
}

static void *block_and_hold(void *argument) {
    struct turn *turn = argument;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &turn->list);
    loam_blocking_begin();
    loam_blocking_begin(); // They nest.
    report_and_wait(turn);
    loam_blocking_end();
    loam_blocking_end();
    must(is_place_intact(place, COUNT, 64));
    uint64_t *p = loam_alloc(64);
    must(p != NULL && p[0] == 0);
    return NULL;
}

static void a_blocking_region_keeps_its_stack(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(block_and_hold, turn);
    for (int i = 0; i < 5; i++) {
        collect_clean();
        assert_int_equal(survivors_count(&turn->list), COUNT);
    }
    finish(thread, turn);
    turn_free(turn);
}

static void blocking_regions_cost_no_correctness_when_entered_often(
    void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(hold_on_stack, turn);
    for (int i = 0; i < 20000; i++) {
        loam_blocking_begin();
        loam_blocking_end();
        if (i % 1000 == 0) {
            loam_collect();
        }
    }
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    turn_free(turn);
}

static void *unregister_and_hold(void *argument) {
    struct turn *turn = argument;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &turn->list);
    loam_thread_unregister();
    report_and_wait(turn);
    must(loam_thread_register() == 0);
    must(loam_thread_register() == 0);
    memset(place, 0, sizeof place);
    turn->list.count = 0;
    fill_place(place, COUNT, 64, &turn->list);
    report_and_wait(turn);
    must(is_place_intact(place, COUNT, 64));
    return NULL;
}

static void an_unregistered_thread_keeps_nothing_until_it_returns(
    void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(unregister_and_hold, turn);
    collect_clean();
    assert_true(survivors_count(&turn->list) <= SURVIVORS_SLACK);
    sem_post(&turn->replied);
    wait_for(&turn->reported);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    turn_free(turn);
}

static void *cancel_me(void *argument) {
    struct turn *turn = argument;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &turn->list);
    sem_post(&turn->reported);
    for (;;) {
        pthread_testcancel();
        place[0] = loam_alloc(64);
    }
    return NULL;
}

static void a_cancelled_thread_keeps_nothing(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread = start(cancel_me, turn);
    loam_collect();
    assert_true(survivors_count(&turn->list) >= COUNT - 1);
    assert_int_equal(pthread_cancel(thread), 0);
    void *result = NULL;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    collect_clean();
    assert_true(survivors_count(&turn->list) <= SURVIVORS_SLACK);
    turn_free(turn);
}

static void *leave_by_exit(void *argument) {
    struct turn *turn = argument;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &turn->list);
    pthread_exit(place[0] != NULL ? (void *)7 : NULL);
}

static void a_thread_may_leave_by_pthread_exit(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, leave_by_exit, turn), 0);
    void *result = NULL;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, (void *)7);
    collect_clean();
    assert_true(survivors_count(&turn->list) <= SURVIVORS_SLACK);
    turn_free(turn);
}

static void *make_a_result(void *argument) {
    struct turn *turn = argument;
    void **array = loam_alloc(COUNT * sizeof *array);
    fill_place(array, COUNT, 64, &turn->list);
    turn->id = (pid_t)syscall(SYS_gettid);
    sem_post(&turn->reported);
    return array;
}

// Whether the thread still shows among the threads of this process.
static bool is_running(pid_t id) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", (int)id);
    return access(path, F_OK) == 0;
}

static void the_result_of_a_thread_is_kept_until_it_is_joined(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_a_result, turn), 0);
    // Ended, as far as the kernel goes, but not joined.
    wait_for(&turn->reported);
    while (is_running(turn->id)) {
    }
    collect_clean();
    void *result = NULL;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal(survivors_count(&turn->list), COUNT);
    assert_true(is_place_intact(result, COUNT, 64));
    turn_free(turn);
}

static void *allocate_and_post(void *argument) {
    struct turn *turn = argument;
    for (int i = 0; i < 100; i++) {
        must(loam_alloc(100) != NULL);
    }
    sem_post(&turn->reported);
    return NULL;
}

static void detached_threads_come_and_go(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        assert_int_equal(
            pthread_create(&thread, &attributes, allocate_and_post, turn), 0);
        wait_for(&turn->reported);
        if (i % 20 == 0) {
            loam_collect();
        }
    }
    pthread_attr_destroy(&attributes);
    // The semaphore is not freed: the last thread may still be leaving it.
}

static void the_number_of_known_threads_follows(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    struct loam_stats before;
    struct loam_stats during;
    struct loam_stats after;
    loam_stats_get(&before);
    pthread_t thread = start(hold_on_stack, turn);
    loam_stats_get(&during);
    finish(thread, turn);
    loam_stats_get(&after);
    assert_int_equal(during.thread_count, before.thread_count + 1);
    assert_int_equal(after.thread_count, before.thread_count);
    turn_free(turn);
}

static void a_thread_on_memory_of_the_program_is_scanned(void **state) {
    (void)state;
    struct turn *turn = turn_new();
    size_t bytes = (size_t)256 << 10;
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 4096, bytes), 0);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstack(&attributes, memory, bytes), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, &attributes, hold_on_stack, turn),
                     0);
    wait_for(&turn->reported);
    collect_clean();
    assert_int_equal(survivors_count(&turn->list), COUNT);
    finish(thread, turn);
    pthread_attr_destroy(&attributes);
    free(memory);
    turn_free(turn);
}

// How many of this process's threads are the library's own and may run on so
// many processors.
static int own_threads_on(int processor_count) {
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks)) != NULL;) {
        char path[64];
        char name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        cpu_set_t set;
        if (fgets(name, sizeof name, file) && strncmp(name, "loam-", 5) == 0 &&
            sched_getaffinity(atoi(task->d_name), sizeof set, &set) == 0 &&
            CPU_COUNT(&set) == processor_count) {
            found++;
        }
        fclose(file);
    }
    if (tasks) {
        closedir(tasks);
    }
    return found;
}

// In a child, in which the library's threads begin anew.
static void a_bound_thread_does_not_bind_the_collector(void **state) {
    (void)state;
    cpu_set_t all;
    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) {
        skip(); // there is nothing to be bound to
    }
    pid_t child = fork();
    if (child == 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        for (size_t i = 0; CPU_COUNT(&one) == 0; i++) {
            if (CPU_ISSET(i, &all)) {
                CPU_SET(i, &one);
            }
        }
        if (sched_setaffinity(0, sizeof one, &one) != 0) {
            _exit(2);
        }
        void *volatile kept = loam_alloc((size_t)8 << 20);
        loam_collect();
        int rc = 3;
        for (int tries = 0; rc != 0 && tries < 5000; tries++) {
            usleep(1000); // until they have begun
            rc = own_threads_on(1) == 0 && own_threads_on(CPU_COUNT(&all)) > 0
                     ? 0
                     : 3;
        }
        _exit(kept ? rc : 4);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stack_of_a_thread_keeps_until_it_ends),
        cmocka_unit_test(thread_local_storage_keeps_until_the_thread_ends),
        cmocka_unit_test(thread_specific_data_keeps_objects),
        cmocka_unit_test(late_keys_keep_objects_too),
        cmocka_unit_test(destructors_of_thread_specific_data_may_allocate),
        cmocka_unit_test(the_argument_of_a_new_thread_is_kept),
        cmocka_unit_test(threads_of_c11_are_known),
        cmocka_unit_test(a_thread_that_blocks_all_signals_is_stopped_too),
        cmocka_unit_test(a_thread_born_with_all_signals_blocked_is_stopped),
        cmocka_unit_test(a_blocking_region_keeps_its_stack),
        cmocka_unit_test(
            blocking_regions_cost_no_correctness_when_entered_often),
        cmocka_unit_test(an_unregistered_thread_keeps_nothing_until_it_returns),
        cmocka_unit_test(a_cancelled_thread_keeps_nothing),
        cmocka_unit_test(a_thread_may_leave_by_pthread_exit),
        cmocka_unit_test(the_result_of_a_thread_is_kept_until_it_is_joined),
        cmocka_unit_test(the_number_of_known_threads_follows),
        cmocka_unit_test(a_thread_on_memory_of_the_program_is_scanned),
        cmocka_unit_test(detached_threads_come_and_go),
        cmocka_unit_test(a_bound_thread_does_not_bind_the_collector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
