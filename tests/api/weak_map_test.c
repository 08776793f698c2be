// SPDX-License-Identifier: MIT
// weak_map_test.c: tables whose entries live as long as what they are about.

#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/chance.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 300

struct node {
    struct node *next;
    long value;
};
LOAM_TYPE(struct node, next)

static struct node *keys[COUNT];
static struct loam_weak_map *map;

static OWN_FRAME struct node *node_new(long value, struct node *next) {
    struct node *n = loam_new(struct node);
    must(n != NULL);
    n->value = value;
    n->next = next;
    return n;
}

static void forget_all(void) {
    memset(keys, 0, sizeof keys);
    map = NULL;
}

// Each value refers to its key, and should not keep it.
static OWN_FRAME void fill_map(void) {
    map = loam_weak_map_new();
    must(map != NULL);
    for (long i = 0; i < COUNT; i++) {
        keys[i] = node_new(i, NULL);
        must(loam_weak_map_set(map, keys[i], node_new(-i, keys[i])) == 0);
    }
}

static OWN_FRAME void check_map(void) {
    for (long i = 0; i < COUNT; i++) {
        if (keys[i]) {
            const struct node *value = loam_weak_map_get(map, keys[i]);
            assert_non_null(value);
            assert_int_equal(value->value, -i);
            assert_ptr_equal(value->next, keys[i]);
        }
    }
}

static void an_entry_lives_as_long_as_its_key(void **state) {
    (void)state;
    fill_map();
    collect_clean();
    loam_collect_minor();
    assert_int_equal(loam_weak_map_count(map), COUNT);
    check_map();
    memset(keys, 0, COUNT / 3 * sizeof *keys);
    collect_clean();
    assert_in_range(loam_weak_map_count(map), COUNT / 3 * 2,
                    COUNT / 3 * 2 + SURVIVORS_SLACK);
    check_map();
    forget_all();
}

static void minor_collections_drop_young_entries(void **state) {
    (void)state;
    loam_collect();
    fill_map();
    loam_collect_minor();
    check_map();
    memset(keys, 0, sizeof keys);
    stack_clear();
    loam_collect_minor();
    loam_collect(); // those that had become old
    assert_in_range(loam_weak_map_count(map), 0, SURVIVORS_SLACK);
    forget_all();
}

static void a_set_entry_can_be_changed_and_removed(void **state) {
    (void)state;
    fill_map();
    struct node *other = node_new(7, NULL);
    assert_int_equal(loam_weak_map_set(map, keys[0], other), 0);
    assert_ptr_equal(loam_weak_map_get(map, keys[0]), other);
    assert_int_equal(loam_weak_map_count(map), COUNT);
    assert_int_equal(loam_weak_map_remove(map, keys[0]), 1);
    assert_int_equal(loam_weak_map_remove(map, keys[0]), 0);
    assert_null(loam_weak_map_get(map, keys[0]));
    assert_int_equal(loam_weak_map_set(map, keys[0], NULL), 0);
    assert_int_equal(loam_weak_map_has(map, keys[0]), 1);
    assert_int_equal(loam_weak_map_has(map, other), 0);
    forget_all();
}

static void a_replaced_value_of_an_old_entry_is_kept(void **state) {
    (void)state;
    fill_map();
    collect_clean();
    for (long i = 0; i < COUNT; i++) {
        must(loam_weak_map_set(map, keys[i], node_new(-i, keys[i])) == 0);
        if (i % 20 == 0) {
            loam_collect_minor();
        }
    }
    loam_collect_minor();
    check_map();
    forget_all();
}

static OWN_FRAME void expect_no_entries(void) {
    for (long i = 0; i < 4 * COUNT; i++) {
        assert_int_equal(loam_weak_map_has(map, node_new(i, NULL)), 0);
    }
}

// Another object may come to where it was.
static void a_freed_key_leaves_its_entry_to_nobody(void **state) {
    (void)state;
    for (int has_collected = 0; has_collected < 2; has_collected++) {
        fill_map();
        if (has_collected) {
            loam_collect();
            loam_collect();
        }
        for (long i = 0; i < COUNT; i++) {
            loam_free(keys[i]);
            keys[i] = NULL;
        }
        expect_no_entries();
        collect_clean();
        assert_in_range(loam_weak_map_count(map), 0, SURVIVORS_SLACK);
        expect_no_entries();
        forget_all();
    }
}

static void a_map_may_be_freed(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        fill_map();
        loam_free(map);
        map = loam_weak_map_new();
        assert_int_equal(loam_weak_map_count(map), 0);
        loam_collect();
        forget_all();
    }
    loam_verify();
}

static void what_is_no_object_cannot_be_a_weak_key(void **state) {
    (void)state;
    int local = 0;
    map = loam_weak_map_new();
    assert_int_equal(loam_weak_map_set(map, &local, NULL), -1);
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_int_equal(loam_weak_map_count(map), 0);
    forget_all();
}

// A chain: what one entry carries is what the next one watches, first key last.
static OWN_FRAME void make_chain(long count, bool is_forward) {
    struct node **all = calloc((size_t)count + 1, sizeof *all);
    loam_root_add(all, ((size_t)count + 1) * sizeof *all);
    map = loam_weak_map_new();
    for (long i = 0; i <= count; i++) {
        all[i] = node_new(i, NULL);
    }
    for (long i = 0; i < count; i++) {
        long at = is_forward ? i : count - 1 - i;
        must(loam_weak_map_set(map, all[at], all[at + 1]) == 0);
    }
    keys[0] = all[0];
    loam_root_remove(all);
    free(all);
}

static OWN_FRAME long chain_length(void) {
    long length = 0;
    const struct node *n = keys[0];
    while ((n = loam_weak_map_get(map, n)) != NULL) {
        assert_int_equal(n->value, ++length);
    }
    return length;
}

static void a_long_chain_of_entries_lives_and_dies(void **state) {
    (void)state;
    long count = (long)place_scaled(1000000);
    for (int is_forward = 0; is_forward < 2; is_forward++) {
        make_chain(count, is_forward);
        collect_clean();
        assert_int_equal(loam_weak_map_count(map), count);
        assert_int_equal(chain_length(), count);
        keys[0] = NULL;
        collect_clean();
        // A stale word may keep the chain from some place on.
        assert_true(loam_weak_map_count(map) < (size_t)count);
        forget_all();
        loam_collect();
    }
}

static OWN_FRAME void make_pair(struct loam_weak_map **inner) {
    map = loam_weak_map_new();
    keys[0] = node_new(0, NULL);
    *inner = loam_weak_map_new();
    must(loam_weak_map_set(map, keys[0], *inner) == 0);
    for (long i = 1; i < COUNT; i++) {
        keys[i] = node_new(i, NULL);
        must(loam_weak_map_set(*inner, keys[i], node_new(-i, keys[i])) == 0);
    }
    *inner = NULL;
}

static void a_map_may_be_kept_by_an_entry_of_another(void **state) {
    (void)state;
    struct loam_weak_map *inner;
    make_pair(&inner);
    collect_clean();
    struct loam_weak_map *outer = map;
    map = loam_weak_map_get(outer, keys[0]);
    keys[0] = NULL;
    assert_int_equal(loam_weak_map_count(map), COUNT - 1);
    check_map();
    forget_all();
}

// ---- By what is in them ------------------------------------------------------------

static uint64_t text_hash(const void *key, void *argument) {
    uint64_t hash = 5381;
    must(argument == NULL);
    for (const char *c = key; *c; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    return hash;
}

static int text_equal(const void *a, const void *b, void *argument) {
    must(argument == NULL);
    return strcmp(a, b) == 0;
}

static OWN_FRAME void fill_values(void) {
    map = loam_weak_values_new(text_hash, text_equal, NULL);
    for (long i = 0; i < COUNT; i++) {
        keys[i] = node_new(i, NULL);
        must(loam_weak_map_set(map, loam_printf("key %ld", i), keys[i]) == 0);
    }
}

static OWN_FRAME size_t count_values(void) {
    size_t count = 0;
    for (long i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "key %ld", i);
        const struct node *n = loam_weak_map_get(map, name);
        assert_true(n == NULL || n->value == i);
        assert_true(n == keys[i] || keys[i] == NULL);
        count += n != NULL;
    }
    return count;
}

static void an_entry_of_weak_values_lives_as_long_as_its_value(void **state) {
    (void)state;
    fill_values();
    collect_clean();
    loam_collect_minor();
    assert_int_equal(count_values(), COUNT);
    memset(keys, 0, COUNT / 2 * sizeof *keys);
    collect_clean();
    assert_in_range(count_values(), COUNT / 2, COUNT / 2 + SURVIVORS_SLACK);
    forget_all();
}

static void one_function_without_the_other_is_a_bad_argument(void **state) {
    (void)state;
    assert_null(loam_weak_values_new(text_hash, NULL, NULL));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_null(loam_intern_new(NULL, NULL, NULL));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
}

static char *interned[COUNT];

static OWN_FRAME void intern_some(void) {
    for (size_t i = 0; i < COUNT; i++) {
        interned[i] = loam_intern(map, loam_printf("text %zu", i / 3));
        must(interned[i] != NULL);
    }
}

static void equal_objects_are_interned_as_one(void **state) {
    (void)state;
    map = loam_intern_new(text_hash, text_equal, NULL);
    intern_some();
    assert_int_equal(loam_weak_map_count(map), COUNT / 3);
    for (size_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(interned[i], interned[i / 3 * 3]);
    }
    collect_clean();
    assert_int_equal(loam_weak_map_count(map), COUNT / 3);
    assert_ptr_equal(loam_intern(map, loam_strdup("text 5")), interned[15]);
    memset(interned, 0, sizeof interned);
    collect_clean();
    assert_in_range(loam_weak_map_count(map), 0, SURVIVORS_SLACK);
    forget_all();
}

static void count_entry(void *key, void *value, void *argument) {
    const struct node *n = value;
    assert_ptr_equal(n->next, key);
    ++*(size_t *)argument;
}

static void each_entry_is_met(void **state) {
    (void)state;
    size_t count = 0;
    fill_map();
    loam_weak_map_each(map, count_entry, &count);
    assert_int_equal(count, COUNT);
    forget_all();
}

// ---- Threads and fork ----------------------------------------------------------------

struct worker {
    pthread_t thread;
    uint64_t seed;
};

#define OWN 64

static OWN_FRAME void *work(void *argument) {
    const struct worker *worker = argument;
    struct chance chance = chance_start(worker->seed);
    struct node *own[OWN] = {NULL};
    for (size_t n = 0; n < place_scaled(60000); n++) {
        size_t i = chance_below(&chance, OWN);
        if (own[i] == NULL) {
            own[i] = node_new((long)n, NULL);
            must(loam_weak_map_set(map, own[i], node_new(0, own[i])) == 0);
            continue;
        }
        const struct node *value = loam_weak_map_get(map, own[i]);
        must(value != NULL && value->next == own[i]);
        switch (chance_below(&chance, 4)) {
        case 0:
            own[i] = NULL;
            break;
        case 1:
            must(loam_weak_map_set(map, own[i], node_new(1, own[i])) == 0);
            break;
        case 2:
            must(loam_weak_map_remove(map, own[i]) == 1);
            own[i] = NULL;
            break;
        default:
            break;
        }
    }
    return NULL;
}

static void threads_may_share_a_map_while_collections_settle(void **state) {
    (void)state;
    struct worker workers[4];
    uint64_t seed = chance_seed("threads and a weak map");
    map = loam_weak_map_new();
    for (size_t i = 0; i < 4; i++) {
        workers[i].seed = seed + i;
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (size_t n = 0; n < place_scaled(100); n++) {
        loam_collect();
        loam_collect_minor();
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    loam_verify();
    forget_all();
}

static void a_child_has_the_maps_of_its_parent(void **state) {
    (void)state;
    fill_map();
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        memset(keys, 0, COUNT / 2 * sizeof *keys);
        collect_clean();
        size_t count = loam_weak_map_count(map);
        bool ok = count >= COUNT / 2 && count <= COUNT / 2 + SURVIVORS_SLACK;
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(child_wait(child), 0);
    collect_clean();
    assert_int_equal(loam_weak_map_count(map), COUNT);
    check_map();
    forget_all();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_lives_as_long_as_its_key),
        cmocka_unit_test(minor_collections_drop_young_entries),
        cmocka_unit_test(a_set_entry_can_be_changed_and_removed),
        cmocka_unit_test(a_replaced_value_of_an_old_entry_is_kept),
        cmocka_unit_test(a_freed_key_leaves_its_entry_to_nobody),
        cmocka_unit_test(a_map_may_be_freed),
        cmocka_unit_test(what_is_no_object_cannot_be_a_weak_key),
        cmocka_unit_test(a_long_chain_of_entries_lives_and_dies),
        cmocka_unit_test(a_map_may_be_kept_by_an_entry_of_another),
        cmocka_unit_test(an_entry_of_weak_values_lives_as_long_as_its_value),
        cmocka_unit_test(one_function_without_the_other_is_a_bad_argument),
        cmocka_unit_test(equal_objects_are_interned_as_one),
        cmocka_unit_test(each_entry_is_met),
        cmocka_unit_test(threads_may_share_a_map_while_collections_settle),
        cmocka_unit_test(a_child_has_the_maps_of_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
