// SPDX-License-Identifier: MIT
// weak_test.c: references that keep nothing alive, and know when it is gone.

#include <loam.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 200
#define WAIT_NS 20000000000u

struct node {
    struct node *next;
    long value;
};
LOAM_TYPE(struct node, next)

static struct loam_weak *refs[COUNT];
static struct node *strong[COUNT];

static void forget_all(void) {
    memset(refs, 0, sizeof refs);
    memset(strong, 0, sizeof strong);
}

static OWN_FRAME void make_refs(struct loam_weak *(*make)(void *)) {
    for (size_t i = 0; i < COUNT; i++) {
        strong[i] = loam_new(struct node);
        strong[i]->value = (long)i;
        refs[i] = make(strong[i]);
        assert_non_null(refs[i]);
    }
}

static OWN_FRAME size_t count_cleared(void) {
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const struct node *n = loam_weak_get(refs[i]);
        count += n == NULL;
        assert_true(n == NULL || n->value == (long)i);
    }
    return count;
}

static void weak_get_is_null_after_the_object_dies(void **state) {
    (void)state;
    make_refs(loam_weak_new);
    collect_clean();
    assert_int_equal(count_cleared(), 0);
    memset(strong, 0, sizeof strong);
    collect_clean();
    assert_true(count_cleared() >= COUNT - SURVIVORS_SLACK);
    forget_all();
}

static void a_minor_collection_clears_weak_references_too(void **state) {
    (void)state;
    loam_collect();
    make_refs(loam_weak_new);
    loam_collect_minor();
    assert_int_equal(count_cleared(), 0);
    forget_all();
    loam_collect();
    make_refs(loam_weak_new);
    memset(strong, 0, sizeof strong);
    stack_clear();
    loam_collect_minor();
    assert_true(count_cleared() >= COUNT - SURVIVORS_SLACK);
    forget_all();
}

static void what_a_weak_reference_returns_keeps_the_object(void **state) {
    (void)state;
    make_refs(loam_weak_new);
    for (size_t i = 0; i < COUNT; i++) {
        struct node *n = loam_weak_get(refs[i]);
        strong[i] = NULL;
        if (i % 10 == 0) {
            loam_collect();
            assert_ptr_equal(loam_weak_get(refs[i]), n);
        }
        loam_keep_alive(n);
    }
    forget_all();
}

static void the_same_pointer_gives_the_same_reference(void **state) {
    (void)state;
    struct node *n = loam_new(struct node);
    assert_ptr_equal(loam_weak_new(n), loam_weak_new(n));
    assert_ptr_not_equal(loam_weak_new(n), loam_weak_new(&n->value));
    assert_ptr_not_equal(loam_weak_new(n), loam_weak_new_long(n));
    assert_ptr_equal(loam_weak_get(loam_weak_new(&n->value)), &n->value);
    loam_keep_alive(n);
}

static void a_weak_reference_to_no_object_is_a_bad_argument(void **state) {
    (void)state;
    int local = 0;
    assert_null(loam_weak_new(&local));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_null(loam_soft_new(NULL));
    assert_null(loam_weak_watch(loam_new(struct node), NULL, NULL));
}

static void a_dropped_weak_reference_is_collected_itself(void **state) {
    (void)state;
    struct survivors list = survivors_new(COUNT);
    make_refs(loam_weak_new);
    for (size_t i = 0; i < COUNT; i++) {
        survivors_note(&list, refs[i]);
    }
    memset(refs, 0, sizeof refs);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    make_refs(loam_weak_new); // their objects take new ones
    assert_int_equal(count_cleared(), 0);
    survivors_free(&list);
    forget_all();
}

static void a_cleared_reference_stays_cleared(void **state) {
    (void)state;
    struct node *n = loam_new(struct node);
    struct loam_weak *weak = loam_weak_new(n);
    loam_weak_clear(weak);
    assert_null(loam_weak_get(weak));
    loam_weak_clear(weak);
    loam_weak_clear(NULL);
    assert_ptr_equal(loam_weak_get(loam_weak_new(n)), n);
    loam_keep_alive(n);
}

static void freeing_the_object_clears_its_references(void **state) {
    (void)state;
    struct node *n = loam_new(struct node);
    struct loam_weak *weak = loam_weak_new(n);
    struct loam_weak *lasting = loam_weak_new_long(n);
    loam_free(n);
    assert_null(loam_weak_get(weak));
    assert_null(loam_weak_get(lasting));
    struct node *other = loam_new(struct node); // perhaps at the same place
    assert_null(loam_weak_get(weak));
    loam_keep_alive(other);
}

static void freeing_a_reference_leaves_its_object_alone(void **state) {
    (void)state;
    make_refs(loam_weak_new);
    for (size_t i = 0; i < COUNT; i++) {
        loam_free(refs[i]);
        refs[i] = NULL;
    }
    memset(strong, 0, sizeof strong);
    collect_clean();
    make_refs(loam_weak_new);
    assert_int_equal(count_cleared(), 0);
    forget_all();
}

static void references_follow_an_object_that_realloc_moves(void **state) {
    (void)state;
    char *p = loam_alloc(64);
    struct loam_weak *weak = loam_weak_new(p + 16);
    for (size_t bytes = 128; bytes <= 100000; bytes *= 3) {
        p = loam_realloc(p, bytes);
        assert_ptr_equal(loam_weak_get(weak), p + 16);
    }
    loam_collect();
    assert_ptr_equal(loam_weak_get(weak), p + 16);
    loam_keep_alive(p);
}

static void soft_references_keep_their_objects(void **state) {
    (void)state;
    make_refs(loam_soft_new);
    memset(strong, 0, sizeof strong);
    collect_clean();
    collect_clean();
    assert_int_equal(count_cleared(), 0);
    forget_all();
}

#define CACHED 100
#define CACHED_BYTES ((size_t)64 << 10)

static struct loam_weak *cached[CACHED];

static OWN_FRAME void fill_cache(void) {
    for (size_t i = 0; i < CACHED; i++) {
        cached[i] = loam_soft_new(loam_alloc_leaf(CACHED_BYTES));
        must(cached[i] != NULL);
    }
}

static OWN_FRAME size_t count_cached(void) {
    size_t count = 0;
    for (size_t i = 0; i < CACHED; i++) {
        count += loam_weak_get(cached[i]) != NULL;
    }
    return count;
}

// 6.4 MiB are cached in a heap of 16.
static void scene_soft(void) {
    static char *volatile rows[512];
    size_t count = 0;
    fill_cache();
    while (count < 120) {
        rows[count] = loam_alloc_leaf(CACHED_BYTES);
        must(rows[count++] != NULL);
    }
    must(count_cached() == CACHED); // there is room enough
    while (count < 512) {
        rows[count] = loam_alloc_leaf(CACHED_BYTES);
        if (rows[count++] == NULL) {
            break;
        }
    }
    must(count > 190 && count < 512);
    must(count_cached() <= SURVIVORS_SLACK);
    must(loam_last_status() == LOAM_HEAP_FULL);
}

static void soft_references_are_given_up_before_an_allocation_fails(
    void **state) {
    (void)state;
    const struct outcome *o =
        scene_play("soft", (const char *[]){"LOAM_HEAP_MAX=16M", NULL});
    assert_string_equal(o->err, "");
    assert_int_equal(o->exit_code, 0);
}

// ---- Being told ------------------------------------------------------------------

static int told;

static void tell(struct loam_weak *weak, void *argument) {
    must(loam_weak_get(weak) == NULL);
    must(strcmp(argument, "told") == 0);
    __atomic_add_fetch(&told, 1, __ATOMIC_RELAXED);
}

static OWN_FRAME void watch_some(void) {
    for (size_t i = 0; i < COUNT; i++) {
        char *text = loam_strdup("told"); // kept by the reference alone
        refs[i] = loam_weak_watch(loam_new(struct node), tell, text);
        assert_non_null(refs[i]);
    }
}

static void a_watched_reference_tells_once(void **state) {
    (void)state;
    told = 0;
    watch_some();
    collect_clean();
    assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
    assert_in_range(told, COUNT - SURVIVORS_SLACK, COUNT);
    collect_clean();
    assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
    assert_in_range(told, COUNT - SURVIVORS_SLACK, COUNT);
    forget_all();
}

static void a_reference_that_is_gone_itself_is_not_told(void **state) {
    (void)state;
    told = 0;
    watch_some();
    forget_all();
    collect_clean();
    assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
    assert_in_range(told, 0, SURVIVORS_SLACK);
}

static void clear_others(struct loam_weak *weak, void *argument) {
    (void)weak;
    (void)argument;
    for (size_t i = 0; i < COUNT; i++) {
        loam_weak_clear(refs[i]);
        refs[i] = NULL;
    }
    __atomic_add_fetch(&told, 1, __ATOMIC_RELAXED);
}

static OWN_FRAME void watch_others(void) {
    make_refs(loam_weak_new);
    refs[0] = loam_weak_watch(strong[0], clear_others, NULL);
    memset(strong, 0, 10 * sizeof *strong);
}

static void who_is_told_may_drop_other_references(void **state) {
    (void)state;
    told = 0;
    watch_others();
    struct loam_weak *one = refs[COUNT - 1];
    while (told == 0) {
        collect_clean();
        assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
    }
    assert_null(loam_weak_get(one));
    forget_all();
}

// ---- Threads, fork, and much of it -----------------------------------------------

static void *read_refs(void *argument) {
    const int *is_over = argument;
    // Under the address sanitizer the static library does not see it begin.
    must(loam_thread_register() == 0);
    while (!__atomic_load_n(is_over, __ATOMIC_ACQUIRE)) {
        for (size_t i = 0; i < COUNT; i++) {
            struct loam_weak *weak =
                __atomic_load_n(&refs[i], __ATOMIC_ACQUIRE);
            const struct node *n = weak ? loam_weak_get(weak) : NULL;
            must(n == NULL || n->value == (long)i);
        }
    }
    return NULL;
}

static OWN_FRAME void replace_ref(size_t i) {
    struct node *n = loam_new(struct node);
    n->value = (long)i;
    __atomic_store_n(&refs[i], loam_weak_new(n), __ATOMIC_RELEASE);
    strong[i] = i % 3 == 0 ? n : NULL;
}

static void threads_may_ask_while_collections_clear(void **state) {
    (void)state;
    pthread_t threads[3];
    int is_over = 0;
    for (size_t i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, read_refs, &is_over);
    }
    for (size_t n = 0; n < place_scaled(40000); n++) {
        replace_ref(n % COUNT);
        if (n % 1000 == 0) {
            loam_collect();
        }
        if (n % 300 == 0) {
            loam_collect_minor();
        }
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    forget_all();
}

static void a_child_has_the_references_of_its_parent(void **state) {
    (void)state;
    make_refs(loam_weak_new);
    memset(strong, 0, COUNT / 2 * sizeof *strong);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        collect_clean();
        size_t cleared = 0;
        for (size_t i = 0; i < COUNT; i++) {
            cleared += loam_weak_get(refs[i]) == NULL;
        }
        _exit(cleared <= COUNT / 2 && cleared >= COUNT / 2 - SURVIVORS_SLACK
                  ? 0
                  : 1);
    }
    assert_int_equal(child_wait(child), 0);
    collect_clean();
    assert_in_range(count_cleared(), COUNT / 2 - SURVIVORS_SLACK, COUNT / 2);
    forget_all();
}

#define MANY 100000

static struct loam_weak **many;

static OWN_FRAME void make_many(size_t count) {
    many = loam_new_array(struct loam_weak *, count);
    for (size_t i = 0; i < count; i++) {
        struct node *n = loam_new(struct node);
        n->value = (long)i;
        many[i] = loam_weak_new(n);
    }
}

static void a_hundred_thousand_references_are_settled(void **state) {
    (void)state;
    size_t count = place_scaled(MANY);
    size_t cleared = 0;
    make_many(count);
    collect_clean();
    for (size_t i = 0; i < count; i++) {
        const struct node *n = loam_weak_get(many[i]);
        cleared += n == NULL;
        assert_true(n == NULL || n->value == (long)i);
    }
    assert_true(cleared >= count - SURVIVORS_SLACK);
    many = NULL;
    loam_verify();
}

static const struct scene scenes[] = {{"soft", scene_soft}};

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weak_get_is_null_after_the_object_dies),
        cmocka_unit_test(a_minor_collection_clears_weak_references_too),
        cmocka_unit_test(what_a_weak_reference_returns_keeps_the_object),
        cmocka_unit_test(the_same_pointer_gives_the_same_reference),
        cmocka_unit_test(a_weak_reference_to_no_object_is_a_bad_argument),
        cmocka_unit_test(a_dropped_weak_reference_is_collected_itself),
        cmocka_unit_test(a_cleared_reference_stays_cleared),
        cmocka_unit_test(freeing_the_object_clears_its_references),
        cmocka_unit_test(freeing_a_reference_leaves_its_object_alone),
        cmocka_unit_test(references_follow_an_object_that_realloc_moves),
        cmocka_unit_test(soft_references_keep_their_objects),
        cmocka_unit_test(
            soft_references_are_given_up_before_an_allocation_fails),
        cmocka_unit_test(a_watched_reference_tells_once),
        cmocka_unit_test(a_reference_that_is_gone_itself_is_not_told),
        cmocka_unit_test(who_is_told_may_drop_other_references),
        cmocka_unit_test(threads_may_ask_while_collections_clear),
        cmocka_unit_test(a_child_has_the_references_of_its_parent),
        cmocka_unit_test(a_hundred_thousand_references_are_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
