// SPDX-License-Identifier: MIT
// stranded_test.c: counted objects that nobody reaches and whose count says
// otherwise (life/stranded.c).

#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/chance.h"
#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

enum { MANY = 300, MOST = 4000 };

// What died in a test, in that order, by number; and how often each was disposed
// of. What a stale word has kept from an earlier test may die at any time, and is
// left out. All atomic: the finalizers' thread writes.
static uint32_t order[MOST];
static uint32_t times[MOST];
static uint32_t died;
static uint32_t test_number;

static void part_end(void *object);

// Owns its parts; `friend` is a reference that nobody counts.
struct part {
    struct part *first;
    struct part *second;
    struct part *friend;
    uint32_t number;
    uint32_t test;
};
LOAM_TYPE(struct part, first, second, friend)
LOAM_COUNTED_OWNS(struct part, part_end, first, second)

static void note_end(uint32_t number, uint32_t test) {
    must(number < MOST);
    if (test == __atomic_load_n(&test_number, __ATOMIC_RELAXED)) {
        must(__atomic_add_fetch(&times[number], 1, __ATOMIC_RELAXED) == 1);
        uint32_t at = __atomic_fetch_add(&died, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&order[at], number, __ATOMIC_RELEASE);
    }
}

static void part_end(void *object) {
    const struct part *p = object;
    note_end(p->number, p->test);
}

// Releases by itself what it has retained.
static void hand_end(void *object);

struct hand {
    struct hand *next;
    struct hand *back;
    uint32_t number;
    uint32_t test;
};
LOAM_TYPE(struct hand, next, back)
LOAM_COUNTED(struct hand, hand_end)

static void hand_end(void *object) {
    struct hand *h = object;
    note_end(h->number, h->test);
    loam_release(h->next);
    loam_release(h->back);
}

// An object without a count.
struct box {
    struct part *part;
    struct box *other;
};
LOAM_TYPE(struct box, part, other)

static void *volatile places[MANY];

static OWN_FRAME void places_drop(void) {
    for (size_t i = 0; i < MANY; i++) {
        places[i] = NULL;
    }
}

static void begin(void) {
    __atomic_add_fetch(&test_number, 1, __ATOMIC_RELAXED);
    memset(order, 0xff, sizeof order);
    memset(times, 0, sizeof times);
    died = 0;
}

static OWN_FRAME void collect_and_wait(void) {
    places_drop();
    collect_clean();
    must(loam_finalizers_wait(0) == 0);
}

static struct part *part_new(uint32_t number) {
    struct part *p = loam_counted_new(struct part);
    must(p != NULL);
    p->number = number;
    p->test = test_number;
    return p;
}

// When a number died; MOST if it did not.
static uint32_t when(uint32_t number) {
    for (uint32_t i = 0; i < MOST; i++) {
        if (__atomic_load_n(&order[i], __ATOMIC_ACQUIRE) == number) {
            return i;
        }
    }
    return MOST;
}

// ---- Circles ---------------------------------------------------------------------

static OWN_FRAME void make_circles(struct survivors *list) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct part *a = part_new(2 * i);
        struct part *b = part_new(2 * i + 1);
        a->first = b;
        b->first = a;
        places[i] = a;
        survivors_note(list, a);
        survivors_note(list, b);
    }
}

// Of MANY pairs, made by `make`, nearly all die when they are let go of.
static void expect_pairs_end(void (*make)(struct survivors *list)) {
    struct survivors list = survivors_new(2 * MANY);
    begin();
    make(&list);
    loam_collect();
    assert_int_equal(loam_finalizers_wait(0), 0);
    assert_int_equal(died, 0);
    collect_and_wait();
    assert_in_range(died, 2 * (MANY - SURVIVORS_SLACK), 2 * MANY);
    assert_true(survivors_count(&list) <= (size_t)(2 * SURVIVORS_SLACK));
    survivors_free(&list);
}

static void circles_are_disposed_of_and_freed(void **state) {
    (void)state;
    expect_pairs_end(make_circles);
}

static OWN_FRAME void make_rings(struct survivors *list) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct part *last = part_new(10 * i);
        struct part *p = last;
        for (uint32_t j = 1; j < 5; j++) {
            struct part *q = part_new(10 * i + j);
            q->first = p;
            q->second = j == 3 ? part_new(10 * i + 5) : NULL; // a tail
            p = q;
        }
        last->first = p;
        last->second = loam_retain(p);
        places[i] = p;
        survivors_note(list, p);
    }
}

static void rings_with_tails_are_disposed_of_once_each(void **state) {
    (void)state;
    struct survivors list = survivors_new(MANY);
    begin();
    make_rings(&list);
    collect_and_wait();
    assert_in_range(died, 6 * (MANY - SURVIVORS_SLACK), 6 * MANY);
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    for (uint32_t i = 0; i < MANY; i++) {
        // The tail goes after what it hangs on. Asked first: it may be dying now.
        uint32_t tail = when(10 * i + 5);
        assert_true(tail == MOST || when(10 * i + 3) < tail);
    }
    survivors_free(&list);
}

static OWN_FRAME void make_hands(struct survivors *list) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct hand *a = loam_counted_new(struct hand);
        struct hand *b = loam_counted_new(struct hand);
        must(a != NULL && b != NULL);
        a->number = 2 * i;
        b->number = 2 * i + 1;
        a->test = b->test = test_number;
        a->next = b;
        b->back = a;
        places[i] = a;
        survivors_note(list, a);
        survivors_note(list, b);
    }
}

static void dispose_may_release_what_closes_the_circle(void **state) {
    (void)state;
    expect_pairs_end(make_hands);
}

// ---- Trees -----------------------------------------------------------------------

// A tree of seven, whose root a box that dies refers to.
static OWN_FRAME void make_trees(void) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct box *box = loam_new(struct box);
        must(box != NULL);
        struct part *p[7];
        for (uint32_t j = 7; j-- > 0;) {
            p[j] = part_new(10 * i + j);
            p[j]->first = j < 3 ? p[2 * j + 1] : NULL;
            p[j]->second = j < 3 ? p[2 * j + 2] : NULL;
        }
        box->part = p[0];
        places[i] = box;
    }
}

static void trees_die_from_the_root(void **state) {
    (void)state;
    begin();
    make_trees();
    collect_and_wait();
    assert_in_range(died, 7 * (MANY - SURVIVORS_SLACK), 7 * MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        for (uint32_t j = 1; j < 7; j++) {
            uint32_t child = when(10 * i + j);
            assert_true(child == MOST || when(10 * i + (j - 1) / 2) < child);
        }
    }
}

static OWN_FRAME void make_chain(uint32_t length) {
    struct part *p = NULL;
    for (uint32_t i = length; i-- > 0;) {
        struct part *q = part_new(i);
        q->first = p;
        p = q;
    }
    struct box *box = loam_new(struct box);
    must(box != NULL);
    box->part = p;
}

// A stale word in a dead frame may keep one chain.
static void a_chain_dies_in_order_and_takes_no_stack(void **state) {
    (void)state;
    uint32_t seen = 0;
    for (int i = 0; i < 3 && seen == 0; i++) {
        begin();
        make_chain(MOST);
        collect_and_wait();
        seen = died;
    }
    assert_int_equal(seen, MOST);
    for (uint32_t i = 0; i < MOST; i++) {
        assert_int_equal(order[i], i);
    }
}

static OWN_FRAME void leak_references(struct survivors *list) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct part *p = loam_retain(part_new(i));
        places[i] = p;
        survivors_note(list, p);
    }
}

// The references that nobody will release keep it until the collection after.
static void a_lost_reference_costs_one_more_collection(void **state) {
    (void)state;
    struct survivors list = survivors_new(MANY);
    begin();
    leak_references(&list);
    collect_and_wait();
    assert_in_range(died, MANY - SURVIVORS_SLACK, MANY);
    for (int i = 0; i < 3; i++) {
        collect_and_wait();
    }
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    assert_in_range(died, MANY - SURVIVORS_SLACK, MANY);
    survivors_free(&list);
}

// ---- With other promises -----------------------------------------------------------

static void minor_collections_keep_it_for_a_full_one(void **state) {
    (void)state;
    struct survivors list = survivors_new(2 * MANY);
    begin();
    loam_collect();
    make_circles(&list);
    places_drop();
    stack_clear();
    loam_collect_minor();
    loam_collect_minor();
    collect_and_wait();
    assert_in_range(died, 2 * (MANY - SURVIVORS_SLACK), 2 * MANY);
    assert_true(survivors_count(&list) <= (size_t)(2 * SURVIVORS_SLACK));
    survivors_free(&list);
}

static struct part *revived[MANY];
static uint32_t revived_count;

static void revive(void *object, void *argument) {
    (void)argument;
    struct part *p = object;
    must(p->first->first == p && times[p->number] == 0);
    revived[__atomic_fetch_add(&revived_count, 1, __ATOMIC_RELAXED)] = p;
}

static OWN_FRAME void make_final_circles(void) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct part *a = part_new(2 * i);
        struct part *b = part_new(2 * i + 1);
        a->first = b;
        b->first = a;
        places[i] = a;
        must(loam_finalize(a, revive, NULL) == 0);
    }
}

static void what_a_finalizer_gets_is_whole(void **state) {
    (void)state;
    begin();
    make_final_circles();
    collect_and_wait();
    assert_in_range(revived_count, MANY - SURVIVORS_SLACK, MANY);
    assert_int_equal(died, 0);
    collect_and_wait();
    assert_int_equal(died, 0); // all are reachable again
    for (uint32_t i = 0; i < revived_count; i++) {
        assert_ptr_equal(revived[i]->first->first, revived[i]);
        revived[i] = NULL;
    }
    collect_and_wait();
    assert_in_range(died, 2 * (MANY - 2 * SURVIVORS_SLACK), 2 * MANY);
}

static OWN_FRAME void make_watched(struct loam_weak **weak) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct part *p = part_new(i);
        p->first = loam_retain(p);
        loam_release(p);
        places[i] = p;
        weak[i] = loam_weak_new(p);
        must(weak[i] != NULL);
    }
}

static void weak_references_to_it_are_cleared(void **state) {
    (void)state;
    struct loam_weak **weak = loam_new_array(struct loam_weak *, MANY);
    size_t left = 0;
    begin();
    make_watched(weak);
    collect_and_wait();
    for (size_t i = 0; i < MANY; i++) {
        left += loam_weak_get(weak[i]) != NULL;
    }
    assert_true(left <= SURVIVORS_SLACK);
    assert_in_range(died, MANY - SURVIVORS_SLACK, MANY);
}

// Two circles, each of which a part of the other knows without a count.
static OWN_FRAME void make_friends(void) {
    for (uint32_t i = 0; i < MANY; i++) {
        struct part *a = part_new(2 * i);
        struct part *b = part_new(2 * i + 1);
        a->first = loam_retain(a);
        b->first = loam_retain(b);
        loam_release(a);
        loam_release(b);
        a->friend = b;
        b->friend = a;
        places[i] = a;
    }
}

static void what_refers_without_counting_does_no_harm(void **state) {
    (void)state;
    begin();
    make_friends();
    collect_and_wait();
    assert_in_range(died, 2 * (MANY - SURVIVORS_SLACK), 2 * MANY);
    collect_and_wait();
    loam_verify();
}

// ---- At random ---------------------------------------------------------------------

enum { GRAPHS = 100, NODES = 20 };

// What is known of a graph: whom each owns, and whom it refers to besides.
struct graph {
    int owned[NODES][2]; // -1: nobody
    int friend[NODES];
    bool is_kept[NODES];          // by the test
    bool reaches[NODES][NODES];   // along all of these
    bool owns_down[NODES][NODES]; // along what is owned
};

static struct graph graphs[GRAPHS];
static struct part *graph_roots[GRAPHS][NODES];

static void close_over(bool (*is)[NODES]) {
    for (int k = 0; k < NODES; k++) {
        for (int i = 0; i < NODES; i++) {
            for (int j = 0; j < NODES; j++) {
                is[i][j] |= is[i][k] && is[k][j];
            }
        }
    }
}

static void graph_draw(struct graph *g, struct chance *chance) {
    memset(g, 0, sizeof *g);
    bool has_kept = false;
    for (int i = 0; i < NODES; i++) {
        g->is_kept[i] = chance_below(chance, 3 * NODES) == 0;
        has_kept |= g->is_kept[i];
    }
    for (int i = 0; i < NODES; i++) {
        for (int j = 0; j < 2; j++) {
            int to = (int)chance_below(chance, NODES);
            g->owned[i][j] = chance_below(chance, 3) ? to : -1;
            if (g->owned[i][j] >= 0) {
                g->reaches[i][to] = g->owns_down[i][to] = true;
            }
        }
        // Of what is alive, a reference that nobody counts would soon lead nowhere.
        g->friend[i] = has_kept || chance_below(chance, 8)
                           ? -1
                           : (int)chance_below(chance, NODES);
        if (g->friend[i] >= 0) {
            g->reaches[i][g->friend[i]] = true;
        }
    }
    close_over(g->reaches);
    close_over(g->owns_down);
}

static OWN_FRAME void graph_make(const struct graph *g, uint32_t number,
                                 struct chance *chance) {
    struct part *p[NODES];
    for (int i = 0; i < NODES; i++) {
        p[i] = part_new(number * NODES + (uint32_t)i);
    }
    for (int i = 0; i < NODES; i++) {
        struct part *none = NULL;
        p[i]->first =
            loam_retain(g->owned[i][0] < 0 ? none : p[g->owned[i][0]]);
        p[i]->second =
            loam_retain(g->owned[i][1] < 0 ? none : p[g->owned[i][1]]);
        p[i]->friend = g->friend[i] < 0 ? none : p[g->friend[i]];
        graph_roots[number][i] = g->is_kept[i] ? p[i] : NULL;
    }
    for (int i = 0; i < NODES; i++) {
        // Some references are lost. What dies at once is nobody's business here.
        bool is_owned = false;
        for (int j = 0; j < NODES; j++) {
            is_owned |= g->owned[j][0] == i || g->owned[j][1] == i;
        }
        if (is_owned && !g->is_kept[i] && chance_below(chance, 5)) {
            loam_release(p[i]);
        }
    }
    places[number] = p[0];
}

static bool graph_is_reachable(const struct graph *g, int node) {
    bool is = g->is_kept[node];
    for (int i = 0; i < NODES; i++) {
        is |= g->is_kept[i] && g->reaches[i][node];
    }
    return is;
}

// How many have died by now, all of whom are in order[]. More may be dying.
static uint32_t died_by_now(void) {
    uint32_t count = __atomic_load_n(&died, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < count; i++) {
        while (__atomic_load_n(&order[i], __ATOMIC_ACQUIRE) == UINT32_MAX) {
        }
    }
    return count;
}

// Returns how many should have died and have not. All of it is seen as of one
// moment: an owner that is asked for first may die before what it owns is.
static size_t graph_check(const struct graph *g, uint32_t number) {
    size_t left = 0;
    uint32_t at[NODES];
    uint32_t count = died_by_now();
    for (int i = 0; i < NODES; i++) {
        at[i] = when(number * NODES + (uint32_t)i);
        at[i] = at[i] < count ? at[i] : MOST;
    }
    for (int i = 0; i < NODES; i++) {
        must(!graph_is_reachable(g, i) || at[i] == MOST);
        left += !graph_is_reachable(g, i) && at[i] == MOST;
        for (int j = 0; j < NODES; j++) {
            // Owners go first, unless they are owned by what they own.
            bool is_before = (g->owned[i][0] == j || g->owned[i][1] == j) &&
                             !g->owns_down[j][i];
            must(!is_before || at[j] == MOST || at[i] < at[j]);
        }
    }
    return left;
}

static void graphs_are_taken_apart_from_the_owners(void **state) {
    struct chance chance = chance_start(chance_seed("graphs"));
    (void)state;
    for (int round = 0; round < 5; round++) {
        size_t left = 0;
        begin();
        for (uint32_t i = 0; i < GRAPHS; i++) {
            graph_draw(&graphs[i], &chance);
            graph_make(&graphs[i], i, &chance);
        }
        collect_and_wait();
        collect_and_wait(); // what lost references have kept
        for (uint32_t i = 0; i < GRAPHS; i++) {
            left += graph_check(&graphs[i], i) > 0;
        }
        assert_true(left <= SURVIVORS_SLACK);
    }
    memset(graph_roots, 0, sizeof graph_roots);
    collect_and_wait();
    loam_verify();
}

static void garbage_note(const struct loam_garbage *garbage, void *unused) {
    (void)unused;
    must(garbage->object != NULL);
}

static void scene_kept_garbage(void) {
    struct survivors list = survivors_new(2 * MANY);
    make_circles(&list);
    places_drop();
    collect_clean();
    must(loam_finalizers_wait(0) == 0);
    must(died == 0 && survivors_count(&list) == (size_t)(2 * MANY));
    must(loam_garbage_each(garbage_note, NULL) >=
         (size_t)(2 * (MANY - SURVIVORS_SLACK)));
    puts("kept");
}

static void kept_garbage_is_not_disposed_of(void **state) {
    (void)state;
    const char *const settings[] = {"LOAM_KEEP=unreachable", NULL};
    const struct outcome *o = scene_play("kept garbage", settings);
    assert_string_equal(o->err, "");
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->out, "kept\n");
}

static const struct scene scenes[] = {{"kept garbage", scene_kept_garbage}};

// ---- Threads and processes -----------------------------------------------------------

static void *make_and_leave(void *unused) {
    (void)unused;
    struct survivors list = survivors_new(2 * MANY);
    make_circles(&list);
    places_drop();
    survivors_free(&list);
    return NULL;
}

static void the_thread_that_made_it_may_be_gone(void **state) {
    (void)state;
    pthread_t thread;
    begin();
    assert_int_equal(pthread_create(&thread, NULL, make_and_leave, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    collect_and_wait();
    assert_in_range(died, 2 * (MANY - SURVIVORS_SLACK), 2 * MANY);
}

static void a_child_of_fork_disposes_of_its_own(void **state) {
    (void)state;
    struct survivors list = survivors_new(2 * MANY);
    begin();
    make_circles(&list);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        collect_and_wait();
        must(died >= 2 * (MANY - SURVIVORS_SLACK));
        _exit(0);
    }
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(died, 0);
    collect_and_wait();
    assert_in_range(died, 2 * (MANY - SURVIVORS_SLACK), 2 * MANY);
    survivors_free(&list);
}

// Last: from then on the program calls them.
static void the_program_may_call_them(void **state) {
    (void)state;
    struct survivors list = survivors_new(2 * MANY);
    begin();
    loam_finalizers_on_demand(NULL, NULL);
    make_circles(&list);
    places_drop();
    collect_clean();
    assert_int_equal(died, 0);
    assert_in_range(loam_finalizers_due(), MANY - SURVIVORS_SLACK, 2 * MANY);
    loam_finalizers_run(SIZE_MAX);
    assert_in_range(died, 2 * (MANY - SURVIVORS_SLACK), 2 * MANY);
    survivors_free(&list);
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(circles_are_disposed_of_and_freed),
        cmocka_unit_test(rings_with_tails_are_disposed_of_once_each),
        cmocka_unit_test(dispose_may_release_what_closes_the_circle),
        cmocka_unit_test(trees_die_from_the_root),
        cmocka_unit_test(a_chain_dies_in_order_and_takes_no_stack),
        cmocka_unit_test(a_lost_reference_costs_one_more_collection),
        cmocka_unit_test(minor_collections_keep_it_for_a_full_one),
        cmocka_unit_test(what_a_finalizer_gets_is_whole),
        cmocka_unit_test(weak_references_to_it_are_cleared),
        cmocka_unit_test(what_refers_without_counting_does_no_harm),
        cmocka_unit_test(graphs_are_taken_apart_from_the_owners),
        cmocka_unit_test(kept_garbage_is_not_disposed_of),
        cmocka_unit_test(the_thread_that_made_it_may_be_gone),
        cmocka_unit_test(a_child_of_fork_disposes_of_its_own),
        cmocka_unit_test(the_program_may_call_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
