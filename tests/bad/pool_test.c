// SPDX-License-Identifier: MIT
// pool_test.c: what happens where the caller of a pool breaks the contract.

#include <loam.h>
#include <string.h>

#include "support/framework.h"
#include "support/misuse.h"
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

// ---- Misuses ---------------------------------------------------------------

static void release_twice(void) {
    struct loam_pool *pool = pool_of(2);
    void *item = loam_pool_acquire(pool);
    loam_pool_release(pool, item);
    loam_pool_release(pool, item);
}

static void release_foreign(void) {
    loam_pool_release(pool_of(2), loam_new(struct item));
}

static void release_null(void) {
    loam_pool_release(pool_of(2), NULL);
}

static void release_inside(void) {
    struct loam_pool *pool = pool_of(2);
    loam_pool_release(pool, (char *)loam_pool_acquire(pool) + 8);
}

static void release_elsewhere(void) {
    struct loam_pool *pool = pool_of(2);
    loam_pool_release(pool_of(2), loam_pool_acquire(pool));
}

static void release_of_dropped(void) {
    struct loam_pool *pool = pool_of(2);
    void *item = loam_pool_acquire(pool);
    loam_pool_release(pool, item);
    must(loam_pool_drain(pool) == 1);
    loam_pool_release(pool, item);
}

static void acquire_in_blocking_region(void) {
    struct loam_pool *pool = pool_of(2);
    loam_blocking_begin();
    loam_pool_acquire(pool);
}

static void *make_the_same(void *argument) {
    return argument;
}

static void make_twice_the_same(void) {
    struct loam_pool *pool = loam_pool_new(
        &(struct loam_pool_options){.max_count = 2,
                                    .make = make_the_same,
                                    .argument = loam_new(struct item)});
    must(loam_pool_acquire(pool) != NULL);
    loam_pool_acquire(pool);
}

static void get_in_blocking_region(void) {
    struct loam_cache *cache = loam_cache_new(NULL);
    loam_blocking_begin();
    loam_cache_get(cache);
}

static void free_of_lent(void) {
    struct loam_pool *pool = pool_of(10000);
    for (int i = 0; i < 10000; i++) {
        // Some time one is made where another was.
        loam_free(loam_pool_acquire(pool));
    }
}

static const struct scene scenes[] = {
    {"release_twice", release_twice},
    {"release_foreign", release_foreign},
    {"release_null", release_null},
    {"release_inside", release_inside},
    {"release_elsewhere", release_elsewhere},
    {"release_of_dropped", release_of_dropped},
    {"acquire_in_blocking_region", acquire_in_blocking_region},
    {"make_twice_the_same", make_twice_the_same},
    {"get_in_blocking_region", get_in_blocking_region},
    {"free_of_lent", free_of_lent},
};

// ---- Tests -----------------------------------------------------------------

static void releasing_twice_is_an_error(void **state) {
    (void)state;
    expect_abort("release_twice", "loam_pool_release", "already");
}

static void releasing_what_the_pool_does_not_have_is_an_error(void **state) {
    (void)state;
    expect_abort("release_foreign", "loam_pool_release", "foreign");
    expect_abort("release_null", "loam_pool_release", "foreign");
    expect_abort("release_inside", "loam_pool_release", "foreign");
    expect_abort("release_elsewhere", "loam_pool_release", "foreign");
    expect_abort("release_of_dropped", "loam_pool_release", "foreign");
}

static void using_either_in_a_blocking_region_is_an_error(void **state) {
    (void)state;
    expect_abort("acquire_in_blocking_region", "loam_pool_acquire",
                 "blocking region");
    expect_abort("get_in_blocking_region", "loam_cache_get", "blocking region");
}

static void making_the_same_object_twice_is_an_error(void **state) {
    (void)state;
    expect_abort("make_twice_the_same", "make", "already");
}

static void freeing_what_is_lent_is_an_error(void **state) {
    (void)state;
    expect_abort("free_of_lent", "loam_free", "the pool has already");
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(releasing_twice_is_an_error),
        cmocka_unit_test(releasing_what_the_pool_does_not_have_is_an_error),
        cmocka_unit_test(using_either_in_a_blocking_region_is_an_error),
        cmocka_unit_test(making_the_same_object_twice_is_an_error),
        cmocka_unit_test(freeing_what_is_lent_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
