// SPDX-License-Identifier: MIT
// pool_test.c: pools and caches that many threads use at once, while objects
// are collected, threads come and go, and processes fork.

#include <loam.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/chance.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define MAGIC 0x5eed1e55l
#define THREADS 16
#define HANDS 8 // objects that a thread has at a time
#define CHILD_TIMEOUT_S 60

struct item {
    struct item *self;
    long magic;
    uint32_t is_out; // atomic
};
LOAM_TYPE(struct item, self)

static struct loam_pool *pool;
static struct loam_cache *cache;
static size_t step_count;
static uint32_t is_over; // atomic

static void *make_item(void *argument) {
    (void)argument;
    struct item *item = loam_new(struct item);
    must(item != NULL);
    item->self = item;
    item->magic = MAGIC;
    return item;
}

// From here on nobody else may have it.
static void item_begin(struct item *item) {
    must(item->magic == MAGIC && item->self == item);
    must(__atomic_exchange_n(&item->is_out, 1, __ATOMIC_ACQ_REL) == 0);
}

static void item_end(struct item *item) {
    must(item->magic == MAGIC && item->self == item);
    must(__atomic_exchange_n(&item->is_out, 0, __ATOMIC_ACQ_REL) == 1);
}

// One that was made zeroed, and that nobody has.
static void item_begin_new(struct item *item) {
    must(item->magic == 0 && item->self == NULL);
    must(__atomic_load_n(&item->is_out, __ATOMIC_ACQUIRE) == 0);
}

static void litter(struct chance *chance) {
    for (size_t i = chance_below(chance, 20); i > 0; i--) {
        must(loam_alloc(16 + chance_below(chance, 500)) != NULL);
    }
    if (chance_below(chance, 500) == 0) {
        loam_collect();
    }
}

static void run_threads(void *(*run)(void *), size_t count) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < count; i++) {
        must(pthread_create(&threads[i], NULL, run, (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < count; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
}

static void make_pool(size_t max_count, uint64_t idle_ns) {
    pool = loam_pool_new(&(struct loam_pool_options){
        .max_count = max_count, .make = make_item, .idle_ns = idle_ns});
    must(pool != NULL);
}

static void make_cache(void) {
    cache = loam_cache_new(&(struct loam_cache_options){.make = make_item});
    must(cache != NULL);
}

// ---- Pools -----------------------------------------------------------------

static struct item *borrow(struct chance *chance) {
    switch (chance_below(chance, 3)) {
    case 0:
        return loam_pool_try(pool);
    case 1:
        return loam_pool_acquire_within(pool, chance_below(chance, 200000));
    default:
        return loam_pool_acquire(pool);
    }
}

static void *lend_and_give_back(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    for (size_t i = 0; i < step_count; i++) {
        struct item *item = borrow(&chance);
        if (item) {
            item_begin(item);
            litter(&chance);
            item_end(item);
            loam_pool_release(pool, item);
        }
    }
    return NULL;
}

static struct loam_pool_stats pool_stats(void) {
    struct loam_pool_stats stats;
    loam_pool_stats_get(pool, &stats);
    return stats;
}

static void sixteen_threads_share_three_objects(void **state) {
    (void)state;
    make_pool(3, 0);
    step_count = place_scaled(1500);
    run_threads(lend_and_give_back, THREADS);
    struct loam_pool_stats stats = pool_stats();
    assert_int_equal(stats.lent_count, 0);
    assert_int_equal(stats.waiting_count, 0);
    assert_int_equal(stats.lost_count, 0);
    assert_true(stats.made_count <= 3);
    assert_int_equal(stats.idle_count, stats.made_count);
}

static void objects_come_and_go_while_they_are_lent(void **state) {
    (void)state;
    make_pool(130, 1);
    step_count = place_scaled(1500);
    run_threads(lend_and_give_back, 8);
    struct loam_pool_stats stats = pool_stats();
    assert_int_equal(stats.lent_count, 0);
    assert_int_equal(stats.lost_count, 0);
    assert_int_equal(stats.idle_count, stats.made_count - stats.dropped_count);
    loam_collect();
    stats = pool_stats();
    assert_int_equal(stats.idle_count, 0);
    assert_int_equal(stats.dropped_count, stats.made_count);
}

// Objects that are forgotten come back, and those in use do not.
static void *lend_and_lose(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    for (size_t i = 0; i < step_count; i++) {
        struct item *item = borrow(&chance);
        if (item) {
            item_begin(item);
            litter(&chance);
            item_end(item);
            if (chance_below(&chance, 10)) {
                loam_pool_release(pool, item);
            }
        }
    }
    return NULL;
}

static void what_threads_lose_comes_back(void **state) {
    (void)state;
    make_pool(64, 0);
    step_count = place_scaled(1000);
    run_threads(lend_and_lose, 8);
    collect_clean();
    struct loam_pool_stats stats = pool_stats();
    assert_true(stats.lent_count <= SURVIVORS_SLACK);
    assert_int_equal(stats.made_count,
                     stats.idle_count + stats.lent_count + stats.lost_count);
}

// ---- Caches ----------------------------------------------------------------

static struct item *mailbox; // from one thread to another; atomic

static void *get_and_put(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument * 31);
    struct item *items[HANDS];
    for (size_t i = 0; i < step_count; i++) {
        size_t count = 1 + chance_below(&chance, HANDS);
        for (size_t j = 0; j < count; j++) {
            items[j] = loam_cache_get(cache);
            item_begin(items[j]);
        }
        litter(&chance);
        for (size_t j = 0; j < count; j++) {
            item_end(items[j]);
            // Now and then it is another thread that puts it, or nobody.
            struct item *item =
                chance_below(&chance, 10) == 0
                    ? __atomic_exchange_n(&mailbox, items[j], __ATOMIC_ACQ_REL)
                    : items[j];
            if (chance_below(&chance, 50)) {
                loam_cache_put(cache, item);
            }
        }
    }
    return NULL;
}

static void no_object_is_in_two_hands(void **state) {
    (void)state;
    make_cache();
    step_count = place_scaled(300);
    for (int round = 0; round < 5; round++) {
        run_threads(get_and_put, THREADS);
    }
    struct loam_cache_stats stats;
    loam_cache_stats_get(cache, &stats);
    assert_true(stats.held_count <= stats.put_count - stats.dropped_count);
    loam_verify();
    loam_collect();
    loam_collect();
    loam_cache_stats_get(cache, &stats);
    assert_int_equal(stats.held_count, 0);
}

static size_t handled; // atomic

static void handle(int signal) {
    (void)signal;
    struct item *item = loam_cache_get(cache);
    item_begin(item);
    item_end(item);
    loam_cache_put(cache, item);
    item = loam_pool_try(pool);
    if (item) {
        item_begin(item);
        item_end(item);
        loam_pool_release(pool, item);
    }
    __atomic_add_fetch(&handled, 1, __ATOMIC_ACQ_REL);
}

static size_t begun; // atomic

static void *use_both_until_over(void *argument) {
    __atomic_add_fetch(&begun, 1, __ATOMIC_ACQ_REL);
    struct chance chance = chance_start((uintptr_t)argument);
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        struct item *first = loam_cache_get(cache);
        struct item *second = loam_cache_get(cache);
        item_begin(first);
        item_begin(second);
        item_end(first);
        item_end(second);
        loam_cache_put(cache, first);
        loam_cache_put(cache, second);
        struct item *third = loam_pool_acquire(pool);
        item_begin(third);
        item_end(third);
        loam_pool_release(pool, third);
        if (chance_below(&chance, 100) == 0) {
            litter(&chance);
        }
    }
    return NULL;
}

static void signal_handlers_may_use_what_they_interrupt(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    pthread_t threads[3];
    make_cache();
    make_pool(2, 0);
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    is_over = 0;
    begun = 0;
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, use_both_until_over,
                            (void *)(i + 1)) == 0);
    }
    // A sanitizer's thread asks libc for its stack first, under libc's lock: a
    // handler that joins the heap would ask again.
    while (__atomic_load_n(&begun, __ATOMIC_ACQUIRE) < 3) {
        sched_yield();
    }
    // All at once: a thread takes its signal when it gets the processor, which is
    // what this waits for.
    handled = 0;
    for (size_t i = 1; i <= place_scaled(1000); i++) {
        for (size_t t = 0; t < 3; t++) {
            must(pthread_kill(threads[t], SIGUSR1) == 0);
        }
        while (__atomic_load_n(&handled, __ATOMIC_ACQUIRE) < 3 * i) {
            sched_yield();
        }
        if (i % 33 == 0) {
            loam_collect();
        }
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    signal(SIGUSR1, SIG_DFL);
}

// ---- Where the system says no ----------------------------------------------

static OWN_FRAME void use_a_pool(void) {
    struct loam_pool *mine = loam_pool_new(&(struct loam_pool_options){
        .max_count = 100, .type = loam_type_get(struct item)});
    if (mine == NULL) {
        must(loam_last_status() != LOAM_OK);
        return;
    }
    for (int i = 0; i < 50; i++) {
        struct item *item = loam_pool_try(mine);
        if (item) {
            item_begin_new(item);
            loam_pool_release(mine, item);
        } else {
            must(loam_last_status() == LOAM_NO_MEMORY);
        }
    }
}

static OWN_FRAME void use_a_cache(void) {
    struct loam_cache *mine = loam_cache_new(
        &(struct loam_cache_options){.type = loam_type_get(struct item)});
    struct item *items[200];
    if (mine == NULL) {
        must(loam_last_status() != LOAM_OK);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(items); i++) {
        items[i] = loam_cache_get(mine);
        must(items[i] || loam_last_status() == LOAM_NO_MEMORY);
    }
    // Those for which there is no room are gone, and the others there.
    for (size_t i = 0; i < COUNT_OF(items); i++) {
        loam_cache_put(mine, items[i]);
    }
    for (size_t i = 0; i < COUNT_OF(items); i++) {
        struct item *item = loam_cache_get(mine);
        must(item || loam_last_status() == LOAM_NO_MEMORY);
        if (item) {
            item_begin_new(item);
        }
    }
}

static void *use_new_ones(void *argument) {
    for (size_t i = 0; i < place_scaled(100); i++) {
        use_a_pool();
        use_a_cache();
        if (i % 50 == 0) {
            loam_collect();
        }
    }
    return argument;
}

static void scene_refused(void) {
    use_new_ones(NULL);
    run_threads(use_new_ones, 8);
    loam_verify();
}

static const struct scene scenes[] = {{"refused", scene_refused}};

static void where_memory_is_refused_nothing_breaks(void **state) {
    (void)state;
    static const char *const settings[][2] = {
        {"LOAM_TORTURE=refuse:2"},
        {"LOAM_TORTURE=refuse:3"},
        {"LOAM_TORTURE=refuse:7"},
        {"LOAM_TORTURE=refuse:3,collect:20"}};
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const struct outcome *o = scene_play("refused", settings[i]);
        if (o->exit_code != 0) {
            print_message("%s: signal %d, said: %s\n", settings[i][0],
                          o->signal, o->err);
        }
        assert_int_equal(o->exit_code, 0);
    }
}

// ---- fork ------------------------------------------------------------------

static _Noreturn void be_a_child(void) {
    alarm(CHILD_TIMEOUT_S);
    struct chance chance = chance_start(3);
    // What the other threads had comes back, as nobody has it here.
    for (size_t i = 0; i < 50; i++) {
        struct item *item = loam_cache_get(cache);
        must(item->magic == MAGIC);
        loam_cache_put(cache, item);
        item = loam_pool_acquire(pool);
        must(item->magic == MAGIC);
        loam_pool_release(pool, item);
        litter(&chance);
    }
    loam_collect();
    loam_verify();
    _exit(7);
}

static void a_child_of_a_busy_program_has_both_in_order(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // Its interceptors read stacks that it has not cleared yet.
    }
    pthread_t threads[3];
    make_cache();
    make_pool(8, 0);
    is_over = 0;
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, use_both_until_over,
                            (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < place_scaled(40); i++) {
        pid_t child = fork();
        if (child == 0) {
            be_a_child();
        }
        must(child > 0);
        int status = child_wait(child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    assert_int_equal(pool_stats().lost_count, 0);
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_threads_share_three_objects),
        cmocka_unit_test(objects_come_and_go_while_they_are_lent),
        cmocka_unit_test(what_threads_lose_comes_back),
        cmocka_unit_test(no_object_is_in_two_hands),
        cmocka_unit_test(signal_handlers_may_use_what_they_interrupt),
        cmocka_unit_test(where_memory_is_refused_nothing_breaks),
        cmocka_unit_test(a_child_of_a_busy_program_has_both_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
