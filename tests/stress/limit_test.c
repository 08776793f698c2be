// SPDX-License-Identifier: MIT
// limit_test.c: very long, very deep and very large.

#include <loam.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define GIB ((size_t)1 << 30)

struct link {
    struct link *next;
    size_t number;
};
LOAM_TYPE(struct link, next)

struct tree {
    struct tree *left;
    struct tree *right;
    size_t number;
};
LOAM_TYPE(struct tree, left, right)

static struct link *list;

static OWN_FRAME void make_list(size_t length) {
    list = NULL;
    for (size_t i = 0; i < length; i++) {
        struct link *n = loam_new(struct link);
        must(n != NULL);
        n->next = list;
        n->number = i;
        list = n;
    }
}

static OWN_FRAME size_t list_length(void) {
    size_t length = 0;
    for (struct link *n = list; n != NULL; n = n->next) {
        must(n->next == NULL || n->number == n->next->number + 1);
        length++;
    }
    return length;
}

static void a_list_of_a_million_survives(void **state) {
    (void)state;
    make_list(1000000);
    collect_clean();
    assert_int_equal(list_length(), 1000000);
    struct loam_stats stats;
    loam_stats_get(&stats);
    assert_true(stats.live_count >= 1000000);
    list = NULL;
    collect_clean();
}

struct small_stack_case {
    size_t length;
};

static void *collect_on_a_small_stack(void *argument) {
    struct small_stack_case *c = argument;
    loam_collect();
    c->length = list_length();
    return NULL;
}

static void marking_does_not_recurse(void **state) {
    (void)state;
    struct small_stack_case c = {0};
    make_list(1000000);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    // Recursion over a million objects would need far more.
    must(pthread_attr_setstacksize(&attributes, (size_t)128 << 10) == 0);
    pthread_t thread;
    must(pthread_create(&thread, &attributes, collect_on_a_small_stack, &c) ==
         0);
    must(pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attributes);
    assert_int_equal(c.length, 1000000);
    list = NULL;
}

static OWN_FRAME struct tree *make_comb(size_t length) {
    // Every tooth waits on the mark stack while the comb's back is followed.
    struct tree *top = NULL;
    for (size_t i = 0; i < length; i++) {
        struct tree *n = loam_new(struct tree);
        must(n != NULL);
        n->left = top;
        n->right = loam_new(struct tree);
        must(n->right != NULL);
        n->right->number = i;
        top = n;
    }
    return top;
}

static void a_deep_comb_survives(void **state) {
    (void)state;
    static struct tree *comb;
    size_t length = place_scaled(1000000);
    comb = make_comb(length);
    collect_clean();
    struct tree *n = comb;
    for (size_t i = length; i > 0; i--) {
        assert_int_equal(n->right->number, i - 1);
        n = n->left;
    }
    assert_null(n);
    comb = NULL;
}

static OWN_FRAME void **make_fan(size_t width) {
    void **fan = loam_new_array(void *, width);
    must(fan != NULL);
    for (size_t i = 0; i < width; i++) {
        size_t *leaf = loam_alloc_leaf(16);
        must(leaf != NULL);
        leaf[0] = i;
        fan[i] = leaf;
    }
    return fan;
}

static void a_wide_array_of_a_million_survives(void **state) {
    (void)state;
    static void **fan;
    size_t width = place_scaled(1000000);
    fan = make_fan(width);
    collect_clean();
    for (size_t i = 0; i < width; i++) {
        assert_int_equal(*(size_t *)fan[i], i);
    }
    fan = NULL;
    collect_clean();
}

static void an_array_of_four_gibibytes_keeps_its_few_objects(void **state) {
    (void)state;
    if (place_available_bytes() < 8 * GIB || place_has_asan() ||
        place_has_tsan() || place_has_valgrind()) {
        skip(); // Too little memory, or a checker that shadows all of it.
    }
    static void **array;
    const size_t count = 4 * GIB / sizeof(void *);
    const size_t places[] = {0, 1, count / 3, count / 2, count - 1};
    struct survivors kept = survivors_new(COUNT_OF(places));
    array = loam_new_array(void *, count);
    assert_non_null(array);
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        assert_null(array[places[i]]);
        fill_place(&array[places[i]], 1, 64, &kept);
    }
    collect_clean();
    assert_int_equal(survivors_count(&kept), COUNT_OF(places));
    assert_ptr_equal(loam_base_of(&array[count - 1]), array);
    loam_free(array);
    array = NULL;
    loam_trim();
    survivors_free(&kept);
}

static void large_leaves_cost_addresses_only(void **state) {
    (void)state;
    for (size_t gib = 1; gib <= 8; gib *= 2) {
        char *p = loam_alloc_leaf(gib * GIB);
        assert_non_null(p);
        p[0] = 1;
        p[gib * GIB - 1] = 2;
        assert_true(loam_size_of(p) >= gib * GIB);
        loam_free(p);
    }
    loam_trim();
}

static void memory_is_used_again_when_the_mix_of_sizes_shifts(void **state) {
    (void)state;
    struct loam_stats stats;
    collect_clean(); // The large objects before allow for a large heap.
    for (size_t bytes = 16; bytes <= 40000; bytes = bytes * 3 / 2) {
        for (size_t done = 0; done < place_scaled((size_t)40 << 20);
             done += bytes) {
            must(loam_alloc(bytes) != NULL);
        }
    }
    loam_stats_get(&stats);
    assert_true(stats.heap_bytes < (uint64_t)200 << 20);
    loam_verify();
}

static void a_checkerboard_of_survivors_is_filled_again(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    static void *board[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        board[i] = loam_alloc(48);
    }
    // A pointer to a cell may also keep the one before it.
    for (size_t i = 0; i < COUNT; i++) {
        board[i] = i % 4 == 0 ? board[i] : NULL;
    }
    collect_clean();
    struct loam_stats before;
    struct loam_stats after;
    loam_stats_get(&before);
    for (size_t i = 2; i < COUNT; i += 4) {
        size_t *p = loam_alloc(48);
        must(p != NULL && p[0] == 0 && p[5] == 0);
        board[i] = p;
    }
    loam_stats_get(&after);
    assert_true(after.heap_bytes <= before.heap_bytes + ((size_t)1 << 20));
    memset(board, 0, sizeof board);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_of_a_million_survives),
        cmocka_unit_test(marking_does_not_recurse),
        cmocka_unit_test(a_deep_comb_survives),
        cmocka_unit_test(a_wide_array_of_a_million_survives),
        cmocka_unit_test(an_array_of_four_gibibytes_keeps_its_few_objects),
        cmocka_unit_test(large_leaves_cost_addresses_only),
        cmocka_unit_test(memory_is_used_again_when_the_mix_of_sizes_shifts),
        cmocka_unit_test(a_checkerboard_of_survivors_is_filled_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
