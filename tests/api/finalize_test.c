// SPDX-License-Identifier: MIT
// finalize_test.c: what happens when objects have died, and what may happen then.

#include <loam.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 200
#define FEWEST (COUNT - SURVIVORS_SLACK)
#define WAIT_NS 20000000000u

struct node {
    struct node *next;
    struct loam_weak *weak;
    long value;
    int round;
};
LOAM_TYPE(struct node, next, weak)

// A stale word may keep an object of one test until a later one: that is not
// counted.
static int round_now;
static int calls;
static unsigned char seen[COUNT];

static void forget_calls(void) {
    round_now++;
    __atomic_store_n(&calls, 0, __ATOMIC_RELAXED);
    memset(seen, 0, sizeof seen);
}

static void count_call(const struct node *n) {
    int one = n->round == __atomic_load_n(&round_now, __ATOMIC_RELAXED);
    __atomic_add_fetch(&calls, one, __ATOMIC_RELAXED);
}

static void note(void *object, void *argument) {
    const struct node *n = object;
    must(argument == NULL || strcmp(argument, "argument") == 0);
    if (n->round != __atomic_load_n(&round_now, __ATOMIC_RELAXED)) {
        return;
    }
    must(n->value >= 0 && n->value < COUNT && !seen[n->value]);
    seen[n->value] = 1;
    count_call(n);
}

static OWN_FRAME struct node *node_new(long value) {
    struct node *n = loam_new(struct node);
    must(n != NULL);
    n->value = value;
    n->round = round_now;
    return n;
}

static OWN_FRAME void make_finalized(loam_finalizer_fn *fn) {
    for (long i = 0; i < COUNT; i++) {
        must(loam_finalize(node_new(i), fn, loam_strdup("argument")) == 0);
    }
}

static void collect_and_wait(void) {
    collect_clean();
    assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
}

static void a_finalizer_is_called_once_for_each_dead_object(void **state) {
    (void)state;
    forget_calls();
    make_finalized(note);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static void finalizers_of_young_objects_come_with_minor_collections(
    void **state) {
    (void)state;
    forget_calls();
    loam_collect();
    make_finalized(note);
    stack_clear();
    loam_collect_minor();
    assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
    assert_in_range(calls, FEWEST, COUNT);
}

static struct node *held[COUNT];

static OWN_FRAME void hold(void) {
    for (long i = 0; i < COUNT; i++) {
        held[i] = node_new(i);
        must(loam_finalize(held[i], note, NULL) == 0);
    }
}

static void living_objects_are_not_finalized(void **state) {
    (void)state;
    forget_calls();
    hold();
    collect_and_wait();
    assert_int_equal(calls, 0);
    memset(held, 0, COUNT / 2 * sizeof *held);
    collect_and_wait();
    assert_in_range(calls, COUNT / 2 - SURVIVORS_SLACK, COUNT / 2);
    for (size_t i = COUNT / 2; i < COUNT; i++) {
        assert_int_equal(seen[i], 0);
        must(loam_finalize(held[i], NULL, NULL) == 0); // taken away
    }
    memset(held, 0, sizeof held);
    collect_and_wait();
    assert_in_range(calls, COUNT / 2 - SURVIVORS_SLACK, COUNT / 2);
}

static void a_freed_object_is_not_finalized(void **state) {
    (void)state;
    forget_calls();
    hold();
    for (size_t i = 0; i < COUNT; i++) {
        loam_free(held[i]);
        held[i] = NULL;
    }
    collect_and_wait();
    assert_int_equal(calls, 0);
}

static void a_finalizer_follows_an_object_that_realloc_moves(void **state) {
    (void)state;
    forget_calls();
    for (long i = 0; i < COUNT; i++) {
        held[i] = node_new(i);
        must(loam_finalize(held[i], note, NULL) == 0);
        held[i] = loam_realloc(held[i], 1000);
    }
    collect_and_wait();
    assert_int_equal(calls, 0);
    memset(held, 0, sizeof held);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

// The record is old and the object is new.
static void what_realloc_has_moved_is_finalized_after_a_minor_collection(
    void **state) {
    (void)state;
    forget_calls();
    for (long i = 0; i < COUNT; i++) {
        held[i] = node_new(i);
        must(loam_finalize(held[i], note, NULL) == 0);
    }
    loam_collect();
    for (long i = 0; i < COUNT; i++) {
        held[i] = loam_realloc(held[i], 1000);
        must(held[i] != NULL);
    }
    memset(held, 0, sizeof held);
    stack_clear();
    loam_collect_minor();
    for (long i = 0; i < COUNT; i++) {
        // In their place, if they were freed.
        must(loam_realloc(node_new(-1), 1000) != NULL);
    }
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static OWN_FRAME void make_rings(void) {
    for (long i = 0; i < COUNT; i += 4) {
        struct node *ring[4];
        for (long j = 0; j < 4; j++) {
            ring[j] = node_new(i + j);
            must(loam_finalize(ring[j], note, NULL) == 0);
        }
        for (long j = 0; j < 4; j++) {
            ring[j]->next = ring[(j + 1) % 4];
        }
    }
}

static void all_objects_of_a_cycle_are_finalized(void **state) {
    (void)state;
    forget_calls();
    make_rings();
    collect_and_wait();
    assert_in_range(calls, COUNT - 4 * SURVIVORS_SLACK, COUNT);
}

static void check_chain(void *object, void *argument) {
    (void)argument;
    long value = ((struct node *)object)->value;
    for (const struct node *n = object; n; n = n->next) {
        must(n->value == value++);
    }
    count_call(object);
}

static OWN_FRAME void make_chains(void) {
    for (long i = 0; i < COUNT; i++) {
        struct node *n = NULL;
        for (long j = 99; j >= 0; j--) {
            struct node *before = node_new(i + j);
            before->next = n;
            n = before;
        }
        must(loam_finalize(n, check_chain, NULL) == 0);
    }
}

static void what_a_dead_object_refers_to_is_whole(void **state) {
    (void)state;
    forget_calls();
    make_chains();
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
    loam_verify();
}

// ---- Resurrection --------------------------------------------------------------

static struct node *raised[COUNT];

static void raise_it(void *object, void *argument) {
    const struct node *n = object;
    note(object, argument);
    raised[n->value] = n->round == round_now ? object : raised[n->value];
}

static void an_object_that_is_raised_lives_and_is_not_finalized_again(
    void **state) {
    (void)state;
    forget_calls();
    make_finalized(raise_it);
    collect_and_wait();
    int count = calls;
    assert_in_range(count, FEWEST, COUNT);
    collect_and_wait();
    for (long i = 0; i < COUNT; i++) {
        assert_true(!seen[i] || raised[i]->value == i);
    }
    memset(raised, 0, sizeof raised);
    collect_and_wait();
    assert_in_range(calls, count, COUNT);
}

static void arm_again(void *object, void *argument) {
    (void)argument;
    struct node *n = object;
    count_call(n);
    if (--n->value > 0) {
        must(loam_finalize(n, arm_again, NULL) == 0);
    }
}

static OWN_FRAME void make_armed(void) {
    for (long i = 0; i < COUNT; i++) {
        must(loam_finalize(node_new(3), arm_again, NULL) == 0);
    }
}

static void a_finalizer_may_arm_its_object_again(void **state) {
    (void)state;
    forget_calls();
    make_armed();
    for (int round = 1; round <= 4; round++) {
        collect_and_wait();
        int least = round < 3 ? round : 3;
        assert_in_range(calls, least * FEWEST, least * COUNT);
    }
}

static struct loam_weak *short_refs[COUNT];
static struct loam_weak *long_refs[COUNT];

static void look_at_refs(void *object, void *argument) {
    note(object, argument);
    long i = ((struct node *)object)->value;
    if (((struct node *)object)->round != round_now) {
        return;
    }
    must(loam_weak_get(short_refs[i]) == NULL);
    must(loam_weak_get(long_refs[i]) == object);
    if (i % 2 == 0) {
        raised[i] = object;
    }
}

static OWN_FRAME void make_referred(void) {
    for (long i = 0; i < COUNT; i++) {
        struct node *n = node_new(i);
        short_refs[i] = loam_weak_new(n);
        long_refs[i] = loam_weak_new_long(n);
        must(loam_finalize(n, look_at_refs, NULL) == 0);
    }
}

static void long_references_outlast_finalizers_and_short_ones_do_not(
    void **state) {
    (void)state;
    forget_calls();
    make_referred();
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
    collect_and_wait();
    size_t kept = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const struct node *n = loam_weak_get(long_refs[i]);
        assert_true(!raised[i] || n == raised[i]);
        assert_true(!seen[i] || loam_weak_get(short_refs[i]) == NULL);
        kept += n != NULL;
    }
    assert_in_range(kept, COUNT / 2 - SURVIVORS_SLACK,
                    COUNT / 2 + SURVIVORS_SLACK);
    memset(raised, 0, sizeof raised);
    memset(short_refs, 0, sizeof short_refs);
    memset(long_refs, 0, sizeof long_refs);
}

static struct node *parent;

static void ask_parent(void *object, void *argument) {
    note(object, argument);
    const struct node *n = object;
    must(n->round != round_now || loam_weak_get(n->weak) == parent);
}

static OWN_FRAME void make_children(void) {
    parent = node_new(0);
    for (long i = 0; i < COUNT; i++) {
        struct node *n = node_new(i);
        n->weak = loam_weak_new(parent);
        must(loam_finalize(n, ask_parent, NULL) == 0);
    }
}

static void a_reference_that_only_the_dead_object_had_still_works(
    void **state) {
    (void)state;
    forget_calls();
    make_children();
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
    parent = NULL;
}

// ---- In order ------------------------------------------------------------------

static long last_value[COUNT];

static void in_order(void *object, void *argument) {
    const struct node *n = object;
    long chain = n->value / 10;
    (void)argument;
    must(n->round != round_now || n->value % 10 == last_value[chain]++);
    count_call(n);
}

static OWN_FRAME void make_ordered(void) {
    for (long chain = 0; chain < COUNT / 10; chain++) {
        struct node *n = NULL;
        for (long i = 9; i >= 0; i--) {
            struct node *before = node_new(chain * 10 + i);
            before->next = n;
            n = before;
            must(loam_finalize_ordered(n, in_order, NULL) == 0);
        }
    }
}

static void ordered_finalizers_of_referrers_come_first(void **state) {
    (void)state;
    forget_calls();
    memset(last_value, 0, sizeof last_value);
    make_ordered();
    for (int round = 1; round <= 10; round++) {
        collect_and_wait();
        assert_in_range(calls, 0, round * COUNT / 10);
    }
    assert_in_range(calls, COUNT - 10 * SURVIVORS_SLACK, COUNT);
}

static OWN_FRAME void make_ordered_ring(void) {
    struct node *first = node_new(0);
    struct node *n = first;
    for (long i = 1; i < COUNT; i++) {
        n->next = node_new(i);
        must(loam_finalize_ordered(n, note, NULL) == 0);
        n = n->next;
    }
    must(loam_finalize_ordered(n, note, NULL) == 0);
    n->next = first;
}

// What the test above may have left of a chain comes first, one a collection.
static void an_ordered_cycle_is_finalized_all_the_same(void **state) {
    (void)state;
    forget_calls();
    make_ordered_ring();
    for (int round = 0; round < 10 + 3 && calls == 0; round++) {
        collect_and_wait();
    }
    assert_int_equal(calls, COUNT);
}

// ---- What a finalizer may do -----------------------------------------------------

static void allocate_and_collect(void *object, void *argument) {
    note(object, argument);
    for (int i = 0; i < 50; i++) {
        must(node_new(i) != NULL);
    }
    if (((struct node *)object)->value % 20 == 0) {
        loam_collect();
    }
}

static void a_finalizer_may_allocate_and_collect(void **state) {
    (void)state;
    forget_calls();
    make_finalized(allocate_and_collect);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static OWN_FRAME void use_stack(void *object, void *argument) {
    volatile char much[1 << 20];
    for (size_t i = 0; i < sizeof much; i += 4096) {
        much[i] = 1;
    }
    note(object, argument);
}

static void a_finalizer_has_as_much_stack_as_any_thread(void **state) {
    (void)state;
    forget_calls();
    make_finalized(use_stack);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static void *end_at_once(void *argument) {
    return argument;
}

static void make_a_thread(void *object, void *argument) {
    pthread_t thread;
    note(object, argument);
    if (((struct node *)object)->value % 20 == 0) {
        must(pthread_create(&thread, NULL, end_at_once, object) == 0);
        must(pthread_join(thread, NULL) == 0);
    }
}

static void a_finalizer_may_make_threads(void **state) {
    (void)state;
    forget_calls();
    make_finalized(make_a_thread);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static void fork_a_child(void *object, void *argument) {
    note(object, argument);
    if (((struct node *)object)->value % 50 == 0) {
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            loam_collect();
            _exit(node_new(1)->value == 1 ? 0 : 1);
        }
        must(child_wait(child) == 0);
    }
}

static void a_finalizer_may_fork(void **state) {
    (void)state;
    forget_calls();
    make_finalized(fork_a_child);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static void a_child_finalizes_what_dies_in_it(void **state) {
    (void)state;
    forget_calls();
    make_finalized(note);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        collect_clean();
        bool ok = loam_finalizers_wait(WAIT_NS) == 0;
        _exit(ok && calls >= FEWEST ? 0 : 1);
    }
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(calls, 0);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static void finalizers_wait_refuses_within_a_finalizer(void *object,
                                                       void *argument) {
    note(object, argument);
    must(loam_finalizers_wait(1) == -1);
}

static void waiting_within_a_finalizer_is_refused(void **state) {
    (void)state;
    forget_calls();
    make_finalized(finalizers_wait_refuses_within_a_finalizer);
    collect_and_wait();
    assert_in_range(calls, FEWEST, COUNT);
}

static void what_is_no_object_cannot_be_finalized(void **state) {
    (void)state;
    int local = 0;
    assert_int_equal(loam_finalize(&local, note, NULL), -1);
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_int_equal(loam_guard(loam_guardian_new(), &local), -1);
}

// ---- Guardians -----------------------------------------------------------------

static OWN_FRAME void guard_some(struct loam_guardian *guardian) {
    for (long i = 0; i < COUNT; i++) {
        must(loam_guard(guardian, node_new(i)) == 0);
    }
}

// Known by a long reference only, until it dies and after.
static OWN_FRAME struct loam_weak *guard_one(struct loam_guardian *guardian,
                                             long value) {
    struct node *n = node_new(value);
    must(loam_guard(guardian, n) == 0);
    return loam_weak_new_long(n);
}

static OWN_FRAME int drain_guardian(struct loam_guardian *guardian) {
    int count = 0;
    const struct node *n;
    while ((n = loam_guardian_next(guardian)) != NULL) {
        assert_in_range(n->value, 0, COUNT - 1);
        assert_false(seen[n->value]);
        seen[n->value] = 1;
        count++;
    }
    return count;
}

static void a_guardian_returns_each_dead_object_once(void **state) {
    (void)state;
    struct loam_guardian *guardian = loam_guardian_new();
    forget_calls();
    assert_null(loam_guardian_next(guardian));
    guard_some(guardian);
    collect_clean();
    collect_clean(); // what waits there stays whole
    assert_in_range(drain_guardian(guardian), FEWEST, COUNT);
    memset(seen, 0, sizeof seen);
    collect_clean();
    assert_in_range(drain_guardian(guardian), 0, SURVIVORS_SLACK);
}

static OWN_FRAME void guard_and_drop(struct survivors *list, bool is_late) {
    struct loam_guardian *guardian = loam_guardian_new();
    for (long i = 0; i < COUNT; i++) {
        struct node *n = node_new(i);
        survivors_note(list, n);
        must(loam_guard(guardian, n) == 0);
    }
    if (is_late) {
        stack_clear();
        loam_collect(); // they wait at the guardian
        loam_keep_alive(guardian);
    }
}

static void what_a_dead_guardian_guarded_is_collected(void **state) {
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        struct survivors list = survivors_new(COUNT);
        guard_and_drop(&list, is_late);
        collect_clean();
        collect_clean();
        // One stale word keeps the guardian and all that waits there.
        size_t live = survivors_count(&list);
        assert_true(live <= SURVIVORS_SLACK || live >= FEWEST);
        survivors_free(&list);
    }
}

static struct node *guarded[COUNT];

static OWN_FRAME void guard_living(struct loam_guardian *guardian) {
    for (long i = 0; i < COUNT; i++) {
        guarded[i] = node_new(i);
        must(loam_guard(guardian, guarded[i]) == 0);
    }
}

// Makes guardians, one of them where another was, and counts those that return
// what they never guarded.
static OWN_FRAME size_t count_strange(void) {
    static struct loam_guardian *others[2000];
    size_t strange = 0;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        others[i] = loam_guardian_new();
    }
    memset(guarded, 0, sizeof guarded);
    collect_clean();
    collect_clean();
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        strange += loam_guardian_next(others[i]) != NULL;
        others[i] = NULL;
    }
    return strange;
}

static OWN_FRAME void guard_living_and_drop(bool is_freed) {
    struct loam_guardian *guardian = loam_guardian_new();
    guard_living(guardian);
    if (is_freed) {
        loam_free(guardian);
    }
}

static void what_a_gone_guardian_guarded_is_nobody_elses(void **state) {
    (void)state;
    for (int is_freed = 0; is_freed < 2; is_freed++) {
        guard_living_and_drop(is_freed);
        collect_clean();
        collect_clean();
        assert_int_equal(count_strange(), 0);
    }
}

static void a_freed_guardian_forgets_what_waits(void **state) {
    (void)state;
    struct loam_guardian *guardian = loam_guardian_new();
    guard_some(guardian);
    collect_clean();
    loam_free(guardian);
    struct loam_guardian *other = loam_guardian_new(); // perhaps at its place
    assert_null(loam_guardian_next(other));
    collect_clean();
    assert_null(loam_guardian_next(other));
}

// ---- Scenes: settings and ends of their own ----------------------------------------

static int notified;

static void notify(void *argument) {
    must(argument == NULL);
    notified++;
}

static void leave(void *object, void *argument) {
    note(object, NULL);
    longjmp(*(jmp_buf *)argument, 1);
}

// On the program's own thread, also by longjmp.
static void scene_on_demand(void) {
    static jmp_buf back;
    loam_finalizers_on_demand(notify, NULL);
    for (long i = 0; i < COUNT; i++) {
        must(loam_finalize(node_new(i), leave, &back) == 0);
    }
    collect_clean();
    must(notified > 0 && calls == 0);
    must(loam_finalizers_due() >= FEWEST);
    setjmp(back);
    loam_finalizers_run(SIZE_MAX);
    must(calls >= FEWEST && loam_finalizers_due() == 0);
    must(loam_finalizers_wait(1) == 0); // not within one, though all have left
    must(loam_finalizers_run(1) == 0);
}

static void the_program_may_call_finalizers_itself(void **state) {
    (void)state;
    const struct outcome *o = scene_play("on demand", (const char *[]){NULL});
    assert_string_equal(o->err, "");
    assert_int_equal(o->exit_code, 0);
}

// Of two that refer to each other the one that is called first frees the other by
// hand, or has it moved, while the other's own call is due.
static struct node *moved[COUNT];

static void end_partner(void *object, void *argument) {
    struct node *n = object;
    long *ended = argument;
    struct node *partner = n->next;
    must(n->value >= 0 && n->value < COUNT);
    n->value = -1;
    if (partner == NULL || partner->value < 0) {
        return; // it has been called already
    }
    long number = partner->value;
    if (number % 2) {
        loam_free(partner);
        for (int i = 0; i < 8; i++) {
            node_new(-2); // in its place
        }
    } else {
        moved[number] = loam_realloc(partner, 10 * sizeof *partner);
        must(moved[number] != NULL);
    }
    ended[number]++;
}

static OWN_FRAME void make_pairs(long *ended) {
    for (long i = 0; i < COUNT; i++) {
        struct node *n = node_new(i);
        n->next = node_new(i);
        n->next->next = n;
        must(loam_finalize(n, end_partner, ended) == 0);
        must(loam_finalize(n->next, end_partner, ended) == 0);
    }
}

static void scene_freed_while_due(void) {
    static long ended[COUNT];
    loam_finalizers_on_demand(NULL, NULL);
    make_pairs(ended);
    collect_clean();
    must(loam_finalizers_due() >= 2 * FEWEST);
    loam_finalizers_run(SIZE_MAX);
    for (long i = 0; i < COUNT; i++) {
        must(ended[i] <= 1);
        must(moved[i] == NULL || moved[i]->value == -1);
    }
    must(loam_finalizers_due() == 0);
}

// Every second is freed while it waits at the guardian.
static void scene_freed_while_guarded(void) {
    struct loam_guardian *guardian = loam_guardian_new();
    struct loam_weak **weak = loam_new_array(struct loam_weak *, COUNT);
    size_t count = 0;
    const struct node *n;
    must(guardian != NULL && weak != NULL);
    for (long i = 0; i < COUNT; i++) {
        weak[i] = guard_one(guardian, i);
    }
    collect_clean();
    for (long i = 0; i < COUNT; i += 2) {
        loam_free(loam_weak_get(weak[i]));
        node_new(-1); // in its place
    }
    while ((n = loam_guardian_next(guardian)) != NULL) {
        must(n->value % 2 == 1);
        count++;
    }
    must(count >= FEWEST / 2 && count <= COUNT / 2);
}

static void what_is_freed_while_its_call_is_due_is_left_out(void **state) {
    (void)state;
    const char *const scenes[] = {"freed while due", "freed while guarded"};
    for (size_t i = 0; i < 2; i++) {
        const struct outcome *o = scene_play(scenes[i], (const char *[]){NULL});
        assert_string_equal(o->err, "");
        assert_int_equal(o->exit_code, 0);
    }
}

enum { MANY_DUE = 5000 };

static uint32_t is_enough; // atomic

// Fills what is free, and collects as well.
static void *make_and_collect(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&is_enough, __ATOMIC_RELAXED)) {
        for (int i = 0; i < 100; i++) {
            must(loam_new(struct node)->value == 0);
        }
        loam_collect();
    }
    return NULL;
}

struct fan {
    struct node *leaf[8];
    long number;
};
LOAM_TYPE(struct fan, leaf)

static void note_whole(void *object, void *argument) {
    const struct fan *f = object;
    must(loam_base_of(f) == f);
    for (int i = 0; i < 8; i++) {
        must(loam_base_of(f->leaf[i]) == f->leaf[i]);
        must(f->leaf[i]->value == f->number + i);
    }
    ++*(size_t *)argument;
}

static OWN_FRAME void make_due(size_t *count) {
    for (long i = 0; i < MANY_DUE; i++) {
        struct fan *f = loam_new(struct fan);
        f->number = i;
        for (int j = 0; j < 8; j++) {
            f->leaf[j] = node_new(i + j);
        }
        must(loam_finalize(f, note_whole, count) == 0);
    }
}

// Who asks for a collection hurries the one under way, while what is due is
// being marked, which is more than fits the mark stack of a small build.
static void scene_due_in_haste(void) {
    pthread_t thread;
    size_t count = 0;
    loam_finalizers_on_demand(NULL, NULL);
    make_due(&count);
    collect_clean();
    must(loam_finalizers_due() >= MANY_DUE - SURVIVORS_SLACK);
    must(pthread_create(&thread, NULL, make_and_collect, NULL) == 0);
    for (useconds_t i = 0; i < 40; i++) {
        // Into the middle of one of the other thread's markings, of which no
        // event tells: it is over, or not begun, at those there are.
        usleep(i * 50);
        loam_collect();
    }
    __atomic_store_n(&is_enough, 1, __ATOMIC_RELAXED);
    must(pthread_join(thread, NULL) == 0);
    loam_finalizers_run(SIZE_MAX);
    must(count >= MANY_DUE - SURVIVORS_SLACK);
    loam_verify();
}

static void what_is_due_survives_markings_in_haste(void **state) {
    (void)state;
    const char *const settings[] = {"LOAM_CONCURRENT=on", NULL};
    const struct outcome *o = scene_play("due in haste", settings);
    assert_string_equal(o->err, "");
    assert_int_equal(o->exit_code, 0);
}

static void print_value(void *object, void *argument) {
    (void)argument;
    printf("%ld\n", ((struct node *)object)->value);
    fflush(stdout);
}

static void scene_at_exit(void) {
    for (long i = 0; i < 5; i++) {
        held[i] = node_new(i);
        must(loam_finalize(held[i], print_value, NULL) == 0);
    }
    exit(0);
}

static void at_exit_the_newest_comes_first_if_asked_for(void **state) {
    (void)state;
    const struct outcome *o = scene_play(
        "at exit", (const char *[]){"LOAM_FINALIZE_AT_EXIT=on", NULL});
    assert_string_equal(o->out, "4\n3\n2\n1\n0\n");
    o = scene_play("at exit", (const char *[]){NULL});
    assert_string_equal(o->out, "");
}

static sem_t gate;  // opened for the finalizers that block
static sem_t begun; // when one has

static void block(void *object, void *argument) {
    (void)object;
    (void)argument;
    must(sem_post(&begun) == 0);
    must(sem_wait(&gate) == 0);
}

#define BLOCKING 20

static OWN_FRAME void make_blocking(void) {
    for (int i = 0; i < BLOCKING; i++) {
        must(loam_finalize(node_new(0), block, NULL) == 0);
    }
}

static void scene_slow(void) {
    must(sem_init(&gate, 0, 0) == 0 && sem_init(&begun, 0, 0) == 0);
    make_blocking();
    collect_clean();
    must(sem_wait(&begun) == 0);
    for (int i = 0; i < 100; i++) {
        loam_collect(); // is not kept waiting
    }
    must(loam_finalizers_wait(1000000) == -1);
    for (int i = 0; i < BLOCKING; i++) {
        must(sem_post(&gate) == 0);
    }
    must(loam_finalizers_wait(WAIT_NS) == 0);
}

static void a_slow_finalizer_is_reported_with_its_type(void **state) {
    (void)state;
    const struct outcome *o =
        scene_play("slow", (const char *[]){"LOAM_FINALIZER_SLOW=1us", NULL});
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->err, "struct node"));
    assert_non_null(strstr(o->err, "slow finalizer"));
    o = scene_play("slow", (const char *[]){"LOAM_FINALIZER_SLOW=off", NULL});
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->err, "");
}

static const struct scene scenes[] = {
    {"on demand", scene_on_demand},
    {"freed while due", scene_freed_while_due},
    {"freed while guarded", scene_freed_while_guarded},
    {"due in haste", scene_due_in_haste},
    {"at exit", scene_at_exit},
    {"slow", scene_slow}};

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finalizer_is_called_once_for_each_dead_object),
        cmocka_unit_test(
            finalizers_of_young_objects_come_with_minor_collections),
        cmocka_unit_test(living_objects_are_not_finalized),
        cmocka_unit_test(a_freed_object_is_not_finalized),
        cmocka_unit_test(what_is_due_survives_markings_in_haste),
        cmocka_unit_test(what_is_freed_while_its_call_is_due_is_left_out),
        cmocka_unit_test(a_finalizer_follows_an_object_that_realloc_moves),
        cmocka_unit_test(
            what_realloc_has_moved_is_finalized_after_a_minor_collection),
        cmocka_unit_test(all_objects_of_a_cycle_are_finalized),
        cmocka_unit_test(what_a_dead_object_refers_to_is_whole),
        cmocka_unit_test(
            an_object_that_is_raised_lives_and_is_not_finalized_again),
        cmocka_unit_test(a_finalizer_may_arm_its_object_again),
        cmocka_unit_test(
            long_references_outlast_finalizers_and_short_ones_do_not),
        cmocka_unit_test(a_reference_that_only_the_dead_object_had_still_works),
        cmocka_unit_test(ordered_finalizers_of_referrers_come_first),
        cmocka_unit_test(an_ordered_cycle_is_finalized_all_the_same),
        cmocka_unit_test(a_finalizer_may_allocate_and_collect),
        cmocka_unit_test(a_finalizer_has_as_much_stack_as_any_thread),
        cmocka_unit_test(a_finalizer_may_make_threads),
        cmocka_unit_test(a_finalizer_may_fork),
        cmocka_unit_test(a_child_finalizes_what_dies_in_it),
        cmocka_unit_test(waiting_within_a_finalizer_is_refused),
        cmocka_unit_test(what_is_no_object_cannot_be_finalized),
        cmocka_unit_test(a_guardian_returns_each_dead_object_once),
        cmocka_unit_test(what_a_dead_guardian_guarded_is_collected),
        cmocka_unit_test(what_a_gone_guardian_guarded_is_nobody_elses),
        cmocka_unit_test(a_freed_guardian_forgets_what_waits),
        cmocka_unit_test(the_program_may_call_finalizers_itself),
        cmocka_unit_test(at_exit_the_newest_comes_first_if_asked_for),
        cmocka_unit_test(a_slow_finalizer_is_reported_with_its_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
