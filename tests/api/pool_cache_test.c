// SPDX-License-Identifier: MIT
// pool_cache_test.c: caches, which keep objects over a full collection.

#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 200

struct item {
    struct loam_cache *cache;
    long number;
};
LOAM_TYPE(struct item, cache)

static struct loam_cache *cache_of_items(void) {
    struct loam_cache *cache = loam_cache_new(
        &(struct loam_cache_options){.type = loam_type_get(struct item)});
    must(cache != NULL);
    return cache;
}

static struct loam_cache_stats stats_of(const struct loam_cache *cache) {
    struct loam_cache_stats stats;
    loam_cache_stats_get(cache, &stats);
    return stats;
}

// Puts new objects, numbered from 1, and leaves no trace of them elsewhere.
static OWN_FRAME void put_items(struct loam_cache *cache, long count,
                                struct survivors *list) {
    for (long i = 1; i <= count; i++) {
        struct item *item = loam_new(struct item);
        item->number = i;
        if (list) {
            survivors_note(list, item);
        }
        loam_cache_put(cache, item);
    }
}

// Gets so many different ones of these.
static OWN_FRAME void get_items(struct loam_cache *cache, long count) {
    bool *seen = calloc((size_t)count + 1, sizeof *seen);
    for (long i = 1; i <= count; i++) {
        struct item *item = loam_cache_get(cache);
        must(item != NULL);
        must(item->number >= 1 && item->number <= count);
        must(!seen[item->number]);
        seen[item->number] = true;
    }
    free(seen);
}

// ---- One thread ------------------------------------------------------------

static void what_was_put_is_got_again(void **state) {
    (void)state;
    struct loam_cache *cache = cache_of_items();
    struct item *item = loam_cache_get(cache);
    item->number = 3;
    loam_cache_put(cache, item);
    assert_ptr_equal(loam_cache_get(cache), item);
    assert_int_equal(item->number, 3);
    put_items(cache, COUNT, NULL);
    assert_int_equal(stats_of(cache).held_count, COUNT);
    get_items(cache, COUNT);
    struct loam_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.held_count, 0);
    assert_int_equal(stats.get_count, COUNT + 2);
    assert_int_equal(stats.put_count, COUNT + 1);
    assert_int_equal(stats.made_count, 1);
}

static void an_empty_cache_makes_or_has_nothing(void **state) {
    (void)state;
    struct loam_cache *cache = loam_cache_new(NULL);
    assert_null(loam_cache_get(cache));
    loam_cache_put(cache, NULL);
    assert_null(loam_cache_get(cache));
    assert_int_equal(stats_of(cache).put_count, 0);
    struct item *item = loam_cache_get(cache_of_items());
    assert_int_equal(item->number, 0);
    assert_string_equal(loam_type_name(loam_type_of(item)), "struct item");
}

static void *make_numbered(void *argument) {
    struct item *item = loam_new(struct item);
    item->number = ++*(long *)argument;
    return item;
}

static void a_function_of_the_program_may_make_objects(void **state) {
    (void)state;
    static long count;
    struct loam_cache *cache = loam_cache_new(&(struct loam_cache_options){
        .make = make_numbered, .argument = &count});
    for (long i = 1; i <= 10; i++) {
        assert_int_equal(((struct item *)loam_cache_get(cache))->number, i);
    }
}

static void *make_nothing(void *argument) {
    (void)argument;
    return NULL;
}

static void where_nothing_can_be_made_there_is_nothing(void **state) {
    (void)state;
    struct loam_cache *cache =
        loam_cache_new(&(struct loam_cache_options){.make = make_nothing});
    assert_null(loam_cache_get(cache));
    put_items(cache, 1, NULL);
    assert_non_null(loam_cache_get(cache));
    assert_null(loam_cache_get(cache));
}

// ---- Collections -----------------------------------------------------------

static void expect_two_lives(void) {
    struct loam_cache *cache = cache_of_items();
    struct survivors list = survivors_new(COUNT);
    put_items(cache, COUNT, &list);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    assert_int_equal(stats_of(cache).held_count, COUNT);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    assert_int_equal(stats_of(cache).held_count, 0);
    assert_int_equal(stats_of(cache).dropped_count, COUNT);
    survivors_free(&list);
}

static void objects_outlive_one_full_collection_and_not_two(void **state) {
    (void)state;
    expect_two_lives();
}

static void the_same_beside_the_program(void **state) {
    (void)state;
    enum loam_choice before = loam_concurrent_get();
    loam_concurrent_set(LOAM_ON);
    expect_two_lives();
    loam_concurrent_set(before);
}

static void what_is_used_between_collections_stays(void **state) {
    (void)state;
    static struct item *items[COUNT];
    struct loam_cache *cache = cache_of_items();
    put_items(cache, COUNT, NULL);
    for (int i = 0; i < 6; i++) {
        collect_clean();
        for (size_t j = 0; j < COUNT; j++) {
            items[j] = loam_cache_get(cache);
        }
        for (size_t j = 0; j < COUNT; j++) {
            loam_cache_put(cache, items[j]);
        }
    }
    memset(items, 0, sizeof items);
    assert_int_equal(stats_of(cache).made_count, 0);
    get_items(cache, COUNT);
}

static void minor_collections_do_not_count(void **state) {
    (void)state;
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    loam_collect();
    struct loam_stats first;
    struct loam_stats last;
    loam_stats_get(&first);
    struct loam_cache *cache = cache_of_items();
    put_items(cache, COUNT, NULL);
    for (int i = 0; i < 5; i++) {
        loam_collect_minor();
    }
    loam_stats_get(&last);
    loam_generations_set(before);
    if (last.minor_count < first.minor_count + 5) {
        skip(); // Writes cannot be tracked here.
    }
    assert_int_equal(stats_of(cache).held_count, COUNT);
    get_items(cache, COUNT);
}

static OWN_FRAME void make_rings(struct survivors *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct loam_cache *cache = cache_of_items();
        for (int j = 0; j < 3; j++) {
            struct item *item = loam_cache_get(cache);
            item->cache = cache;
            loam_cache_put(cache, item);
        }
        survivors_note(list, cache);
    }
}

static void a_cache_whose_objects_refer_to_it_dies_all_the_same(void **state) {
    (void)state;
    struct survivors list = survivors_new(COUNT);
    make_rings(&list, COUNT);
    for (int i = 0; i < 4; i++) {
        collect_clean();
    }
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void there_may_be_many_caches_and_new_ones_after_them(void **state) {
    (void)state;
    static struct loam_cache *caches[2000];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(caches); i++) {
            caches[i] = cache_of_items();
            struct item *item = loam_cache_get(caches[i]);
            assert_int_equal(item->number, 0);
            item->number = (long)i + 1;
            loam_cache_put(caches[i], item);
        }
        for (size_t i = 0; i < COUNT_OF(caches); i++) {
            struct item *item = loam_cache_get(caches[i]);
            assert_int_equal(item->number, i + 1);
            loam_cache_put(caches[i], item);
        }
        memset(caches, 0, sizeof caches);
        for (int i = 0; i < 4; i++) {
            collect_clean();
        }
    }
    loam_verify();
}

// ---- Threads ---------------------------------------------------------------

struct turn {
    struct loam_cache *cache;
    struct survivors list;
    pthread_barrier_t barrier;
};

static void turn_begin(struct turn *turn) {
    turn->cache = cache_of_items();
    turn->list = survivors_new(COUNT);
    pthread_barrier_init(&turn->barrier, NULL, 2);
}

static void turn_end(struct turn *turn) {
    pthread_barrier_destroy(&turn->barrier);
    survivors_free(&turn->list);
}

static pthread_t start(void *(*run)(void *), void *argument) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static void *put_and_wait(void *argument) {
    struct turn *turn = argument;
    put_items(turn->cache, COUNT, &turn->list);
    stack_clear();
    pthread_barrier_wait(&turn->barrier);
    pthread_barrier_wait(&turn->barrier);
    return NULL;
}

static void what_one_thread_puts_another_gets(void **state) {
    (void)state;
    struct turn turn;
    turn_begin(&turn);
    pthread_t thread = start(put_and_wait, &turn);
    pthread_barrier_wait(&turn.barrier);
    // The first is in the thread's own hands.
    for (long i = 2; i <= COUNT; i++) {
        struct item *item = loam_cache_get(turn.cache);
        assert_in_range(item->number, 2, COUNT);
    }
    assert_int_equal(stats_of(turn.cache).made_count, 0);
    assert_int_equal(stats_of(turn.cache).stolen_count, COUNT - 1);
    assert_int_equal(((struct item *)loam_cache_get(turn.cache))->number, 0);
    pthread_barrier_wait(&turn.barrier);
    pthread_join(thread, NULL);
    turn_end(&turn);
}

static void *put_and_end(void *argument) {
    put_items(argument, COUNT, NULL);
    return NULL;
}

static void threads_that_end_leave_what_they_had(void **state) {
    (void)state;
    struct loam_cache *cache = cache_of_items();
    for (int i = 0; i < 5; i++) {
        pthread_join(start(put_and_end, cache), NULL);
        get_items(cache, COUNT);
    }
    assert_int_equal(stats_of(cache).made_count, 0);
    pthread_join(start(put_and_end, cache), NULL);
    // Another thread in its stead, which does not know this cache, changes
    // nothing.
    pthread_join(start(put_and_end, cache_of_items()), NULL);
    get_items(cache, COUNT);
}

static void what_idle_threads_have_is_let_go_too(void **state) {
    (void)state;
    struct turn turn;
    turn_begin(&turn);
    pthread_t thread = start(put_and_wait, &turn);
    pthread_barrier_wait(&turn.barrier);
    collect_clean();
    assert_int_equal(survivors_count(&turn.list), COUNT);
    collect_clean();
    assert_true(survivors_count(&turn.list) <= SURVIVORS_SLACK);
    pthread_barrier_wait(&turn.barrier);
    pthread_join(thread, NULL);
    turn_end(&turn);
}

static void a_child_gets_what_all_threads_had(void **state) {
    (void)state;
    struct turn turn;
    turn_begin(&turn);
    pthread_t thread = start(put_and_wait, &turn);
    pthread_barrier_wait(&turn.barrier);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        get_items(turn.cache, COUNT);
        put_items(turn.cache, 10, NULL);
        collect_clean();
        get_items(turn.cache, 10);
        _exit(7);
    }
    int status = child_wait(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(stats_of(turn.cache).held_count, COUNT);
    pthread_barrier_wait(&turn.barrier);
    pthread_join(thread, NULL);
    get_items(turn.cache, COUNT);
    turn_end(&turn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_got_again),
        cmocka_unit_test(an_empty_cache_makes_or_has_nothing),
        cmocka_unit_test(a_function_of_the_program_may_make_objects),
        cmocka_unit_test(where_nothing_can_be_made_there_is_nothing),
        cmocka_unit_test(objects_outlive_one_full_collection_and_not_two),
        cmocka_unit_test(the_same_beside_the_program),
        cmocka_unit_test(what_is_used_between_collections_stays),
        cmocka_unit_test(minor_collections_do_not_count),
        cmocka_unit_test(a_cache_whose_objects_refer_to_it_dies_all_the_same),
        cmocka_unit_test(there_may_be_many_caches_and_new_ones_after_them),
        cmocka_unit_test(what_one_thread_puts_another_gets),
        cmocka_unit_test(threads_that_end_leave_what_they_had),
        cmocka_unit_test(what_idle_threads_have_is_let_go_too),
        cmocka_unit_test(a_child_gets_what_all_threads_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
