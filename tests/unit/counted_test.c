// SPDX-License-Identifier: MIT
// counted_test.c: taking an object from its owner while the owner counts.

#include "heap/type.h"
#include "life/counted.h"
#include "os/restart.h"

#include <loam.h>
#include <pthread.h>
#include <sched.h>

#include "support/framework.h"
#include "support/survivors.h"

struct thing {
    long number;
};

static size_t death_count;

static void thing_end(void *object) {
    must(((struct thing *)object)->number == 7);
    __atomic_fetch_add(&death_count, 1, __ATOMIC_RELAXED);
}
LOAM_COUNTED(struct thing, thing_end)

static struct thing *thing_new(void) {
    struct thing *t = loam_counted_new(struct thing);
    must(t != NULL);
    t->number = 7;
    // However many are handed over, the next one has an owner again.
    struct loam_type *type = (struct loam_type *)loam_type_of(t);
    __atomic_store_n(&type->death.handed_count, 0, __ATOMIC_RELAXED);
    return t;
}

static struct loam_count_ *count_of(struct thing *t) {
    return (struct loam_count_ *)t - 1;
}

// ---- Handing over -----------------------------------------------------------

static struct thing *handed;
static uint32_t round_number; // the other thread's, when it is done
static size_t rounds;

// Lets go of each object that is handed to it, after a moment.
static void *let_go(void *argument) {
    for (uint32_t round = 1; round <= rounds; round++) {
        struct thing *t;
        while ((t = __atomic_exchange_n(&handed, NULL, __ATOMIC_ACQUIRE)) ==
               NULL) {
            sched_yield();
        }
        for (volatile uint32_t i = 0; i < round % 64; i++) {
        }
        loam_release(t);
        __atomic_store_n(&round_number, round, __ATOMIC_RELEASE);
    }
    return argument;
}

static void count_until(struct thing *t, uint32_t round) {
    for (int i = 1; __atomic_load_n(&round_number, __ATOMIC_ACQUIRE) != round;
         i++) {
        if (i % 1024 == 0) {
            sched_yield(); // there may be one processor
        }
        loam_retain(t);
        loam_retain(t);
        loam_release(t);
        loam_retain(t);
        loam_release(t);
        loam_release(t);
    }
}

static void no_count_is_lost_when_an_owner_loses_its_object(void **state) {
    (void)state;
    pthread_t thread;
    rounds = 5000;
    death_count = 0;
    must(pthread_create(&thread, NULL, let_go, NULL) == 0);
    for (uint32_t round = 1; round <= rounds; round++) {
        struct thing *t = loam_retain(thing_new());
        __atomic_store_n(&handed, t, __ATOMIC_RELEASE);
        count_until(t, round);
        assert_int_equal(lm_counted_value(count_of(t)), 1);
        assert_int_equal(count_of(t)->shared & 1, 1); // nobody's any more
        loam_release(t);
        assert_int_equal(death_count, round);
    }
    pthread_join(thread, NULL);
}

// ---- Owners -----------------------------------------------------------------

static void the_thread_that_made_an_object_owns_it(void **state) {
    (void)state;
    struct thing *t = thing_new();
    if (!lm_restart_init()) {
        // Without steps all counting is shared.
        assert_int_equal(count_of(t)->owner, LOAM_OWNER_NOBODY_);
        loam_release(t);
        return;
    }
    assert_int_equal(count_of(t)->owner, loam_stepper_.owner);
    assert_int_equal(count_of(t)->local, 1);
    loam_retain(t);
    assert_int_equal(count_of(t)->local, 2);
    assert_int_equal(count_of(t)->shared, 0);
    loam_release(t);
    loam_release(t);
}

static void a_type_that_is_handed_over_often_has_no_owners(void **state) {
    (void)state;
    struct thing *t = thing_new();
    struct loam_type *type = (struct loam_type *)loam_type_of(t);
    type->death.handed_count = LOAM_HANDED_MAX_;
    struct thing *next = loam_counted_new(struct thing);
    next->number = 7;
    assert_int_equal(count_of(next)->owner, LOAM_OWNER_NOBODY_);
    assert_int_equal(loam_count_of(loam_retain(next)), 2);
    death_count = 0;
    loam_release(next);
    loam_release(next);
    loam_release(t);
    assert_int_equal(death_count, 2);
}

static void the_highest_count_goes_on_in_the_shared_one(void **state) {
    (void)state;
    struct thing *t = thing_new();
    if (count_of(t)->owner != LOAM_OWNER_NOBODY_) {
        count_of(t)->local = UINT32_MAX;
        loam_retain(t);
        assert_int_equal(count_of(t)->local, UINT32_MAX);
        assert_int_equal(loam_count_of(t), (size_t)UINT32_MAX + 1);
        loam_release(t);
        loam_release(t);
        assert_int_equal(loam_count_of(t), (size_t)UINT32_MAX - 1);
        count_of(t)->local = 1;
        count_of(t)->shared = 0;
    }
    loam_release(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_count_is_lost_when_an_owner_loses_its_object),
        cmocka_unit_test(the_thread_that_made_an_object_owns_it),
        cmocka_unit_test(a_type_that_is_handed_over_often_has_no_owners),
        cmocka_unit_test(the_highest_count_goes_on_in_the_shared_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
