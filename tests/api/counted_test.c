// SPDX-License-Identifier: MIT
// counted_test.c: loam/counted.h.

#include <loam.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

static size_t death_count; // atomic

static void note_death(void *object) {
    (void)object;
    __atomic_fetch_add(&death_count, 1, __ATOMIC_RELAXED);
}

static size_t deaths(void) {
    return __atomic_exchange_n(&death_count, 0, __ATOMIC_RELAXED);
}

struct node {
    struct node *next;
    struct node *other;
    char *text;
    long number;
};
LOAM_TYPE(struct node, next, other, text)
LOAM_COUNTED_OWNS(struct node, note_death, next, other)

static struct node *node_new(struct node *next) {
    struct node *n = loam_counted_new(struct node);
    must(n != NULL);
    n->next = next;
    return n;
}

static struct node *kept; // static data, where the collector looks

// ---- Counting ---------------------------------------------------------------

static void a_new_object_is_zeroed_and_counted_once(void **state) {
    (void)state;
    struct node *n = node_new(NULL);
    assert_null(n->other);
    assert_int_equal(n->number, 0);
    assert_int_equal((uintptr_t)n % 16, 0);
    assert_int_equal(loam_count_of(n), 1);
    assert_int_equal(loam_count_of(NULL), 0);
    loam_release(n);
    deaths();
}

static void an_object_dies_with_its_last_reference(void **state) {
    (void)state;
    deaths();
    struct node *n = node_new(NULL);
    struct node *same = loam_retain(n);
    assert_ptr_equal(same, n);
    assert_int_equal(loam_count_of(n), 2);
    loam_release(n);
    assert_int_equal(deaths(), 0);
    assert_int_equal(loam_count_of(n), 1);
    loam_release(n);
    assert_int_equal(deaths(), 1);
    assert_false(is_live(hide(n)));
}

static void nothing_is_retained_and_released_as_nothing(void **state) {
    (void)state;
    struct node *none = NULL;
    assert_null(loam_retain(none));
    loam_release(none);
}

// Where nothing is collected: after a collection other cells come first.
static void scene_used_again(void) {
    uintptr_t seen[64];
    size_t again = 0;
    for (size_t i = 0; i < 1000; i++) {
        struct node *n = node_new(NULL);
        for (size_t j = 0; j < 64 && j < i; j++) {
            if (seen[j] == hide(n)) {
                again++;
                break;
            }
        }
        seen[i % 64] = hide(n);
        n->text = loam_strdup("kept until its end");
        loam_release(n);
    }
    printf("%zu\n", again);
}

static void its_memory_is_used_again_at_once(void **state) {
    (void)state;
    const char *settings[] = {"LOAM_TORTURE=collect:1000000", NULL};
    const struct outcome *o = scene_play("used again", settings);
    assert_int_equal(o->exit_code, 0);
    // All but the first, for which a whole block is taken.
    assert_true(strtoul(o->out, NULL, 10) > 800);
}

static void the_heap_knows_a_counted_object_by_its_start(void **state) {
    (void)state;
    struct node *n = node_new(NULL);
    assert_ptr_equal(loam_base_of(&n->number), n);
    assert_ptr_equal(loam_base_of(n), n);
    assert_true(loam_size_of(n) >= sizeof *n);
    assert_int_equal(loam_size_of(&n->other), 0);
    assert_string_equal(loam_type_name(loam_type_of(n)), "struct node");
    // The room that it has is all its own.
    memset(&n->number, 0x55, loam_size_of(n) - offsetof(struct node, number));
    assert_int_equal(loam_count_of(n), 1);
    loam_release(n);
    deaths();
}

// ---- What dies with it ------------------------------------------------------

static void owned_fields_are_released_after_dispose(void **state) {
    (void)state;
    struct node *shared = node_new(NULL);
    deaths();
    struct node *n = node_new(loam_retain(shared));
    n->other = node_new(NULL);
    loam_release(n);
    assert_int_equal(deaths(), 2);
    assert_int_equal(loam_count_of(shared), 1);
    loam_release(shared);
    assert_int_equal(deaths(), 1);
}

static void a_chain_of_a_million_dies_on_a_small_stack(void **state) {
    (void)state;
    // In the modes where collections are common each looks at the whole chain.
    size_t length = getenv("LOAM_TEST_SCALE") ? 20000 : 1000000;
    deaths();
    struct node *head = NULL;
    for (size_t i = 0; i < length; i++) {
        head = node_new(head);
    }
    loam_release(head);
    assert_int_equal(deaths(), length);
}

static void *release_it(void *object) {
    loam_release(object);
    return NULL;
}

static OWN_FRAME struct node *tree_new(int depth) {
    struct node *n = node_new(depth > 1 ? tree_new(depth - 1) : NULL);
    n->other = depth > 1 ? tree_new(depth - 1) : NULL;
    return n;
}

static void run_thread(void *(*fn)(void *), void *argument) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, fn, argument) == 0);
    pthread_join(thread, NULL);
    // Where a sanitizer makes the thread, nothing else knows what it gets.
    loam_keep_alive(argument);
}

static void a_tree_dies_on_the_thread_that_releases_its_root(void **state) {
    (void)state;
    deaths();
    run_thread(release_it, tree_new(12));
    assert_int_equal(deaths(), (1 << 12) - 1);
}

struct list {
    size_t count;
    struct node *nodes[];
};
LOAM_TYPE(struct list, LOAM_FLEX(nodes))
LOAM_COUNTED_OWNS(struct list, NULL, LOAM_FLEX(nodes))

static void check_list(size_t count) {
    deaths();
    struct list *list = loam_counted_new_flex(struct list, nodes, count);
    assert_non_null(list);
    for (size_t i = 0; i < count; i++) {
        list->nodes[i] = i % 3 ? node_new(NULL) : NULL;
    }
    loam_collect();
    loam_release(list);
    assert_int_equal(deaths(), count - (count + 2) / 3);
    assert_false(is_live(hide(list)));
}

static void flexible_arrays_of_references_are_released(void **state) {
    (void)state;
    check_list(1);
    check_list(10);
    check_list(1019);
    check_list(20000); // more than a block
    assert_null(loam_counted_new_flex(struct list, nodes, SIZE_MAX / 2));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
}

// ---- Types ------------------------------------------------------------------

struct plain { // nothing says how it is scanned or dies
    struct plain *next;
    long number;
};

struct number { // without a pointer
    double value;
};
LOAM_TYPE_LEAF(struct number)
LOAM_COUNTED(struct number, note_death)

struct pair { // arrays and nested structs
    struct node *both[2];
    struct {
        struct node *third;
    } inner;
};
LOAM_TYPE(struct pair, both, inner.third)
LOAM_COUNTED_OWNS(struct pair, NULL, both, inner.third)

static void a_type_may_say_nothing_of_its_end(void **state) {
    (void)state;
    struct plain *p = loam_counted_new(struct plain);
    p->next = loam_counted_new(struct plain);
    p->next->number = 42;
    loam_collect();
    assert_int_equal(p->next->number, 42);
    struct plain *next = p->next;
    loam_release(p);
    assert_false(is_live(hide(p)));
    assert_true(is_live(hide(next)));
    loam_release(next);
}

static void leaves_and_arrays_are_counted_too(void **state) {
    (void)state;
    deaths();
    loam_release(loam_counted_new(struct number));
    assert_int_equal(deaths(), 1);
    struct pair *pair = loam_counted_new(struct pair);
    pair->both[0] = node_new(NULL);
    pair->both[1] = loam_retain(pair->both[0]);
    pair->inner.third = node_new(NULL);
    loam_collect();
    loam_release(pair);
    assert_int_equal(deaths(), 2);
}

// ---- Dispose ----------------------------------------------------------------

struct eager {
    struct eager *child;
    char *text;
    int depth;
};
LOAM_TYPE(struct eager, child, text)

static int eager_depth;
static int eager_order[8];
static int eager_count;

// Allocates, collects, and releases what it refers to by itself.
static void eager_end(void *object) {
    struct eager *e = object;
    must(++eager_depth == 1);
    for (int i = 0; i < 200; i++) {
        must(loam_alloc(100) != NULL);
    }
    loam_collect();
    must(strcmp(e->text, "still there") == 0);
    if (e->child) {
        must(strcmp(e->child->text, "still there") == 0);
    }
    if (eager_count < 8) {
        eager_order[eager_count++] = e->depth;
    }
    loam_release(e->child);
    eager_depth--;
}
LOAM_COUNTED(struct eager, eager_end)

static struct eager *eager_new(int depth, struct eager *child) {
    struct eager *e = loam_counted_new(struct eager);
    must(e != NULL);
    e->depth = depth;
    e->child = child;
    e->text = loam_strdup("still there");
    return e;
}

static void dispose_may_allocate_collect_and_release(void **state) {
    (void)state;
    eager_count = 0;
    loam_release(eager_new(0, eager_new(1, eager_new(2, NULL))));
    assert_int_equal(eager_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(eager_order[i], i);
    }
}

struct slow { // collects when it dies, while others wait to
    struct slow *kids[3];
    char *text;
};
LOAM_TYPE(struct slow, kids, text)

static void slow_end(void *object) {
    struct slow *s = object;
    must(strcmp(s->text, "waits") == 0);
    s->text = NULL;
    stack_clear();
    loam_collect();
    for (int i = 0; i < 100; i++) {
        must(loam_strdup("gone!") != NULL && loam_new(struct slow) != NULL);
    }
    note_death(object);
}
LOAM_COUNTED_OWNS(struct slow, slow_end, kids)

static OWN_FRAME struct slow *slow_new(int depth) {
    struct slow *s = loam_counted_new(struct slow);
    must(s != NULL);
    s->text = loam_strdup("waits");
    for (int i = 0; i < 3 && depth > 1; i++) {
        s->kids[i] = slow_new(depth - 1);
    }
    return s;
}

static void what_waits_to_die_survives_collections(void **state) {
    (void)state;
    deaths();
    loam_release(slow_new(4));
    assert_int_equal(deaths(), 1 + 3 + 9 + 27);
    loam_compact();
}

struct branch {
    struct branch *left;
    struct branch *right;
    char name;
};
LOAM_TYPE(struct branch, left, right)

static char branch_order[16];

static void branch_end(void *object) {
    struct branch *b = object;
    branch_order[strlen(branch_order)] = b->name;
    loam_release(b->left);
    loam_release(b->right);
    branch_order[strlen(branch_order)] = '.'; // before any child's end
}
LOAM_COUNTED(struct branch, branch_end)

static struct branch *branch_new(char name, struct branch *left,
                                 struct branch *right) {
    struct branch *b = loam_counted_new(struct branch);
    must(b != NULL);
    b->name = name;
    b->left = left;
    b->right = right;
    return b;
}

static void children_follow_their_parent_before_all_else(void **state) {
    (void)state;
    memset(branch_order, 0, sizeof branch_order);
    struct branch *left = branch_new('b', branch_new('c', NULL, NULL),
                                     branch_new('d', NULL, NULL));
    loam_release(branch_new('a', left, branch_new('e', NULL, NULL)));
    assert_string_equal(branch_order, "a.b.c.d.e.");
}

// ---- Lists: types that own one field ------------------------------------------

enum { LINKS = 5000 };

struct link {
    struct link *next;
    struct link *aside; // not owned: what it releases by itself
    char *text;
    long number;
};
LOAM_TYPE(struct link, next, aside, text)

static long link_order[2 * LINKS];
static size_t link_count;
static struct loam_weak *link_weak;
static long link_watched = -1; // the number of its object

// Does at some of them what may be done there: all by turns.
static void link_end(void *object) {
    struct link *l = object;
    must(strcmp(l->text, "waits") == 0);
    must(link_count < 2 * LINKS);
    must(l->number != link_watched || loam_weak_get(link_weak) == l);
    link_order[link_count++] = l->number;
    loam_release(l->aside);
    switch (l->number % 97) {
    case 11:
        stack_clear();
        loam_collect();
        break;
    case 22:
        loam_collect_minor();
        break;
    case 33: // from here on there are records
        link_weak = loam_weak_new(l->next);
        link_watched = l->next ? l->next->number : -1;
        break;
    case 35:
        must(l->number != link_watched + 1 || loam_weak_get(link_weak) == NULL);
        loam_free(link_weak); // and here there are none again
        link_weak = NULL;
        link_watched = -1;
        break;
    case 44:
        must(loam_strdup("gone!") != NULL && loam_new(struct link) != NULL);
        break;
    default:
        break;
    }
}
LOAM_COUNTED_OWNS(struct link, link_end, next)

static struct link *link_new(long number, struct link *next) {
    struct link *l = loam_counted_new(struct link);
    must(l != NULL);
    l->number = number;
    l->next = next;
    l->text = loam_strdup("waits");
    return l;
}

static OWN_FRAME struct link *links_new(long from, long to, struct link *next) {
    while (to > from) {
        next = link_new(--to, next);
    }
    return next;
}

static void a_list_dies_in_order_whatever_its_dispose_does(void **state) {
    (void)state;
    link_count = 0;
    loam_release(links_new(0, LINKS, NULL));
    assert_int_equal(link_count, LINKS);
    for (long i = 0; i < LINKS; i++) {
        assert_int_equal(link_order[i], i);
    }
    loam_verify();
}

static void a_list_ends_where_somebody_holds_it(void **state) {
    (void)state;
    link_count = 0;
    struct link *tail = links_new(100, 200, NULL);
    loam_release(links_new(0, 100, loam_retain(tail)));
    assert_int_equal(link_count, 100);
    assert_int_equal(loam_count_of(tail), 1);
    loam_release(tail);
    assert_int_equal(link_count, 200);
    assert_int_equal(link_order[199], 199);
}

// Each object releases a list of its own: that dies in its turn, behind it.
static void lists_of_lists_die_one_after_the_other(void **state) {
    (void)state;
    link_count = 0;
    struct link *list = NULL;
    for (long i = 20; i-- > 0;) {
        list = link_new(i * 100, list);
        list->aside = links_new(i * 100 + 1, i * 100 + 10, NULL);
    }
    loam_release(list);
    assert_int_equal(link_count, 200);
    bool seen[2000] = {false};
    for (size_t i = 0; i < link_count; i++) {
        assert_false(
            seen[link_order[i]]); // once each, and after who is before it
        assert_true(link_order[i] % 100 == 0 || seen[link_order[i] - 1]);
        seen[link_order[i]] = true;
    }
}

static void *links_make(void *list) {
    *(struct link **)list = links_new(0, LINKS, NULL);
    return NULL;
}

static void a_list_of_another_thread_dies_where_it_is_released(void **state) {
    (void)state;
    pthread_t thread;
    link_count = 0;
    struct link **list = loam_new_array(struct link *, 1);
    assert_int_equal(pthread_create(&thread, NULL, links_make, list), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loam_release(*list);
    assert_int_equal(link_count, LINKS);
    assert_int_equal(link_order[LINKS - 1], LINKS - 1);
}

// ---- The collector ----------------------------------------------------------

enum { CYCLES = 300 };

// All are kept until the last is made, so that no two have one address.
static struct node *volatile places[CYCLES];

static OWN_FRAME void drop_places(void) {
    for (size_t i = 0; i < CYCLES; i++) {
        places[i] = NULL;
    }
}

static int finals; // atomic

static void finalize_node(void *object, void *argument) {
    struct node *n = object;
    must(argument == NULL && n->number == 42 && n->other == n);
    __atomic_add_fetch(&finals, 1, __ATOMIC_RELAXED);
}

static OWN_FRAME struct node *node_finalized(void) {
    struct node *n = node_new(NULL);
    n->number = 42;
    n->other = loam_retain(n);
    must(loam_finalize(n, finalize_node, NULL) == 0);
    return n;
}

static void a_counted_death_clears_references_and_drops_the_finalizer(
    void **state) {
    (void)state;
    deaths();
    struct node *n = node_finalized();
    struct loam_weak *weak = loam_weak_new(n);
    n->other = NULL;
    loam_release(n);
    assert_ptr_equal(loam_weak_get(weak), n);
    loam_release(n);
    assert_int_equal(deaths(), 1);
    assert_null(loam_weak_get(weak));
    collect_clean();
    assert_int_equal(loam_finalizers_wait(0), 0);
    assert_int_equal(finals, 0);
}

static OWN_FRAME void drop_finalized(void) {
    for (int i = 0; i < 100; i++) {
        node_finalized();
    }
}

static void counted_objects_of_a_dead_cycle_are_finalized(void **state) {
    (void)state;
    deaths();
    drop_finalized();
    collect_clean();
    assert_int_equal(loam_finalizers_wait(0), 0);
    assert_in_range(finals, 100 - SURVIVORS_SLACK, 100);
    // A later collection disposes of them.
    collect_clean();
    assert_int_equal(loam_finalizers_wait(0), 0);
    assert_in_range(deaths(), 100 - SURVIVORS_SLACK, 100);
}

static OWN_FRAME void make_cycles(struct survivors *list) {
    for (size_t i = 0; i < CYCLES; i++) {
        struct node *a = node_new(NULL);
        places[i] = a;
        a->next = node_new(a);
        survivors_note(list, a);
    }
}

// With their dispose functions; see stranded_test.c.
static void cycles_are_the_collectors(void **state) {
    (void)state;
    struct survivors list = survivors_new(CYCLES);
    deaths();
    make_cycles(&list);
    assert_int_equal(survivors_count(&list), CYCLES);
    drop_places();
    collect_clean();
    assert_int_equal(loam_finalizers_wait(0), 0);
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    assert_in_range(deaths(), 2 * (CYCLES - SURVIVORS_SLACK), 2 * CYCLES);
    survivors_free(&list);
}

static OWN_FRAME void drop_counted(struct survivors *list) {
    for (size_t i = 0; i < CYCLES; i++) {
        struct node *n = loam_retain(node_new(node_new(NULL)));
        places[i] = n;
        survivors_note(list, n->next);
    }
}

static void a_count_alone_keeps_nothing(void **state) {
    (void)state;
    struct survivors list = survivors_new(CYCLES);
    drop_counted(&list);
    drop_places();
    collect_clean();
    assert_int_equal(loam_finalizers_wait(0), 0);
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void what_a_counted_object_refers_to_is_kept(void **state) {
    (void)state;
    kept = NULL;
    for (long i = 0; i < 1000; i++) {
        kept = node_new(kept);
        kept->number = i;
        kept->text = loam_printf("node %ld", i);
    }
    for (int i = 0; i < 3; i++) {
        loam_collect();
        loam_collect_minor();
    }
    loam_compact();
    long i = 1000;
    for (struct node *n = kept; n; n = n->next) {
        char text[32];
        snprintf(text, sizeof text, "node %ld", --i);
        assert_string_equal(n->text, text);
        assert_int_equal(loam_count_of(n), 1);
    }
    assert_int_equal(i, 0);
    deaths();
    struct node *all = kept;
    kept = NULL;
    loam_release(all);
    assert_int_equal(deaths(), 1000);
}

// ---- Threads ----------------------------------------------------------------

enum { THREADS = 16, REFERENCES = 2000 };

static pthread_barrier_t all_here;

static void *count_at_once(void *object) {
    pthread_barrier_wait(&all_here);
    for (int i = 0; i < REFERENCES; i++) {
        loam_retain(object);
    }
    for (int i = 0; i < REFERENCES + 1; i++) {
        loam_release(object); // the last one is the thread's own
    }
    return NULL;
}

static void threads_start(pthread_t ids[THREADS], void *(*fn)(void *),
                          void *object) {
    must(pthread_barrier_init(&all_here, NULL, THREADS + 1) == 0);
    for (int i = 0; i < THREADS; i++) {
        must(pthread_create(&ids[i], NULL, fn, object) == 0);
    }
    pthread_barrier_wait(&all_here);
}

static void threads_join(const pthread_t ids[THREADS]) {
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    pthread_barrier_destroy(&all_here);
}

static void threads_may_count_at_once(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_t ids[THREADS];
        struct node *n = node_new(NULL);
        deaths();
        for (int i = 0; i < THREADS; i++) {
            loam_retain(n); // one for each of them, which they let go
        }
        threads_start(ids, count_at_once, n);
        for (int i = 0; i < REFERENCES; i++) { // its owner counts, too
            loam_retain(n);
            loam_release(n);
        }
        threads_join(ids);
        assert_int_equal(loam_count_of(n), 1);
        assert_int_equal(deaths(), 0);
        loam_release(n);
        assert_int_equal(deaths(), 1);
    }
}

static void *let_go(void *object) {
    pthread_barrier_wait(&all_here);
    loam_release(object);
    return NULL;
}

static void the_last_of_sixteen_threads_disposes(void **state) {
    (void)state;
    for (int round = 0; round < 100; round++) {
        pthread_t ids[THREADS];
        struct node *n = node_new(node_new(NULL));
        deaths();
        for (int i = 0; i < THREADS; i++) {
            loam_retain(n);
        }
        threads_start(ids, let_go, n);
        loam_release(n);
        threads_join(ids);
        loam_keep_alive(n); // as in run_thread
        assert_int_equal(deaths(), 2);
    }
}

static void *make_node(void *argument) {
    (void)argument;
    kept = node_new(NULL);
    return NULL;
}

static void an_object_outlives_the_thread_that_made_it(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        deaths();
        run_thread(make_node, NULL);
        struct node *made = kept;
        kept = NULL;
        loam_retain(made);
        loam_release(made);
        assert_int_equal(loam_count_of(made), 1);
        assert_int_equal(deaths(), 0);
        loam_release(made);
        assert_int_equal(deaths(), 1);
    }
}

struct letter { // of its own kind, so that no other test has handed it over
    long number;
};
LOAM_COUNTED(struct letter, note_death)

static struct letter *slots[256];

// Takes letters out of slots until it has seen as many as were sent.
static void *receive(void *argument) {
    long left = *(long *)argument;
    must(loam_thread_register() == 0); // for threads that a sanitizer makes
    for (size_t i = 0; left > 0; i++) {
        struct letter *l =
            __atomic_exchange_n(&slots[i % 256], NULL, __ATOMIC_ACQUIRE);
        if (l) {
            must(l->number >= 0);
            loam_release(l);
            left--;
        }
    }
    return NULL;
}

static void objects_handed_from_thread_to_thread_die_there(void **state) {
    (void)state;
    long sent = 20000;
    pthread_t thread;
    deaths();
    must(pthread_create(&thread, NULL, receive, &sent) == 0);
    for (long i = 0; i < sent; i++) {
        struct letter *l = loam_counted_new(struct letter);
        struct letter *none = NULL;
        l->number = i;
        while (!__atomic_compare_exchange_n(
            &slots[i % 256], &none, l, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
            none = NULL;
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(deaths(), sent);
}

// ---- Signals and fork -------------------------------------------------------

static struct node *counted_by_handler;

static void count_in_handler(int signal) {
    (void)signal;
    struct node *n = loam_retain(counted_by_handler);
    loam_release(node_new(NULL));
    loam_release(n);
}

static void *send_signals(void *argument) {
    pthread_t to = *(pthread_t *)argument;
    for (int i = 0; i < 2000; i++) {
        pthread_kill(to, SIGUSR1);
    }
    __atomic_store_n(&counted_by_handler->number, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void handlers_may_count_what_they_interrupt(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = count_in_handler};
    pthread_t self = pthread_self();
    pthread_t sender;
    counted_by_handler = node_new(NULL);
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    must(pthread_create(&sender, NULL, send_signals, &self) == 0);
    while (!__atomic_load_n(&counted_by_handler->number, __ATOMIC_ACQUIRE)) {
        loam_retain(counted_by_handler);
        loam_release(node_new(node_new(NULL)));
        loam_release(counted_by_handler);
    }
    pthread_join(sender, NULL);
    assert_int_equal(loam_count_of(counted_by_handler), 1);
    loam_release(counted_by_handler);
    counted_by_handler = NULL;
    deaths();
}

static void child_count(struct node *n) {
    alarm(30);
    loam_retain(n);
    must(loam_count_of(n) == 2);
    struct node *young = node_new(n);
    run_thread(release_it, loam_retain(young));
    deaths();
    loam_release(young);
    must(deaths() == 1 && loam_count_of(n) == 1);
    run_thread(release_it, n);
    must(deaths() == 1);
    loam_collect();
    _exit(0);
}

static void a_child_of_fork_counts_on(void **state) {
    (void)state;
    struct node *n = node_new(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        child_count(n);
    }
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(loam_count_of(n), 1);
    loam_release(n);
    deaths();
}

static const struct scene scenes[] = {{"used again", scene_used_again}};

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_object_is_zeroed_and_counted_once),
        cmocka_unit_test(an_object_dies_with_its_last_reference),
        cmocka_unit_test(nothing_is_retained_and_released_as_nothing),
        cmocka_unit_test(its_memory_is_used_again_at_once),
        cmocka_unit_test(the_heap_knows_a_counted_object_by_its_start),
        cmocka_unit_test(owned_fields_are_released_after_dispose),
        cmocka_unit_test(a_chain_of_a_million_dies_on_a_small_stack),
        cmocka_unit_test(a_tree_dies_on_the_thread_that_releases_its_root),
        cmocka_unit_test(flexible_arrays_of_references_are_released),
        cmocka_unit_test(a_type_may_say_nothing_of_its_end),
        cmocka_unit_test(leaves_and_arrays_are_counted_too),
        cmocka_unit_test(dispose_may_allocate_collect_and_release),
        cmocka_unit_test(what_waits_to_die_survives_collections),
        cmocka_unit_test(children_follow_their_parent_before_all_else),
        cmocka_unit_test(a_list_dies_in_order_whatever_its_dispose_does),
        cmocka_unit_test(a_list_ends_where_somebody_holds_it),
        cmocka_unit_test(lists_of_lists_die_one_after_the_other),
        cmocka_unit_test(a_list_of_another_thread_dies_where_it_is_released),
        cmocka_unit_test(cycles_are_the_collectors),
        cmocka_unit_test(
            a_counted_death_clears_references_and_drops_the_finalizer),
        cmocka_unit_test(counted_objects_of_a_dead_cycle_are_finalized),
        cmocka_unit_test(a_count_alone_keeps_nothing),
        cmocka_unit_test(what_a_counted_object_refers_to_is_kept),
        cmocka_unit_test(threads_may_count_at_once),
        cmocka_unit_test(the_last_of_sixteen_threads_disposes),
        cmocka_unit_test(an_object_outlives_the_thread_that_made_it),
        cmocka_unit_test(objects_handed_from_thread_to_thread_die_there),
        cmocka_unit_test(handlers_may_count_what_they_interrupt),
        cmocka_unit_test(a_child_of_fork_counts_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
