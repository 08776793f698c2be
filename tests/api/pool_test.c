// SPDX-License-Identifier: MIT
// pool_test.c: pools that lend at most so many objects.

#include <loam.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

struct item {
    struct item *next;
    long number;
    long uses;
};
LOAM_TYPE(struct item, next)

static struct loam_pool *pool_of(size_t max_count) {
    struct loam_pool *pool = loam_pool_new(&(struct loam_pool_options){
        .max_count = max_count, .type = loam_type_get(struct item)});
    must(pool != NULL);
    return pool;
}

static struct loam_pool_stats stats_of(const struct loam_pool *pool) {
    struct loam_pool_stats stats;
    loam_pool_stats_get(pool, &stats);
    return stats;
}

static pthread_t start(void *(*run)(void *), void *argument) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static void *finish(pthread_t thread) {
    void *result = NULL;
    must(pthread_join(thread, &result) == 0);
    return result;
}

static void await_waiters(const struct loam_pool *pool, size_t count) {
    while (stats_of(pool).waiting_count != count) {
        sched_yield();
    }
}

// ---- Lending ---------------------------------------------------------------

static void a_pool_lends_no_more_than_it_may(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(100);
    void *items[100];
    for (size_t i = 0; i < 100; i++) {
        items[i] = loam_pool_try(pool);
        assert_non_null(items[i]);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(items[j], items[i]);
        }
    }
    assert_null(loam_pool_try(pool));
    assert_int_equal(loam_last_status(), LOAM_BUSY);
    assert_int_equal(stats_of(pool).lent_count, 100);
    for (size_t i = 0; i < 100; i++) {
        loam_pool_release(pool, items[i]);
    }
    assert_int_equal(stats_of(pool).idle_count, 100);
    assert_int_equal(stats_of(pool).lent_count, 0);
}

static void what_was_released_is_lent_again_as_it_was(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(3);
    struct item *item = loam_pool_acquire(pool);
    assert_int_equal(item->number, 0);
    assert_string_equal(loam_type_name(loam_type_of(item)), "struct item");
    item->number = 7;
    loam_pool_release(pool, item);
    assert_ptr_equal(loam_pool_acquire(pool), item);
    assert_int_equal(item->number, 7);
    assert_int_equal(stats_of(pool).made_count, 1);
}

static void *make_item(void *argument) {
    struct item *item = loam_new(struct item);
    long *count = argument;
    if (item) {
        item->number = ++*count;
    }
    return item;
}

static void objects_may_be_made_in_advance(void **state) {
    (void)state;
    static long count;
    struct loam_pool *pool =
        loam_pool_new(&(struct loam_pool_options){.max_count = 70,
                                                  .ready_count = 66,
                                                  .make = make_item,
                                                  .argument = &count});
    assert_non_null(pool);
    assert_int_equal(count, 66);
    assert_int_equal(stats_of(pool).idle_count, 66);
    for (long i = 0; i < 70; i++) {
        assert_non_null(loam_pool_try(pool));
    }
    assert_int_equal(count, 70);
    assert_null(loam_pool_try(pool));
}

static OWN_FRAME struct loam_pool *fill_pool(size_t count,
                                             struct survivors *list) {
    struct loam_pool *pool = pool_of(count);
    void **items = malloc(count * sizeof *items);
    loam_root_add(items, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        items[i] = loam_pool_try(pool);
        survivors_note(list, items[i]);
    }
    for (size_t i = 0; i < count; i++) {
        loam_pool_release(pool, items[i]);
    }
    loam_root_remove(items);
    free(items);
    return pool;
}

static void idle_objects_are_kept_and_a_dead_pool_keeps_nothing(void **state) {
    (void)state;
    static struct loam_pool *pool;
    struct survivors list = survivors_new(200);
    pool = fill_pool(200, &list);
    collect_clean();
    collect_clean();
    assert_int_equal(survivors_count(&list), 200);
    assert_int_equal(stats_of(pool).idle_count, 200);
    pool = NULL;
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static OWN_FRAME void borrow_and_forget(struct loam_pool *pool, size_t count) {
    for (size_t i = 0; i < count; i++) {
        must(loam_pool_try(pool) != NULL);
    }
}

static void what_dies_on_loan_is_noticed_and_replaced(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(200);
    borrow_and_forget(pool, 200);
    assert_null(loam_pool_try(pool));
    collect_clean();
    struct loam_pool_stats stats = stats_of(pool);
    assert_true(stats.lost_count >= 200 - SURVIVORS_SLACK);
    assert_int_equal(stats.lent_count, 200 - stats.lost_count);
    assert_int_equal(stats.idle_count, 0);
    borrow_and_forget(pool, stats.lost_count);
    assert_null(loam_pool_try(pool));
}

static void who_waits_for_what_is_lost_has_it_looked_for(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(50);
    borrow_and_forget(pool, 50);
    stack_clear();
    assert_non_null(loam_pool_acquire(pool));
    assert_true(stats_of(pool).lost_count > 0);
    assert_int_equal(stats_of(pool).wait_count, 1);
}

static void what_is_on_loan_is_not_lost(void **state) {
    (void)state;
    static void *items[200];
    struct loam_pool *pool = pool_of(200);
    for (size_t i = 0; i < 200; i++) {
        items[i] = loam_pool_try(pool);
    }
    for (int i = 0; i < 5; i++) {
        collect_clean();
        loam_collect_minor();
    }
    assert_int_equal(stats_of(pool).lost_count, 0);
    for (size_t i = 0; i < 200; i++) {
        loam_pool_release(pool, items[i]);
        items[i] = NULL;
    }
}

static OWN_FRAME void lend_to_map(struct loam_pool *pool,
                                  struct loam_weak_map *map, void *key) {
    must(loam_weak_map_set(map, key, loam_pool_try(pool)) == 0);
}

// It is found to be alive when weak maps are settled, after the stop.
static void what_only_a_weak_map_keeps_is_not_lost(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(1);
    struct loam_weak_map *map = loam_weak_map_new();
    void *key = loam_alloc(16);
    lend_to_map(pool, map, key);
    for (int i = 0; i < 5; i++) {
        collect_clean();
        loam_collect_minor();
    }
    assert_int_equal(stats_of(pool).lost_count, 0);
    loam_pool_release(pool, loam_weak_map_get(map, key));
    assert_int_equal(stats_of(pool).idle_count, 1);
    loam_keep_alive(key);
}

static void *make_outside(void *argument) {
    static long storage[4];
    long *count = argument;
    return &storage[(*count)++];
}

static void objects_may_lie_outside_the_heap(void **state) {
    (void)state;
    static long count;
    struct loam_pool *pool = loam_pool_new(&(struct loam_pool_options){
        .max_count = 4, .make = make_outside, .argument = &count});
    void *first = loam_pool_try(pool);
    borrow_and_forget(pool, 3);
    collect_clean();
    assert_int_equal(stats_of(pool).lost_count, 0);
    assert_null(loam_pool_try(pool));
    loam_pool_release(pool, first);
    assert_ptr_equal(loam_pool_try(pool), first);
}

// ---- Waiting ---------------------------------------------------------------

static void a_wait_with_a_timeout_ends(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(1);
    void *item = loam_pool_acquire(pool);
    assert_null(loam_pool_acquire_within(pool, 2000000));
    assert_int_equal(loam_last_status(), LOAM_BUSY);
    assert_non_null(strstr(loam_last_error(), "2000000"));
    struct loam_pool_stats stats = stats_of(pool);
    assert_int_equal(stats.wait_count, 1);
    assert_int_equal(stats.timeout_count, 1);
    assert_true(stats.wait_max_ns >= 2000000);
    loam_pool_release(pool, item);
    assert_ptr_equal(loam_pool_acquire_within(pool, 2000000), item);
    assert_int_equal(stats_of(pool).wait_count, 1);
}

static void *acquire(void *pool) {
    return loam_pool_acquire(pool);
}

static void a_waiter_gets_what_is_released(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(1);
    void *item = loam_pool_acquire(pool);
    pthread_t thread = start(acquire, pool);
    await_waiters(pool, 1);
    loam_pool_release(pool, item);
    assert_ptr_equal(finish(thread), item);
    assert_int_equal(stats_of(pool).waiting_count, 0);
    assert_int_equal(stats_of(pool).wait_count, 1);
    assert_int_equal(stats_of(pool).timeout_count, 0);
}

static void each_release_wakes_a_waiter(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(8);
    void *items[8];
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        items[i] = loam_pool_acquire(pool);
    }
    for (size_t i = 0; i < 8; i++) {
        threads[i] = start(acquire, pool);
    }
    await_waiters(pool, 8);
    for (size_t i = 0; i < 8; i++) {
        loam_pool_release(pool, items[i]);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_non_null(finish(threads[i]));
    }
    assert_int_equal(stats_of(pool).lent_count, 8);
}

static void waiters_hold_up_no_collection(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(1);
    void *item = loam_pool_acquire(pool);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        threads[i] = start(acquire, pool);
    }
    await_waiters(pool, 4);
    for (int i = 0; i < 20; i++) {
        loam_collect();
    }
    for (size_t i = 0; i < 4; i++) {
        loam_pool_release(pool, item);
        await_waiters(pool, 3 - i);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(finish(threads[i]), item);
    }
}

static volatile sig_atomic_t handled;

static void handle(int signal) {
    (void)signal;
    must(loam_alloc(100) != NULL);
    loam_collect();
    handled = 1;
}

static void a_signal_handler_runs_while_its_thread_waits(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    struct sigaction before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    struct loam_pool *pool = pool_of(1);
    void *item = loam_pool_acquire(pool);
    pthread_t thread = start(acquire, pool);
    await_waiters(pool, 1);
    handled = 0;
    pthread_kill(thread, SIGUSR1);
    while (!handled) {
        sched_yield();
    }
    loam_pool_release(pool, item);
    assert_ptr_equal(finish(thread), item);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

static void *release(void *argument) {
    void **both = argument;
    loam_pool_release(both[0], both[1]);
    return NULL;
}

static void another_thread_may_release(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(1);
    void *both[2] = {pool, loam_pool_acquire(pool)};
    finish(start(release, both));
    assert_ptr_equal(loam_pool_try(pool), both[1]);
}

// ---- Hooks -----------------------------------------------------------------

struct counts {
    long made;
    long reset;
    long dropped;
    uint64_t now_ns;
    bool is_full; // make makes nothing
    bool has_jump;
    jmp_buf jump;
};

static void *counts_make(void *argument) {
    struct counts *counts = argument;
    if (counts->is_full) {
        return NULL;
    }
    counts->made++;
    return loam_new(struct item);
}

static void counts_reset(void *object, void *argument) {
    struct counts *counts = argument;
    struct item *item = object;
    if (counts->has_jump) {
        longjmp(counts->jump, 1);
    }
    counts->reset++;
    item->number = 0;
}

static void counts_drop(void *object, void *argument) {
    struct counts *counts = argument;
    must(((struct item *)object)->number == 0);
    counts->dropped++;
}

static uint64_t counts_clock(void *argument) {
    return ((struct counts *)argument)->now_ns;
}

static struct loam_pool *pool_with(struct counts *counts, uint64_t idle_ns,
                                   size_t ready_count) {
    memset(counts, 0, sizeof *counts);
    counts->now_ns = 1000;
    struct loam_pool *pool =
        loam_pool_new(&(struct loam_pool_options){.max_count = 4,
                                                  .ready_count = ready_count,
                                                  .make = counts_make,
                                                  .reset = counts_reset,
                                                  .drop = counts_drop,
                                                  .idle_ns = idle_ns,
                                                  .clock = counts_clock,
                                                  .argument = counts});
    must(pool != NULL);
    return pool;
}

static void objects_are_reset_when_they_come_back(void **state) {
    (void)state;
    struct counts counts;
    struct loam_pool *pool = pool_with(&counts, 0, 0);
    struct item *item = loam_pool_acquire(pool);
    item->number = 5;
    loam_pool_release(pool, item);
    assert_int_equal(counts.reset, 1);
    assert_int_equal(item->number, 0);
}

static void a_reset_that_jumps_out_leaves_the_object_lent(void **state) {
    (void)state;
    static struct counts counts;
    static struct item *item;
    struct loam_pool *pool = pool_with(&counts, 0, 0);
    item = loam_pool_acquire(pool);
    counts.has_jump = true;
    if (setjmp(counts.jump) == 0) {
        loam_pool_release(pool, item);
        fail();
    }
    counts.has_jump = false;
    assert_int_equal(stats_of(pool).lent_count, 1);
    loam_pool_release(pool, item);
    assert_int_equal(stats_of(pool).idle_count, 1);
}

static void a_make_that_fails_leaves_the_place_free(void **state) {
    (void)state;
    struct counts counts;
    struct loam_pool *pool = pool_with(&counts, 0, 0);
    counts.is_full = true;
    for (int i = 0; i < 10; i++) {
        assert_null(loam_pool_acquire(pool));
    }
    assert_int_equal(stats_of(pool).lent_count, 0);
    assert_int_equal(stats_of(pool).made_count, 0);
    counts.is_full = false;
    for (int i = 0; i < 4; i++) {
        assert_non_null(loam_pool_try(pool));
    }
    assert_null(loam_pool_try(pool));
}

static void *make_huge(void *argument) {
    return loam_alloc_leaf(*(size_t *)argument);
}

static void where_there_is_no_memory_nothing_is_lent(void **state) {
    (void)state;
    static size_t bytes = (size_t)1 << 30;
    struct loam_pool *pool = loam_pool_new(&(struct loam_pool_options){
        .max_count = 2, .make = make_huge, .argument = &bytes});
    assert_non_null(pool);
    loam_heap_max_set((size_t)64 << 20);
    assert_null(loam_pool_acquire(pool));
    assert_int_equal(loam_last_status(), LOAM_HEAP_FULL);
    assert_int_equal(stats_of(pool).lent_count, 0);
    bytes = 100;
    assert_non_null(loam_pool_acquire(pool));
    assert_non_null(loam_pool_acquire(pool));
    loam_heap_max_set(0);
}

static void a_pool_that_cannot_be_made_ready_is_none(void **state) {
    (void)state;
    struct counts counts = {.is_full = true};
    assert_null(
        loam_pool_new(&(struct loam_pool_options){.max_count = 2,
                                                  .ready_count = 1,
                                                  .make = counts_make,
                                                  .argument = &counts}));
    assert_non_null(loam_pool_new(&(struct loam_pool_options){
        .max_count = 2, .make = counts_make, .argument = &counts}));
}

static void draining_lets_go_of_what_is_idle(void **state) {
    (void)state;
    struct counts counts;
    struct loam_pool *pool = pool_with(&counts, 0, 3);
    void *lent = loam_pool_acquire(pool);
    assert_int_equal(loam_pool_drain(pool), 2);
    assert_int_equal(counts.dropped, 2);
    assert_int_equal(stats_of(pool).dropped_count, 2);
    assert_int_equal(stats_of(pool).lent_count, 1);
    loam_pool_release(pool, lent);
    for (int i = 0; i < 4; i++) {
        assert_non_null(loam_pool_try(pool));
    }
    assert_int_equal(counts.made, 6);
}

static void what_is_idle_for_long_is_let_go(void **state) {
    (void)state;
    struct counts counts;
    struct loam_pool *pool = pool_with(&counts, 100, 1);
    void *items[4];
    for (size_t i = 0; i < 4; i++) {
        items[i] = loam_pool_acquire(pool);
    }
    counts.now_ns = 2000;
    for (size_t i = 0; i < 3; i++) {
        loam_pool_release(pool, items[i]);
    }
    counts.now_ns = 2099;
    assert_int_equal(loam_pool_trim(pool), 0);
    loam_pool_release(pool, items[3]);
    counts.now_ns = 2100;
    // The three are old now, and the fourth is not.
    assert_int_equal(loam_pool_trim(pool), 3);
    assert_int_equal(counts.dropped, 3);
    counts.now_ns = 5000;
    assert_int_equal(loam_pool_trim(pool), 0); // one is to be ready
    assert_ptr_equal(loam_pool_try(pool), items[3]);
}

static void releases_look_for_what_is_idle_too(void **state) {
    (void)state;
    struct counts counts;
    struct loam_pool *pool = pool_with(&counts, 100, 0);
    void *first = loam_pool_acquire(pool);
    void *second = loam_pool_acquire(pool);
    loam_pool_release(pool, first);
    counts.now_ns = 10000;
    loam_pool_release(pool, second);
    assert_int_equal(stats_of(pool).dropped_count, 1);
    assert_int_equal(stats_of(pool).idle_count, 1);
}

static void a_full_collection_lets_go_of_what_is_idle(void **state) {
    (void)state;
    struct loam_pool *pool = loam_pool_new(
        &(struct loam_pool_options){.max_count = 100,
                                    .ready_count = 40,
                                    .type = loam_type_get(struct item),
                                    .idle_ns = 1});
    static void *items[100];
    for (size_t i = 0; i < 100; i++) {
        items[i] = loam_pool_try(pool);
    }
    for (size_t i = 0; i < 100; i++) {
        loam_pool_release(pool, items[i]);
        items[i] = NULL;
    }
    loam_collect();
    assert_int_equal(stats_of(pool).idle_count, 40);
    assert_int_equal(stats_of(pool).made_count - stats_of(pool).dropped_count,
                     40);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    const struct loam_type *type = loam_type_get(struct item);
    const struct loam_pool_options bad[] = {
        {.max_count = 0, .type = type},
        {.max_count = 1000001, .type = type},
        {.max_count = SIZE_MAX, .type = type},
        {.max_count = 2, .ready_count = 3, .type = type},
        {.max_count = 2},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_null(loam_pool_new(&bad[i]));
        assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
        assert_non_null(strstr(loam_last_error(), "pool"));
    }
}

// ---- fork ------------------------------------------------------------------

static void a_child_may_use_a_pool_and_the_waiters_stay_here(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(1);
    void *item = loam_pool_acquire(pool);
    pthread_t thread = start(acquire, pool);
    await_waiters(pool, 1);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        must(stats_of(pool).waiting_count == 0);
        loam_pool_release(pool, item);
        must(loam_pool_acquire(pool) == item);
        must(loam_pool_acquire_within(pool, 1000) == NULL);
        loam_collect();
        loam_pool_release(pool, item);
        _exit(7);
    }
    int status = child_wait(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(stats_of(pool).waiting_count, 1);
    loam_pool_release(pool, item);
    assert_ptr_equal(finish(thread), item);
}

struct borrower {
    struct loam_pool *pool;
    pthread_barrier_t turn;
};

static void *borrow_until_told(void *argument) {
    struct borrower *b = argument;
    void *items[100];
    for (size_t i = 0; i < 100; i++) {
        items[i] = loam_pool_acquire(b->pool);
    }
    stack_clear();
    pthread_barrier_wait(&b->turn);
    pthread_barrier_wait(&b->turn);
    for (size_t i = 0; i < 100; i++) {
        loam_pool_release(b->pool, items[i]);
    }
    return NULL;
}

static void what_other_threads_had_comes_back_in_a_child(void **state) {
    (void)state;
    struct borrower b = {.pool = pool_of(100)};
    pthread_barrier_init(&b.turn, NULL, 2);
    pthread_t thread = start(borrow_until_told, &b);
    pthread_barrier_wait(&b.turn);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        must(loam_pool_try(b.pool) == NULL);
        collect_clean();
        must(stats_of(b.pool).lost_count >= 100 - SURVIVORS_SLACK);
        must(loam_pool_try(b.pool) != NULL);
        _exit(7);
    }
    int status = child_wait(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    pthread_barrier_wait(&b.turn);
    finish(thread);
    assert_int_equal(stats_of(b.pool).lost_count, 0);
    assert_int_equal(stats_of(b.pool).idle_count, 100);
    pthread_barrier_destroy(&b.turn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_lends_no_more_than_it_may),
        cmocka_unit_test(what_was_released_is_lent_again_as_it_was),
        cmocka_unit_test(objects_may_be_made_in_advance),
        cmocka_unit_test(idle_objects_are_kept_and_a_dead_pool_keeps_nothing),
        cmocka_unit_test(what_dies_on_loan_is_noticed_and_replaced),
        cmocka_unit_test(who_waits_for_what_is_lost_has_it_looked_for),
        cmocka_unit_test(what_is_on_loan_is_not_lost),
        cmocka_unit_test(what_only_a_weak_map_keeps_is_not_lost),
        cmocka_unit_test(objects_may_lie_outside_the_heap),
        cmocka_unit_test(a_wait_with_a_timeout_ends),
        cmocka_unit_test(a_waiter_gets_what_is_released),
        cmocka_unit_test(each_release_wakes_a_waiter),
        cmocka_unit_test(waiters_hold_up_no_collection),
        cmocka_unit_test(a_signal_handler_runs_while_its_thread_waits),
        cmocka_unit_test(another_thread_may_release),
        cmocka_unit_test(objects_are_reset_when_they_come_back),
        cmocka_unit_test(a_reset_that_jumps_out_leaves_the_object_lent),
        cmocka_unit_test(a_make_that_fails_leaves_the_place_free),
        cmocka_unit_test(where_there_is_no_memory_nothing_is_lent),
        cmocka_unit_test(a_pool_that_cannot_be_made_ready_is_none),
        cmocka_unit_test(draining_lets_go_of_what_is_idle),
        cmocka_unit_test(what_is_idle_for_long_is_let_go),
        cmocka_unit_test(releases_look_for_what_is_idle_too),
        cmocka_unit_test(a_full_collection_lets_go_of_what_is_idle),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_child_may_use_a_pool_and_the_waiters_stay_here),
        cmocka_unit_test(what_other_threads_had_comes_back_in_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
