// SPDX-License-Identifier: MIT
// bounded_test.c: the places of a pool and the table that finds them.

#include "pool/bounded.h"

#include <loam.h>

#include "support/chance.h"
#include "support/framework.h"
#include "support/survivors.h"

// Addresses that are no objects': nothing looks at what is there.
static void *address(size_t number) {
    return (void *)((number + 1) * 16); // NOLINT(performance-no-int-to-ptr)
}

static void *make_nothing(void *argument) {
    (void)argument;
    return NULL;
}

static struct loam_pool *pool_of(size_t max_count) {
    struct loam_pool *pool = loam_pool_new(&(struct loam_pool_options){
        .max_count = max_count, .make = make_nothing});
    must(pool != NULL);
    lm_bounded_check(pool);
    return pool;
}

// Puts an object into the pool, idle, and returns its place.
static uint32_t add(struct loam_pool *pool, void *object) {
    uint32_t place = lm_bounded_take_blank(pool);
    must(place != LM_BOUNDED_NONE);
    must(lm_bounded_fill(pool, place, object));
    must(lm_bounded_give(pool, place, object));
    lm_bounded_check(pool);
    return place;
}

static void drop(struct loam_pool *pool, uint32_t end) {
    must(lm_bounded_take_old(pool, UINT64_MAX, &end) == end);
    must(lm_bounded_clear(pool, end) != NULL);
    lm_bounded_vacate(pool, end);
    lm_bounded_check(pool);
}

static void every_place_is_taken_once(void **state) {
    (void)state;
    for (size_t count = 1; count <= 200; count += 9) {
        struct loam_pool *pool = pool_of(count);
        assert_int_equal(lm_bounded_count_blank(pool), count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(add(pool, address(i)), i);
        }
        assert_int_equal(lm_bounded_take_blank(pool), LM_BOUNDED_NONE);
        assert_int_equal(lm_bounded_count(pool), count);
        for (size_t i = 0; i < count; i++) {
            uint32_t place = lm_bounded_take(pool);
            assert_ptr_equal(lm_bounded_lend(pool, place), address(place));
            lm_bounded_check(pool);
        }
        assert_int_equal(lm_bounded_take(pool), LM_BOUNDED_NONE);
    }
}

static void giving_twice_is_noticed(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(3);
    uint32_t place = add(pool, address(1));
    assert_int_equal(lm_bounded_take(pool), place);
    void *object = lm_bounded_lend(pool, place);
    assert_true(lm_bounded_give(pool, place, object));
    assert_false(lm_bounded_give(pool, place, object));
}

static void objects_with_the_same_home_are_told_apart(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(16);
    void *objects[16];
    uint32_t home = lm_bounded_home(pool, address(0));
    size_t count = 0;
    size_t number = 0;
    for (; count < 16; number++) {
        if (lm_bounded_home(pool, address(number)) == home) {
            objects[count++] = address(number);
        }
    }
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(add(pool, objects[i]), i);
        assert_int_equal(lm_bounded_find(pool, objects[i / 2]), i / 2);
    }
    // Those behind one that is gone are still found.
    for (uint32_t i = 15; i > 0; i--) {
        drop(pool, i + 1);
        assert_int_equal(lm_bounded_find(pool, objects[i]), LM_BOUNDED_NONE);
        assert_int_equal(lm_bounded_find(pool, objects[i - 1]), i - 1);
    }
}

static void a_table_that_many_went_through_still_finds(void **state) {
    (void)state;
    struct chance chance = chance_start(chance_seed("bounded"));
    struct loam_pool *pool = pool_of(40);
    void *objects[40] = {NULL};
    for (size_t i = 0; i < 20000; i++) {
        uint32_t place = (uint32_t)chance_below(&chance, 40);
        if (objects[place]) {
            drop(pool, place + 1);
            assert_int_equal(lm_bounded_find(pool, objects[place]),
                             LM_BOUNDED_NONE);
            objects[place] = NULL;
        } else {
            void *object = address(i);
            objects[add(pool, object)] = object;
        }
        uint32_t other = (uint32_t)chance_below(&chance, 40);
        if (objects[other]) {
            assert_int_equal(lm_bounded_find(pool, objects[other]), other);
        }
    }
}

static void the_same_object_is_not_taken_in_twice(void **state) {
    (void)state;
    struct loam_pool *pool = pool_of(2);
    add(pool, address(5));
    uint32_t place = lm_bounded_take_blank(pool);
    assert_false(lm_bounded_fill(pool, place, address(5)));
    assert_true(lm_bounded_fill(pool, place, address(6)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_is_taken_once),
        cmocka_unit_test(giving_twice_is_noticed),
        cmocka_unit_test(objects_with_the_same_home_are_told_apart),
        cmocka_unit_test(a_table_that_many_went_through_still_finds),
        cmocka_unit_test(the_same_object_is_not_taken_in_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
