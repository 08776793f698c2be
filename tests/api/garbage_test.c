// SPDX-License-Identifier: MIT
// garbage_test.c: what has died is kept, listed and told apart.

#include <loam.h>
#include <stdio.h>
#include <string.h>

#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

#define CHAINS 100
#define LENGTH 5

struct link {
    struct link *next;
    long value;
};
LOAM_TYPE(struct link, next)

static OWN_FRAME void drop_chains(void) {
    for (long i = 0; i < CHAINS; i++) {
        struct link *first = NULL;
        for (long j = 0; j < LENGTH; j++) {
            struct link *l = loam_new(struct link);
            l->next = first;
            l->value = 77;
            first = l;
        }
    }
}

static OWN_FRAME void drop_ring(void) {
    struct link *a = loam_new(struct link);
    struct link *b = loam_new(struct link);
    a->next = b;
    b->next = a;
    a->value = b->value = 99;
}

struct sums {
    size_t chains;
    size_t heads;
    size_t ring;
    size_t ring_referred;
};

static void add(const struct loam_garbage *g, void *argument) {
    struct sums *sums = argument;
    if (g->type == NULL ||
        strcmp(loam_type_name(g->type), "struct link") != 0) {
        return;
    }
    const struct link *l = g->object;
    must(g->bytes >= sizeof *l);
    must(loam_base_of(l) == l);
    must(l->next == NULL || l->next->value == l->value);
    sums->chains += l->value == 77;
    sums->heads += l->value == 77 && !g->is_referred;
    sums->ring += l->value == 99;
    sums->ring_referred += l->value == 99 && g->is_referred;
}

static OWN_FRAME void check_sums(void) {
    struct sums sums = {0, 0, 0, 0};
    size_t count = loam_garbage_count();
    must(loam_garbage_each(add, &sums) == count);
    printf("%zu %zu %zu %zu\n", sums.chains, sums.heads, sums.ring,
           sums.ring_referred);
    must(sums.chains >= (CHAINS - SURVIVORS_SLACK) * LENGTH);
    must(sums.chains <= (size_t)CHAINS * LENGTH);
    must(sums.heads >= CHAINS - SURVIVORS_SLACK && sums.heads <= CHAINS);
    must(sums.ring == sums.ring_referred && sums.ring <= 2);
}

static void scene_keep(void) {
    drop_chains();
    drop_ring();
    for (int i = 0; i < 3; i++) {
        collect_clean();
        check_sums(); // as long as nobody uses it again
    }
    loam_collect_minor();
    check_sums();
    loam_compact(); // moves nothing: all of it is to be looked at where it died
    check_sums();
    loam_verify();
}

static void what_has_died_is_listed_and_kept(void **state) {
    (void)state;
    static const char *const ways[][3] = {
        {"LOAM_KEEP=unreachable", NULL, NULL},
        {"LOAM_KEEP=unreachable", "LOAM_CONCURRENT=on", NULL},
        {"LOAM_KEEP=unreachable", "LOAM_GENERATIONS=on", NULL}};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const struct outcome *o = scene_play("keep", ways[i]);
        assert_string_equal(o->err, "");
        assert_int_equal(o->exit_code, 0);
    }
}

static OWN_FRAME void drop_rings(void) {
    for (int i = 0; i < CHAINS; i++) {
        drop_ring();
    }
}

struct walk {
    size_t count;
    uintptr_t last;
};

static void collect_and_note(const struct loam_garbage *g, void *argument) {
    struct walk *walk = argument;
    if (walk->count++ % 30 == 10) {
        loam_collect();
    }
    must((uintptr_t)g->object > walk->last); // so none comes twice
    walk->last = (uintptr_t)g->object;
}

static void scene_collect_between(void) {
    struct walk walk = {0, 0};
    drop_chains();
    drop_rings();
    collect_clean();
    size_t count = loam_garbage_count();
    must(count >= (CHAINS - SURVIVORS_SLACK) * (LENGTH + 2));
    must(loam_garbage_each(collect_and_note, &walk) == walk.count);
    must(walk.count + SURVIVORS_SLACK >= count); // the copy may have collected
}

static void expect_kept(const char *scene) {
    static const char *const settings[] = {"LOAM_KEEP=unreachable", NULL};
    const struct outcome *o = scene_play(scene, settings);
    assert_string_equal(o->err, "");
    assert_int_equal(o->exit_code, 0);
}

static void a_collection_between_leaves_nothing_out(void **state) {
    (void)state;
    expect_kept("collect between");
}

static OWN_FRAME void free_second(const struct loam_garbage *g,
                                  void *argument) {
    struct link **second = argument;
    const struct link *l = g->object;
    if (*second == NULL) {
        *second = l->next;
        loam_free(*second);
    }
    must(l->value == 99);
}

// The first of a ring is told of, and the second is freed by hand before its turn.
static void scene_free_between(void) {
    struct link *second = NULL;
    size_t count = 0;
    for (int i = 0; i < 20 && count < 2; i++) {
        drop_ring();
        collect_clean();
        count = loam_garbage_count();
    }
    must(count >= 2);
    must(loam_garbage_each(free_second, &second) == count - 1);
}

static void what_is_freed_meanwhile_is_left_out(void **state) {
    (void)state;
    expect_kept("free between");
}

static void nothing_is_listed_unless_asked_for(void **state) {
    (void)state;
    drop_chains();
    collect_clean();
    assert_int_equal(loam_garbage_count(), 0);
    assert_int_equal(loam_garbage_each(add, NULL), 0);
}

// ---- Being told of collections -----------------------------------------------------

static struct loam_collection last;
static int begun, ended;

static void on_collection(const struct loam_collection *c, void *argument) {
    must(argument == &last);
    must(c->is_over || c->kind == NULL);
    *(c->is_over ? &ended : &begun) += 1;
    must(!c->is_over || c->number == last.number);
    last = *c;
}

static void the_program_is_told_of_collections(void **state) {
    (void)state;
    struct link *l = loam_new(struct link);
    loam_on_collection(on_collection, &last);
    loam_collect();
    loam_on_collection(NULL, NULL);
    loam_collect();
    assert_true(begun >= 1); // the library may have begun one by itself
    assert_int_equal(ended, begun);
    assert_true(last.live_count >= 1 && last.live_bytes >= sizeof *l);
    assert_true(last.pause_ns > 0);
    assert_non_null(last.kind);
    loam_keep_alive(l);
}

static const struct scene scenes[] = {
    {"keep", scene_keep},
    {"collect between", scene_collect_between},
    {"free between", scene_free_between}};

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_died_is_listed_and_kept),
        cmocka_unit_test(a_collection_between_leaves_nothing_out),
        cmocka_unit_test(what_is_freed_meanwhile_is_left_out),
        cmocka_unit_test(nothing_is_listed_unless_asked_for),
        cmocka_unit_test(the_program_is_told_of_collections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
