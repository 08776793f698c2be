// SPDX-License-Identifier: MIT
// barrier_test.c: loam/barrier.h.

#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 500

// Old objects of several pages, each with a place for every young one.
struct told {
    void *place[COUNT];
};
LOAM_TYPE_BARRIERED(struct told, place)

struct untold {
    void *place[COUNT];
};
LOAM_TYPE(struct untold, place)

struct marked {
    uintptr_t place[COUNT];
};

static void marked_mark(struct loam_marker *marker, const void *object,
                        size_t bytes) {
    const struct marked *m = object;
    (void)bytes;
    for (size_t i = 0; i < COUNT; i++) {
        loam_mark(marker, (const void *)(m->place[i] & ~(uintptr_t)1));
    }
}
LOAM_TYPE_MARK_BARRIERED(struct marked, marked_mark)

// An object that a minor collection takes for old and for unwritten.
static void make_old(void) {
    collect_clean();
    stack_clear();
    loam_collect_minor();
    stack_clear();
    loam_collect_minor();
}

static size_t minor_survivors(const struct survivors *list) {
    struct loam_stats before, after;
    loam_stats_get(&before);
    stack_clear();
    loam_collect_minor();
    loam_stats_get(&after);
    must(after.minor_count == before.minor_count + 1);
    return survivors_count(list);
}

// ---- Scenes: each runs in a process of its own ------------------------------

static struct told *told;
static struct untold *untold;
static struct marked *marked;

// Stores through a hidden pointer, so that no word on the stack or in a register
// is left of what is stored.
OWN_FRAME static void store_told(struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        loam_store(&told->place[i], loam_alloc(64));
        survivors_note(list, told->place[i]);
    }
}

static void scene_told(void) {
    struct survivors list = survivors_new(COUNT);
    told = loam_new(struct told);
    make_old();
    must(strcmp(loam_track_name(), "barrier") == 0);
    store_told(&list);
    must(minor_survivors(&list) == COUNT);
    must(minor_survivors(&list) == COUNT);
    collect_clean();
    must(survivors_count(&list) == COUNT);
    told = NULL;
    collect_clean();
    must(survivors_count(&list) <= SURVIVORS_SLACK);
    puts("kept");
}

// Without loam_store the collector is not told; that it does not see it shows
// that it looks at no more than it must.
OWN_FRAME static void store_plainly(struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        told->place[i] = loam_alloc(64);
        survivors_note(list, told->place[i]);
    }
}

static void scene_plain(void) {
    struct survivors list = survivors_new(COUNT);
    told = loam_new(struct told);
    make_old();
    store_plainly(&list);
    must(minor_survivors(&list) <= SURVIVORS_SLACK);
    memset(told, 0, sizeof *told);
    puts("not seen");
}

OWN_FRAME static void store_untold(struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        untold->place[i] = loam_alloc(64);
        survivors_note(list, untold->place[i]);
    }
}

static void scene_untold(void) {
    struct survivors list = survivors_new(COUNT);
    untold = loam_new(struct untold);
    make_old();
    store_untold(&list);
    must(minor_survivors(&list) == COUNT);
    must(minor_survivors(&list) == COUNT);
    puts("kept");
}

OWN_FRAME static void store_marked(struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        void *p = loam_alloc(64);
        loam_store(&marked->place[i], (uintptr_t)p | 1);
        survivors_note(list, p);
    }
}

static void scene_marked(void) {
    struct survivors list = survivors_new(COUNT);
    marked = loam_new(struct marked);
    make_old();
    store_marked(&list);
    must(minor_survivors(&list) == COUNT);
    puts("kept");
}

static void **at_run_time;

OWN_FRAME static void store_at_run_time(struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        loam_store(&at_run_time[i], loam_alloc(64));
        survivors_note(list, at_run_time[i]);
    }
}

static void scene_defined(void) {
    struct survivors list = survivors_new(COUNT);
    struct loam_field field = {.size_bytes = COUNT * sizeof(void *)};
    struct loam_type_spec spec = {.name = "vector",
                                  .size_bytes = COUNT * sizeof(void *),
                                  .fields = &field,
                                  .field_count = 1};
    const struct loam_type *plain = loam_type_define(&spec);
    spec.is_barriered = 1;
    const struct loam_type *barriered = loam_type_define(&spec);
    must(plain != NULL && barriered != NULL && plain != barriered);
    at_run_time = loam_new_of(barriered, 0);
    make_old();
    store_at_run_time(&list);
    must(minor_survivors(&list) == COUNT);
    puts("kept");
}

OWN_FRAME static void fill_aside(void **aside, size_t count,
                                 struct survivors *list) {
    for (size_t i = 0; i < count; i++) {
        aside[i] = loam_alloc(64);
        survivors_note(list, aside[i]);
    }
}

static void scene_range(void) {
    static void *aside[COUNT]; // a root
    struct survivors list = survivors_new(COUNT);
    struct survivors again = survivors_new(COUNT);
    told = loam_new(struct told);
    make_old();
    fill_aside(aside, COUNT, &list);
    loam_store_range(told->place, aside, sizeof aside);
    memset(aside, 0, sizeof aside);
    must(minor_survivors(&list) == COUNT);
    // Overlapping, both ways.
    void *first = told->place[0];
    void *second = told->place[1];
    loam_store_range(&told->place[1], told->place,
                     sizeof aside - sizeof(void *));
    must(told->place[0] == first && told->place[1] == first &&
         told->place[2] == second);
    loam_store_range(told->place, &told->place[1],
                     sizeof aside - sizeof(void *));
    must(told->place[0] == first && told->place[1] == second);
    // By other means.
    make_old();
    fill_aside(aside, COUNT, &again);
    memcpy(told->place, aside, sizeof aside);
    loam_touched(told->place, sizeof aside);
    memset(aside, 0, sizeof aside);
    must(minor_survivors(&again) == COUNT);
    loam_touched(&first, sizeof first); // outside of the heap
    loam_touched(told, 0);
    puts("kept");
}

// In an array only the elements on pages that count as written are looked at.
static void scene_pages(void) {
    static void *aside[4 * COUNT]; // a root
    static struct told *rows;
    struct survivors list = survivors_new(COUNT_OF(aside));
    struct survivors again = survivors_new(COUNT_OF(aside));
    rows = loam_new_array(struct told, 10);
    make_old();
    fill_aside(aside, COUNT_OF(aside), &list);
    loam_store_range(rows[3].place, aside, sizeof aside);
    memset(aside, 0, sizeof aside);
    must(minor_survivors(&list) == COUNT_OF(aside));
    make_old();
    fill_aside(aside, COUNT_OF(aside), &again);
    memcpy(rows[3].place, aside, sizeof aside);
    loam_touched(rows[3].place, sizeof aside);
    memset(aside, 0, sizeof aside);
    must(minor_survivors(&again) == COUNT_OF(aside));
    puts("kept");
}

// More than is moved at a time, in a large object.
static void scene_far(void) {
    size_t count = (size_t)100 << 10;
    struct told *rows = loam_new_array(struct told, count / COUNT + 1);
    void **words = rows[0].place;
    for (size_t i = 0; i < count; i++) {
        words[i] = (void *)(i + 1); // NOLINT
    }
    loam_store_range(words + 3, words, (count - 3) * sizeof *words);
    for (size_t i = 3; i < count; i++) {
        must(words[i] == (void *)(i - 2)); // NOLINT
    }
    loam_store_range(words, words + 3, (count - 3) * sizeof *words);
    for (size_t i = 0; i < count - 3; i++) {
        must(words[i] == (void *)(i + 1)); // NOLINT
    }
    loam_store_range(words, words, count * sizeof *words);
    puts("moved");
}

// An array of several objects that realloc moves while nobody else has them.
static void scene_realloc(void) {
    static struct told *rows;
    struct survivors list = survivors_new(COUNT);
    loam_concurrent_set(LOAM_ON);
    for (size_t round = 0; round < place_scaled(20); round++) {
        rows = loam_new_array(struct told, 1);
        told = rows;
        list.count = 0;
        store_told(&list);
        for (size_t n = 2; n < 12; n++) {
            rows = loam_realloc(rows, n * sizeof *rows);
            must(rows != NULL);
            told = NULL;
            loam_collect_minor();
            must(survivors_count(&list) == COUNT);
        }
    }
    puts("kept");
}

struct node {
    struct node *next[4];
    uint64_t check;
    uint64_t number;
};
LOAM_TYPE_BARRIERED(struct node, next)

static void node_check(const struct node *n) {
    must(n->check == (n->number ^ 0x5bd1e995u));
}

static struct node *node_new(uint64_t number) {
    struct node *n = loam_new(struct node);
    must(n != NULL);
    n->number = number;
    n->check = number ^ 0x5bd1e995u;
    return n;
}

static struct node *node_walk(struct chance *chance, struct node *from) {
    for (size_t steps = chance_below(chance, 30); steps > 0; steps--) {
        struct node *next = from->next[chance_below(chance, 4)];
        from = next ? next : from;
        node_check(from);
    }
    return from;
}

// A graph whose pointers move from node to node, so that a store that was
// missed loses something.
static void *shuffle(void *seed) {
    struct chance chance = chance_start((uintptr_t)seed);
    struct node *mine = node_new(0);
    for (size_t i = 0; i < place_scaled(300000); i++) {
        struct node *a = node_walk(&chance, mine);
        struct node *b = node_walk(&chance, a);
        size_t k = chance_below(&chance, 4);
        switch (chance_below(&chance, 3)) {
        case 0:
            loam_store(&a->next[k], node_new(i));
            break;
        case 1: { // from here to there
            struct node *moved = b->next[k];
            loam_store(&b->next[k], NULL);
            loam_store(&a->next[chance_below(&chance, 4)], moved);
            break;
        }
        default:
            loam_store(&a->next[k], b);
        }
    }
    return NULL;
}

static void scene_shuffle(void) {
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_create(&threads[i], NULL, shuffle, (void *)(i + 1)) ==
             0); // NOLINT
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    loam_verify();
    puts("whole");
}

// Stores are stores, on any rung.
static int evaluations;

static struct node **place_of(struct node *n) {
    evaluations++;
    return &n->next[1];
}

static void scene_plainly_used(void) {
    static struct node *outside;
    struct node *local = NULL;
    struct node *a = node_new(1);
    struct node *b = node_new(2);
    loam_store(place_of(a), b);
    must(evaluations == 1 && a->next[1] == b);
    loam_store(&a->next[1], NULL);
    must(a->next[1] == NULL);
    loam_store(&outside, a);
    loam_store(&local, b);
    must(outside == a && local == b);
    puts("stored");
}

static const struct scene scenes[] = {
    {"told", scene_told},
    {"plain", scene_plain},
    {"untold", scene_untold},
    {"marked", scene_marked},
    {"defined", scene_defined},
    {"range", scene_range},
    {"pages", scene_pages},
    {"far", scene_far},
    {"realloc", scene_realloc},
    {"shuffle", scene_shuffle},
    {"plainly_used", scene_plainly_used},
};

// ---- Tests ---------------------------------------------------------------------

static void expect_said(const struct outcome *o, const char *text) {
    if (o->exit_code != 0 || strstr(o->out, text) == NULL) {
        print_message("exit %d, signal %d, out: %s, err: %s\n", o->exit_code,
                      o->signal, o->out, o->err);
    }
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->out, text));
}

static const char *const barrier_rung[] = {"LOAM_TRACK=barrier",
                                           "LOAM_GENERATIONS=on", NULL};

static void what_is_stored_into_an_old_object_is_seen(void **state) {
    (void)state;
    expect_said(scene_play("told", barrier_rung), "kept");
}

static void a_plain_store_into_a_barriered_object_is_not_seen(void **state) {
    (void)state;
    static const char *const unchecked[] = {
        "LOAM_TRACK=barrier", "LOAM_GENERATIONS=on", "LOAM_CHECK=1", NULL};
    expect_said(scene_play("plain", unchecked), "not seen");
}

static void checks_find_a_forgotten_loam_store(void **state) {
    (void)state;
    static const char *const checked[] = {
        "LOAM_TRACK=barrier", "LOAM_GENERATIONS=on", "LOAM_CHECK=3", NULL};
    assert_true(scene_play("plain", checked)->is_aborted);
}

static void plain_stores_into_other_types_are_seen(void **state) {
    (void)state;
    expect_said(scene_play("untold", barrier_rung), "kept");
}

static void a_type_with_a_mark_function_can_be_barriered(void **state) {
    (void)state;
    expect_said(scene_play("marked", barrier_rung), "kept");
}

static void a_type_defined_at_run_time_can_be_barriered(void **state) {
    (void)state;
    expect_said(scene_play("defined", barrier_rung), "kept");
}

static void pointers_that_are_moved_or_touched_are_seen(void **state) {
    (void)state;
    expect_said(scene_play("range", barrier_rung), "kept");
}

static void a_range_over_many_pages_is_seen(void **state) {
    (void)state;
    expect_said(scene_play("pages", barrier_rung), "kept");
}

static void a_long_range_is_moved_as_memmove_does(void **state) {
    (void)state;
    expect_said(scene_play("far", barrier_rung), "moved");
    expect_said(scene_play("far", NULL), "moved");
}

static void what_realloc_copies_is_seen(void **state) {
    (void)state;
    expect_said(scene_play("realloc", barrier_rung), "kept");
}

static void no_store_is_lost_while_threads_shuffle_pointers(void **state) {
    (void)state;
    static const char *const all[][5] = {
        {"LOAM_TRACK=barrier", "LOAM_GENERATIONS=on", "LOAM_CONCURRENT=on",
         "LOAM_CHECK=3", NULL},
        {"LOAM_TRACK=barrier", "LOAM_GENERATIONS=off", "LOAM_CONCURRENT=on",
         "LOAM_TORTURE=collect:100", NULL},
        {"LOAM_TRACK=mprotect", "LOAM_GENERATIONS=on", "LOAM_CONCURRENT=on",
         "LOAM_TORTURE=collect:100", NULL},
        {"LOAM_GENERATIONS=on", "LOAM_CONCURRENT=on", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        expect_said(scene_play("shuffle", all[i]), "whole");
    }
}

static void loam_store_stores_on_any_rung(void **state) {
    (void)state;
    static const char *const rungs[][2] = {{"LOAM_TRACK=barrier", NULL},
                                           {"LOAM_TRACK=mprotect", NULL},
                                           {"LOAM_TRACK=none", NULL},
                                           {NULL}};
    for (size_t i = 0; i < COUNT_OF(rungs); i++) {
        expect_said(scene_play("plainly_used", rungs[i]), "stored");
    }
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stored_into_an_old_object_is_seen),
        cmocka_unit_test(a_plain_store_into_a_barriered_object_is_not_seen),
        cmocka_unit_test(checks_find_a_forgotten_loam_store),
        cmocka_unit_test(plain_stores_into_other_types_are_seen),
        cmocka_unit_test(a_type_with_a_mark_function_can_be_barriered),
        cmocka_unit_test(a_type_defined_at_run_time_can_be_barriered),
        cmocka_unit_test(pointers_that_are_moved_or_touched_are_seen),
        cmocka_unit_test(a_range_over_many_pages_is_seen),
        cmocka_unit_test(a_long_range_is_moved_as_memmove_does),
        cmocka_unit_test(what_realloc_copies_is_seen),
        cmocka_unit_test(no_store_is_lost_while_threads_shuffle_pointers),
        cmocka_unit_test(loam_store_stores_on_any_rung),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
