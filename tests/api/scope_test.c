// SPDX-License-Identifier: MIT
// scope_test.c: loam/scope.h.

#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

struct token {
    struct token *next;
    char *text; // on the heap
    long number;
};

// ---- Making -----------------------------------------------------------------

static void what_is_made_is_zeroed_and_apart(void **state) {
    (void)state;
    struct loam_scope *scope = loam_scope_begin();
    unsigned char *before = NULL;
    size_t before_bytes = 0;
    for (size_t bytes = 0; bytes < 3000; bytes += 7) {
        unsigned char *p = loam_scope_alloc(scope, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < bytes; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xee, bytes);
        assert_ptr_not_equal(p, before);
        for (size_t i = 0; i < before_bytes; i++) {
            assert_int_equal(before[i], 0xee);
        }
        before = p;
        before_bytes = bytes;
    }
    before = NULL;
    loam_scope_end(scope);
}

static OWN_FRAME void make_tokens(struct loam_scope *scope, long count,
                                  struct token **place) {
    struct token *list = NULL;
    for (long i = 0; i < count; i++) {
        struct token *t = loam_scope_new(scope, struct token);
        must(t != NULL);
        t->next = list;
        t->number = i;
        t->text = loam_printf("token %ld", i);
        list = t;
    }
    *place = list;
}

static OWN_FRAME long check_tokens(const struct token *list) {
    long count = 0;
    for (const struct token *t = list; t; t = t->next) {
        char text[32];
        snprintf(text, sizeof text, "token %ld", t->number);
        must(strcmp(t->text, text) == 0);
        count++;
    }
    return count;
}

static void objects_of_a_scope_keep_objects_of_the_heap(void **state) {
    (void)state;
    struct loam_scope *scope = loam_scope_begin();
    struct token *list;
    make_tokens(scope, 5000, &list);
    for (int i = 0; i < 3; i++) {
        loam_collect();
        loam_collect_minor();
    }
    assert_int_equal(check_tokens(list), 5000);
    loam_scope_end(scope);
}

static void large_requests_have_a_piece_of_their_own(void **state) {
    (void)state;
    struct loam_scope *scope = loam_scope_begin();
    char *small = loam_scope_alloc(scope, 16);
    char *large = loam_scope_alloc(scope, (size_t)1 << 20);
    char *next = loam_scope_alloc(scope, 16);
    assert_ptr_equal(next, small + 16); // nothing was wasted
    memset(large, 1, (size_t)1 << 20);
    uintptr_t hidden = hide(loam_base_of(large));
    small = large = next = NULL;
    assert_true(is_live(hidden));
    loam_scope_end(scope);
    assert_false(is_live(hidden));
}

static void sizes_that_overflow_fail(void **state) {
    (void)state;
    struct loam_scope *scope = loam_scope_begin();
    assert_null(loam_scope_alloc(scope, SIZE_MAX));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_null(loam_scope_alloc(scope, SIZE_MAX - 20));
    assert_null(loam_scope_new_array(scope, struct token, SIZE_MAX / 8));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_non_null(loam_scope_new_array(scope, struct token, 10));
    loam_scope_end(scope);
}

static void a_full_heap_fails_a_scope_and_leaves_it_usable(void **state) {
    (void)state;
    struct loam_scope *scope = loam_scope_begin();
    loam_heap_max_set((size_t)16 << 20);
    assert_null(loam_scope_alloc(scope, (size_t)64 << 20));
    assert_int_equal(loam_last_status(), LOAM_HEAP_FULL);
    size_t pieces = 0;
    while (loam_scope_alloc(scope, 1 << 12)) {
        pieces++;
    }
    assert_true(pieces > 1000);
    loam_scope_end(scope);
    scope = loam_scope_begin(); // there is room again
    assert_non_null(scope);
    assert_non_null(loam_scope_alloc(scope, (size_t)1 << 20));
    loam_scope_end(scope);
    loam_heap_max_set(0);
}

// ---- Ending -----------------------------------------------------------------

enum { PIECES = 200 };

static OWN_FRAME void make_pieces(struct loam_scope *scope,
                                  struct survivors *list) {
    void *before = NULL;
    while (list->count < PIECES) {
        void *base = loam_base_of(loam_scope_alloc(scope, 4000));
        must(base != NULL);
        if (base != before) {
            survivors_note(list, base);
        }
        before = base;
    }
}

static void all_comes_back_at_the_end(void **state) {
    (void)state;
    struct survivors list = survivors_new(PIECES);
    struct loam_scope *scope = loam_scope_begin();
    make_pieces(scope, &list);
    assert_int_equal(survivors_count(&list), PIECES);
    loam_scope_end(scope); // up to here it is alive, so no collection has it
    assert_int_equal(survivors_count(&list), 0);
    survivors_free(&list);
}

// All are kept until the last is made, so that no two have one address.
static struct loam_scope *volatile forgotten[PIECES];

static OWN_FRAME void forget_scopes(struct survivors *list) {
    for (size_t i = 0; i < PIECES; i++) {
        forgotten[i] = loam_scope_begin();
        survivors_note(list, loam_base_of(forgotten[i]));
    }
    for (size_t i = 0; i < PIECES; i++) {
        forgotten[i] = NULL;
    }
}

static void a_forgotten_scope_is_collected(void **state) {
    (void)state;
    struct survivors list = survivors_new(PIECES);
    forget_scopes(&list);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void scopes_within_scopes_end_by_themselves(void **state) {
    (void)state;
    struct loam_scope *outer = loam_scope_begin();
    struct token *list, *inner_list;
    make_tokens(outer, 1000, &list);
    for (int i = 0; i < 10; i++) {
        struct loam_scope *inner = loam_scope_begin();
        make_tokens(inner, 1000, &inner_list);
        inner_list->next = list; // from the inner one to the outer one
        assert_int_equal(check_tokens(inner_list), 1001);
        loam_scope_end(inner);
    }
    assert_int_equal(check_tokens(list), 1000);
    loam_scope_end(outer);
    loam_scope_end(NULL);
}

static uintptr_t leave_with(int value) {
    LOAM_SCOPED_MEMORY struct loam_scope *scope = loam_scope_begin();
    int *p = loam_scope_alloc(scope, sizeof *p);
    *p = value;
    return *p == 1 ? hide(loam_base_of(p)) : 0;
}

static void a_scope_of_memory_may_end_with_its_variable(void **state) {
    (void)state;
    assert_false(is_live(leave_with(1)));
}

// ---- Threads and fork -------------------------------------------------------

static void *use_scope(void *argument) {
    struct token *list;
    for (int i = 0; i < 20; i++) {
        struct loam_scope *scope = loam_scope_begin();
        make_tokens(scope, 300, &list);
        must(check_tokens(list) == 300);
        loam_scope_end(scope);
    }
    if (argument) {
        make_tokens(argument, 300, &list);
        loam_scope_end(argument); // another thread's
    }
    return NULL;
}

static void threads_have_their_scopes_and_hand_them_on(void **state) {
    (void)state;
    pthread_t ids[4];
    // Where a sanitizer makes the threads, nothing else knows what they get.
    struct loam_scope *volatile handed_on[4];
    for (int i = 0; i < 4; i++) {
        handed_on[i] = loam_scope_begin();
        must(pthread_create(&ids[i], NULL, use_scope, handed_on[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(ids[i], NULL);
    }
}

static void a_child_of_fork_ends_its_copy(void **state) {
    (void)state;
    struct loam_scope *scope = loam_scope_begin();
    struct token *list;
    make_tokens(scope, 100, &list);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        must(check_tokens(list) == 100);
        loam_scope_end(scope);
        use_scope(NULL);
        _exit(0);
    }
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(check_tokens(list), 100);
    loam_scope_end(scope);
}

// ---- Errors of the caller ---------------------------------------------------

static void scene_twice(void) {
    struct loam_scope *scope = loam_scope_begin();
    loam_scope_end(scope);
    loam_scope_end(scope);
}

static void scene_no_scope(void) {
    loam_scope_end(loam_alloc(8000));
}

// ---- What refers into a scope that ends ----------------------------------------

struct keeper {
    struct loam_scope *scope;
    struct token *token;
};
LOAM_TYPE(struct keeper, scope, token)

static struct keeper *keeper;
static struct token *volatile token_kept;

// One object of the scope refers to another, and the scope is known outside: both
// are as they should be.
static OWN_FRAME void keep(bool is_in_object, bool is_in_static_data) {
    struct loam_scope *scope = loam_scope_begin();
    struct token *t = loam_scope_new(scope, struct token);
    t->next = loam_scope_new(scope, struct token);
    keeper = loam_new(struct keeper);
    keeper->scope = scope;
    keeper->token = is_in_object ? t : NULL;
    token_kept = is_in_static_data ? t->next : NULL;
}

static void scene_object_outside(void) {
    keep(true, false);
    loam_scope_end(keeper->scope);
}

static void scene_static_outside(void) {
    keep(false, true);
    loam_scope_end(keeper->scope);
}

static void scene_nothing_outside(void) {
    keep(false, false);
    loam_scope_end(keeper->scope);
}

static void scene_garbage_outside(void) {
    keep(true, false);
    struct loam_scope *volatile scope = keeper->scope;
    keeper = NULL;
    stack_clear();
    loam_scope_end(scope);
}

static const struct scene scenes[] = {
    {"twice", scene_twice},
    {"no_scope", scene_no_scope},
    {"object_outside", scene_object_outside},
    {"static_outside", scene_static_outside},
    {"nothing_outside", scene_nothing_outside},
    {"garbage_outside", scene_garbage_outside},
};

static void what_refers_into_a_scope_that_ends_is_reported(void **state) {
    (void)state;
    const char *settings[] = {"LOAM_CHECK=2", NULL};
    const struct outcome *o = scene_play("object_outside", settings);
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->err, "1 references to what was made"));
    assert_non_null(strstr(o->err, "an object of type struct keeper at"));
    o = scene_play("static_outside", settings);
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->err, "1 references to what was made"));
    assert_non_null(strstr(o->err, "static data, or a root, refers to"));
    o = scene_play("nothing_outside", settings);
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->err, "");
    o = scene_play("garbage_outside", settings);
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->err, "");
}

static void without_that_level_nothing_is_reported(void **state) {
    (void)state;
    const char *settings[] = {"LOAM_CHECK=1", NULL};
    const struct outcome *o = scene_play("object_outside", settings);
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->err, "");
}

static void expect(const char *scene, const char *level, const char *part) {
    const char *settings[] = {level, NULL};
    const struct outcome *o = scene_play(scene, settings);
    bool is_fine = part ? o->is_aborted && strstr(o->err, part) != NULL
                        : o->exit_code == 0;
    if (!is_fine) {
        print_message("%s: exit %d, signal %d: %s\n", scene, o->exit_code,
                      o->signal, o->err);
    }
    assert_true(is_fine);
}

static void ending_what_is_no_scope_is_an_error(void **state) {
    (void)state;
    expect("twice", "LOAM_CHECK=1", "no scope, or has ended");
    expect("no_scope", "LOAM_CHECK=1", "no scope, or has ended");
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_is_zeroed_and_apart),
        cmocka_unit_test(objects_of_a_scope_keep_objects_of_the_heap),
        cmocka_unit_test(large_requests_have_a_piece_of_their_own),
        cmocka_unit_test(sizes_that_overflow_fail),
        cmocka_unit_test(a_full_heap_fails_a_scope_and_leaves_it_usable),
        cmocka_unit_test(all_comes_back_at_the_end),
        cmocka_unit_test(a_forgotten_scope_is_collected),
        cmocka_unit_test(scopes_within_scopes_end_by_themselves),
        cmocka_unit_test(a_scope_of_memory_may_end_with_its_variable),
        cmocka_unit_test(threads_have_their_scopes_and_hand_them_on),
        cmocka_unit_test(a_child_of_fork_ends_its_copy),
        cmocka_unit_test(ending_what_is_no_scope_is_an_error),
        cmocka_unit_test(what_refers_into_a_scope_that_ends_is_reported),
        cmocka_unit_test(without_that_level_nothing_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
