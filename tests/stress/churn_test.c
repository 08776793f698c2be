// SPDX-License-Identifier: MIT
// churn_test.c: many threads at once, and many one after another.

#include <loam.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define CROWD 1000

static pthread_barrier_t gate;

static OWN_FRAME void check_ring(struct body *const *ring, size_t count) {
    for (size_t i = 0; i < count; i++) {
        body_check(ring[i]);
    }
}

static void *stand_in_a_crowd(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    struct body *ring[10];
    for (size_t i = 0; i < 10; i++) {
        ring[i] = body_new(&chance, (uintptr_t)argument, 300);
        must(ring[i] != NULL);
    }
    pthread_barrier_wait(&gate); // All have allocated;
    pthread_barrier_wait(&gate); // the test has collected.
    check_ring(ring, 10);
    for (size_t i = 0; i < 10; i++) {
        ring[i] = body_new(&chance, (uintptr_t)argument, 300);
        must(ring[i] != NULL);
    }
    check_ring(ring, 10);
    return NULL;
}

static void a_thousand_threads_at_once_are_ordinary(void **state) {
    (void)state;
    static pthread_t threads[CROWD];
    size_t scaled = place_scaled(CROWD - 1);
    size_t count = scaled < CROWD ? scaled : CROWD;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)256 << 10);
    pthread_barrier_init(&gate, NULL, (unsigned)count + 1);
    for (size_t i = 0; i < count; i++) {
        must(pthread_create(&threads[i], &attributes, stand_in_a_crowd,
                            (void *)(i + 1)) == 0);
    }
    pthread_barrier_wait(&gate);
    struct loam_stats stats;
    loam_stats_get(&stats);
    assert_true(stats.thread_count >= count + 1);
    loam_collect();
    loam_collect();
    pthread_barrier_wait(&gate);
    for (size_t i = 0; i < count; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    pthread_barrier_destroy(&gate);
    pthread_attr_destroy(&attributes);
    loam_verify();
}

static void *live_briefly(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    struct body *ring[4];
    for (size_t i = 0; i < 20; i++) {
        ring[i % 4] = body_new(&chance, i, 500);
        must(ring[i % 4] != NULL);
    }
    check_ring(ring, 4);
    return ring[0];
}

static void ten_thousand_short_threads_come_and_go(void **state) {
    (void)state;
    size_t count = place_scaled(10000);
    for (size_t i = 0; i < count; i += 4) {
        pthread_t threads[4];
        for (size_t j = 0; j < 4; j++) {
            must(pthread_create(&threads[j], NULL, live_briefly,
                                (void *)(i + j + 1)) == 0);
        }
        if (i % 64 == 0) {
            loam_collect();
        }
        for (size_t j = 0; j < 4; j++) {
            void *result = NULL;
            must(pthread_join(threads[j], &result) == 0);
            must(result != NULL);
        }
    }
    struct loam_stats stats;
    loam_stats_get(&stats);
    // What threads leave behind is used again.
    assert_true(stats.heap_bytes < (uint64_t)256 << 20);
    loam_verify();
}

static int is_over;

static void *start_and_join(void *argument) {
    for (size_t i = 0; i < (uintptr_t)argument; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, live_briefly, (void *)(i + 1)) == 0);
        must(pthread_join(thread, NULL) == 0);
    }
    return NULL;
}

static void *collect_on_and_on(void *argument) {
    (void)argument;
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        loam_collect();
    }
    return NULL;
}

static void threads_start_and_end_while_others_collect(void **state) {
    (void)state;
    pthread_t collector;
    pthread_t starters[3];
    is_over = 0;
    must(pthread_create(&collector, NULL, collect_on_and_on, NULL) == 0);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&starters[i], NULL, start_and_join,
                            (void *)place_scaled(300)) == 0);
    }
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(starters[i], NULL) == 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(collector, NULL) == 0);
}

static sem_t is_running;

static void *run_until_cancelled(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    struct body *ring[4] = {NULL};
    sem_post(&is_running);
    for (size_t i = 0;; i++) {
        ring[i % 4] = body_new(&chance, i, 500);
        must(ring[i % 4] != NULL);
        body_check(ring[i % 4]);
        pthread_testcancel();
    }
    return NULL;
}

static void threads_are_cancelled_in_the_middle_of_allocating(void **state) {
    (void)state;
    sem_init(&is_running, 0, 0);
    for (size_t i = 0; i < place_scaled(500); i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, run_until_cancelled,
                            (void *)(i + 1)) == 0);
        while (sem_wait(&is_running) != 0) {
        }
        must(pthread_cancel(thread) == 0);
        if (i % 8 == 0) {
            loam_collect();
        }
        must(pthread_join(thread, NULL) == 0);
    }
    sem_destroy(&is_running);
    loam_verify();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_threads_at_once_are_ordinary),
        cmocka_unit_test(ten_thousand_short_threads_come_and_go),
        cmocka_unit_test(threads_start_and_end_while_others_collect),
        cmocka_unit_test(threads_are_cancelled_in_the_middle_of_allocating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
