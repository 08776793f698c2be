// SPDX-License-Identifier: MIT
// weak_map_test.c: tables whose entries live as long as what they are about.

#include <loam.h>
#include <pthread.h>
#include <sched.h>
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

static OWN_FRAME void fill_set(void) {
    map = loam_weak_map_new();
    must(map != NULL);
    for (long i = 0; i < COUNT; i++) {
        keys[i] = node_new(i, NULL);
        must(loam_weak_map_set(map, keys[i], NULL) == 0);
        must(loam_weak_map_set(map, keys[i], NULL) == 0); // is there already
    }
}

static void check_member(void *key, void *value, void *seen) {
    const struct node *n = key;
    must(value == NULL);
    must(n->value >= 0 && n->value < COUNT);
    ((unsigned char *)seen)[n->value]++;
}

static void with_values_of_null_a_map_is_a_weak_set(void **state) {
    (void)state;
    unsigned char seen[COUNT] = {0};
    fill_set();
    collect_clean();
    loam_collect_minor();
    assert_int_equal(loam_weak_map_count(map), COUNT);
    memset(keys, 0, COUNT / 3 * sizeof *keys);
    collect_clean();
    assert_in_range(loam_weak_map_count(map), COUNT / 3 * 2,
                    COUNT / 3 * 2 + SURVIVORS_SLACK);
    loam_weak_map_each(map, check_member, seen);
    for (long i = COUNT / 3; i < COUNT; i++) {
        assert_int_equal(loam_weak_map_has(map, keys[i]), 1);
        assert_null(loam_weak_map_get(map, keys[i]));
        assert_int_equal(seen[i], 1);
    }
    assert_int_equal(loam_weak_map_remove(map, keys[COUNT - 1]), 1);
    assert_int_equal(loam_weak_map_has(map, keys[COUNT - 1]), 0);
    forget_all();
}

// A large table with few entries gives way to a smaller one, into which those are
// moved a few at a time: it must have room for them when the last ones come.
static void a_map_that_was_large_takes_entries_again(void **state) {
    (void)state;
    // So many fill a table of 32,768 slots up to where it is exchanged.
    enum { LARGE = 24576, LEFT = 100, MORE = 4000 };
    static struct node **all;
    all = loam_new_array(struct node *, LARGE + MORE);
    map = loam_weak_map_new();
    for (long i = 0; i < LARGE + MORE; i++) {
        all[i] = node_new(i, NULL);
    }
    for (long i = 0; i < LARGE; i++) {
        must(loam_weak_map_set(map, all[i], all[i]) == 0);
    }
    for (long i = LEFT; i < LARGE; i++) {
        must(loam_weak_map_remove(map, all[i]) == 1);
    }
    for (long i = LARGE; i < LARGE + MORE; i++) {
        must(loam_weak_map_set(map, all[i], all[i]) == 0);
    }
    for (long i = 0; i < LARGE + MORE; i++) {
        bool is_there = i < LEFT || i >= LARGE;
        must(loam_weak_map_get(map, all[i]) == (is_there ? all[i] : NULL));
    }
    assert_int_equal(loam_weak_map_count(map), LEFT + MORE);
    all = NULL;
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

// Values that only the map leads to, in a table that grows under the collector's
// eyes: what goes over to the new table must not be passed by.
static struct node **many;

static OWN_FRAME void grow_map(long count) {
    map = loam_weak_map_new();
    must(map != NULL);
    for (long i = 0; i < count; i++) {
        many[i] = node_new(i, NULL);
        must(loam_weak_map_set(map, many[i], node_new(-i, many[i])) == 0);
    }
}

static OWN_FRAME void check_grown(long count) {
    for (long i = 0; i < count; i++) {
        const struct node *value = loam_weak_map_get(map, many[i]);
        assert_non_null(value);
        assert_int_equal(value->value, -i);
        assert_ptr_equal(value->next, many[i]);
    }
}

static void *collect_on(void *argument) {
    const bool *is_done = argument;
    while (!__atomic_load_n(is_done, __ATOMIC_ACQUIRE)) {
        loam_collect();
    }
    return NULL;
}

static void entries_live_while_their_table_grows_and_is_settled(void **state) {
    (void)state;
    long count = (long)place_scaled(200000);
    many = loam_new_array(struct node *, (size_t)count);
    enum loam_choice was = loam_concurrent_get();
    loam_concurrent_set(LOAM_ON);
    for (int round = 0; round < 5; round++) {
        bool is_done = false;
        pthread_t collector;
        pthread_create(&collector, NULL, collect_on, &is_done);
        grow_map(count);
        __atomic_store_n(&is_done, true, __ATOMIC_RELEASE);
        pthread_join(collector, NULL);
        check_grown(count);
    }
    loam_verify();
    loam_concurrent_set(was);
    many = NULL;
    forget_all();
}

// More entries than are settled in the stop: who looks for one whose value is not
// marked yet has to wait, and then gets it before the next collection settles.
static void who_waits_is_served_while_another_collects(void **state) {
    (void)state;
    bool is_done = false;
    pthread_t collector;
    long count = 5000;
    many = loam_new_array(struct node *, (size_t)count);
    enum loam_choice was = loam_concurrent_get();
    loam_concurrent_set(LOAM_OFF);
    grow_map(count);
    pthread_create(&collector, NULL, collect_on, &is_done);
    for (size_t i = 0; i < place_scaled(1000); i++) {
        const struct node *value = loam_weak_map_get(map, many[i]);
        assert_non_null(value);
        assert_ptr_equal(value->next, many[i]);
    }
    __atomic_store_n(&is_done, true, __ATOMIC_RELEASE);
    pthread_join(collector, NULL);
    loam_concurrent_set(was);
    many = NULL;
    forget_all();
}

// Entries come and go in few slots, under the eyes of one who looks: what he is
// given is of the key that he asked for.
#define SEATS 8

static struct node *seats[SEATS];
static unsigned looker_count; // that have found something; atomic

static OWN_FRAME void *look(void *argument) {
    const bool *is_done = argument;
    size_t found = 0;
    for (size_t n = 0; !__atomic_load_n(is_done, __ATOMIC_ACQUIRE); n++) {
        const struct node *key = seats[n % SEATS];
        const struct node *value = loam_weak_map_get(map, key);
        must(value == NULL || value->next == key);
        if (value && found++ == 0) {
            __atomic_fetch_add(&looker_count, 1, __ATOMIC_RELEASE);
        }
    }
    return NULL;
}

static void who_looks_finds_the_value_of_his_key(void **state) {
    (void)state;
    bool is_done = false;
    pthread_t lookers[2];
    map = loam_weak_map_new();
    for (size_t i = 0; i < SEATS; i++) {
        seats[i] = node_new((long)i, NULL);
        must(loam_weak_map_set(map, seats[i], node_new(0, seats[i])) == 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_create(&lookers[i], NULL, look, &is_done);
    }
    while (__atomic_load_n(&looker_count, __ATOMIC_ACQUIRE) < 2) {
        sched_yield();
    }
    struct chance chance = chance_start(chance_seed("looking"));
    for (size_t n = 0; n < place_scaled(200000); n++) {
        struct node *key = seats[chance_below(&chance, SEATS)];
        if (chance_below(&chance, 2)) {
            loam_weak_map_remove(map, key);
        } else {
            must(loam_weak_map_set(map, key, node_new(0, key)) == 0);
        }
    }
    __atomic_store_n(&is_done, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(lookers[i], NULL);
    }
    memset(seats, 0, sizeof seats);
    forget_all();
}

// While one thread compares its text with another, a second one interns an equal
// text, where a removed member was.
static char *meanwhile;
static bool is_to_intern;

static uint64_t same_hash(const void *key, void *argument) {
    (void)key;
    (void)argument;
    return 7;
}

static void *intern_meanwhile(void *argument) {
    (void)argument;
    meanwhile = loam_intern(map, loam_strdup("new"));
    return NULL;
}

static int equal_with_another(const void *a, const void *b, void *argument) {
    if (is_to_intern) {
        pthread_t other;
        is_to_intern = false;
        must(pthread_create(&other, NULL, intern_meanwhile, NULL) == 0);
        must(pthread_join(other, NULL) == 0);
    }
    return text_equal(a, b, argument);
}

static void what_another_interns_meanwhile_is_found(void **state) {
    (void)state;
    map = loam_intern_new(same_hash, equal_with_another, NULL);
    char *first = loam_intern(map, loam_strdup("first"));
    char *second = loam_intern(map, loam_strdup("second"));
    assert_int_equal(loam_weak_map_remove(map, first), 1);
    is_to_intern = true;
    const char *here = loam_intern(map, loam_strdup("new"));
    assert_non_null(here);
    assert_ptr_equal(here, meanwhile);
    assert_int_equal(loam_weak_map_count(map), 2);
    loam_keep_alive(second);
    meanwhile = NULL;
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
        cmocka_unit_test(with_values_of_null_a_map_is_a_weak_set),
        cmocka_unit_test(a_map_that_was_large_takes_entries_again),
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
        cmocka_unit_test(entries_live_while_their_table_grows_and_is_settled),
        cmocka_unit_test(who_waits_is_served_while_another_collects),
        cmocka_unit_test(who_looks_finds_the_value_of_his_key),
        cmocka_unit_test(what_another_interns_meanwhile_is_found),
        cmocka_unit_test(a_child_has_the_maps_of_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
