// SPDX-License-Identifier: MIT
// share_test.c: mark/share.h.

#include "mark/share.h"

#include "os/thread.h"
#include "support/framework.h"

#include <pthread.h>

// What a helper needs, and more than it should, to join again.
#define AGAIN_NS 20000000u

// The phase that the test is in, and those in which the helper joined; atomic.
static unsigned phase;
static unsigned joined[2];
static unsigned left;

static void *helper_leave_early(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < 2; i++) {
        struct lm_chunk *chunk = lm_share_join();
        __atomic_store_n(&joined[i], __atomic_load_n(&phase, __ATOMIC_ACQUIRE),
                         __ATOMIC_RELEASE);
        lm_share_offer(chunk); // with what it had no time for
        lm_share_quit();
        lm_share_leave();
        __atomic_store_n(&left, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void wait_for(const unsigned *count, unsigned wanted) {
    while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < wanted) {
        lm_thread_yield();
    }
}

// It took back what it had offered before any other marker was awake, did one entry
// and left again, some twenty times in a row: stops took 2 ms instead of 0.6.
static void who_left_a_phase_early_joins_the_next_one(void **state) {
    (void)state;
    static struct lm_chunk chunk;
    pthread_t helper;
    phase = 1;
    lm_share_begin(1);
    lm_share_offer(&chunk);
    assert_int_equal(pthread_create(&helper, NULL, helper_leave_early, NULL),
                     0);
    wait_for(&left, 1);
    lm_thread_sleep(AGAIN_NS);
    assert_int_equal(__atomic_load_n(&joined[1], __ATOMIC_ACQUIRE), 0);
    // Nor is there anything left for who began it.
    assert_null(lm_share_steal());
    lm_share_end();
    __atomic_store_n(&phase, 2, __ATOMIC_RELEASE);
    lm_share_begin(1); // wakes it: there is work left
    wait_for(&left, 2);
    lm_share_quit();
    lm_share_end();
    pthread_join(helper, NULL);
    assert_int_equal(joined[0], 1);
    assert_int_equal(joined[1], 2);
    assert_ptr_equal(lm_share_take(), &chunk);
    assert_null(lm_share_take());
}

static void *helper_quit_in_time(void *argument) {
    (void)argument;
    struct lm_chunk *chunk = lm_share_join();
    __atomic_store_n(&joined[0], 1, __ATOMIC_RELEASE);
    lm_thread_sleep(AGAIN_NS); // the other one waits by then
    lm_share_quit();
    lm_share_offer(chunk); // as a third one might that leaves a little later
    lm_share_leave();
    return NULL;
}

// What is on offer is for the next phase, in which there is time.
static void who_waits_for_work_is_let_go_when_a_phase_is_left(void **state) {
    (void)state;
    static struct lm_chunk chunk;
    pthread_t helper;
    joined[0] = 0;
    lm_share_begin(1);
    lm_share_offer(&chunk);
    assert_int_equal(pthread_create(&helper, NULL, helper_quit_in_time, NULL),
                     0);
    wait_for(&joined[0], 1);
    assert_null(lm_share_steal());
    lm_share_end();
    pthread_join(helper, NULL);
    assert_ptr_equal(lm_share_take(), &chunk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_left_a_phase_early_joins_the_next_one),
        cmocka_unit_test(who_waits_for_work_is_let_go_when_a_phase_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
