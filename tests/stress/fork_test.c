// SPDX-License-Identifier: MIT
// fork_test.c: fork in programs whose other threads are allocating.

#include <loam.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

// A child that hangs is ended by SIGALRM after this long.
#define CHILD_TIMEOUT_S 30

static struct body *kept[200];
static int is_over;

static OWN_FRAME void fill_kept(uint64_t seed) {
    struct chance chance = chance_start(seed);
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        kept[i] = body_new(&chance, seed, 3000);
        must(kept[i] != NULL);
        kept[i]->links[0] = kept[i / 2];
    }
}

static OWN_FRAME void check_kept(void) {
    struct chance chance = chance_start(1);
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        body_walk(&chance, kept[i], 20);
    }
}

static OWN_FRAME void allocate_for_a_while(uint64_t seed, size_t count) {
    struct chance chance = chance_start(seed);
    struct body *ring[32] = {NULL};
    for (size_t i = 0; i < count; i++) {
        struct body *b = body_new(&chance, i, 5000);
        must(b != NULL);
        b->links[0] = ring[chance_below(&chance, 32)];
        b->links[1] = NULL;
        ring[i % 32] = b;
        if (i % 3 == 0) {
            b->links[0] = NULL;
        }
        body_walk(&chance, b, 5);
    }
}

static void *allocate_until_over(void *argument) {
    for (size_t i = 0; __atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0; i++) {
        allocate_for_a_while((uintptr_t)argument + i, 500);
        if ((uintptr_t)argument == 1) {
            loam_collect();
        }
    }
    return NULL;
}

static void *allocate_in_child_thread(void *argument) {
    allocate_for_a_while((uintptr_t)argument, 2000);
    loam_collect();
    return NULL;
}

static _Noreturn void be_a_child(bool has_threads) {
    alarm(CHILD_TIMEOUT_S);
    check_kept();
    allocate_for_a_while(3, 1000);
    collect_clean();
    check_kept();
    if (has_threads) {
        pthread_t threads[2];
        for (size_t i = 0; i < 2; i++) {
            must(pthread_create(&threads[i], NULL, allocate_in_child_thread,
                                (void *)(i + 1)) == 0);
        }
        loam_collect();
        for (size_t i = 0; i < 2; i++) {
            must(pthread_join(threads[i], NULL) == 0);
        }
    }
    check_kept();
    loam_verify();
    _exit(7);
}

static void expect_child(pid_t child) {
    must(child >= 0);
    int status = child_wait(child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) {
        print_message("the child ended with status %#x\n", (unsigned)status);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void a_child_has_a_heap_that_works(void **state) {
    (void)state;
    fill_kept(1);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            be_a_child(i % 2 == 0);
        }
        expect_child(child);
        check_kept();
        collect_clean();
    }
}

static void the_parent_of_a_fork_amid_allocations_goes_on(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // Its interceptors read stacks that it has not cleared yet.
    }
    if (place_has_tsan()) {
        skip(); // It forbids threads in a child of a program with threads.
    }
    pthread_t threads[3];
    is_over = 0;
    fill_kept(2);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, allocate_until_over,
                            (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < place_scaled(60); i++) {
        pid_t child = fork();
        if (child == 0) {
            be_a_child(i % 4 == 0);
        }
        expect_child(child);
        check_kept();
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    check_kept();
    loam_verify();
}

static void a_grandchild_works_too(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // Its interceptors read stacks that it has not cleared yet.
    }
    fill_kept(3);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_TIMEOUT_S);
        allocate_for_a_while(1, 500);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            be_a_child(true);
        }
        int status = child_wait(grandchild);
        check_kept();
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    expect_child(child);
}

static void *set_handlers_until_over(void *argument) {
    (void)argument;
    struct sigaction action = {.sa_handler = SIG_IGN};
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        must(sigaction(SIGUSR2, &action, NULL) == 0);
    }
    return NULL;
}

static void a_child_may_set_handlers_whatever_other_threads_did(void **state) {
    (void)state;
    pthread_t thread;
    is_over = 0;
    must(pthread_create(&thread, NULL, set_handlers_until_over, NULL) == 0);
    for (size_t i = 0; i < place_scaled(200); i++) {
        pid_t child = fork();
        if (child == 0) {
            struct sigaction action = {.sa_handler = SIG_IGN};
            alarm(CHILD_TIMEOUT_S);
            must(sigaction(SIGUSR2, &action, NULL) == 0);
            _exit(7);
        }
        expect_child(child);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(thread, NULL) == 0);
}

static void a_child_counts_its_own_processor_time(void **state) {
    (void)state;
    fill_kept(7);
    allocate_for_a_while(1, 20000); // and its helpers mark for a while
    for (int i = 0; i < 100; i++) {
        loam_collect();
    }
    pid_t child = fork();
    if (child == 0) {
        struct loam_stats stats;
        loam_stats_get(&stats);
        must(stats.collector_cpu_ns <= stats.process_cpu_ns);
        _exit(7);
    }
    expect_child(child);
}

static void *fork_again_and_again(void *argument) {
    for (size_t i = 0; i < place_scaled(100); i++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(7);
        }
        must(child > 0 && WEXITSTATUS(child_wait(child)) == 7);
        must(loam_alloc(100) != NULL);
    }
    return argument;
}

static void threads_may_fork_at_the_same_time(void **state) {
    (void)state;
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, fork_again_and_again, NULL) ==
             0);
    }
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    loam_collect();
}

static void *fork_from_a_thread(void *argument) {
    (void)argument;
    void *place[50];
    struct survivors list = survivors_new(50);
    fill_place(place, 50, 64, &list);
    pid_t child = fork();
    if (child == 0) {
        // The forking thread is the only one left, and its stack still counts.
        alarm(CHILD_TIMEOUT_S);
        collect_clean();
        must(survivors_count(&list) == 50);
        must(is_place_intact(place, 50, 64));
        be_a_child(false);
    }
    expect_child(child);
    must(is_place_intact(place, 50, 64));
    survivors_free(&list);
    return NULL;
}

static void any_thread_may_fork(void **state) {
    (void)state;
    fill_kept(4);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, fork_from_a_thread, NULL) == 0);
        must(pthread_join(thread, NULL) == 0);
    }
}

static void fork_and_exec_leaves_the_heap_alone(void **state) {
    (void)state;
    fill_kept(5);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
            _exit(1);
        }
        allocate_for_a_while(1, 200);
        expect_child(child);
    }
    check_kept();
}

static void threads_of_the_parent_leave_nothing_in_the_child(void **state) {
    (void)state;
    pthread_t thread;
    is_over = 0;
    must(pthread_create(&thread, NULL, allocate_until_over, (void *)5) == 0);
    fill_kept(6);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_TIMEOUT_S);
        struct loam_stats stats;
        loam_collect();
        loam_stats_get(&stats);
        must(stats.thread_count == 1);
        _exit(7);
    }
    expect_child(child);
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(thread, NULL) == 0);
}

struct elder {
    struct elder *next; // a young one
    long value;
};
LOAM_TYPE(struct elder, next)

static struct elder *elders[40000];
static size_t elder_count; // of them, in use

// The young ones take the holes between the old ones.
static OWN_FRAME void elders_renew(void) {
    for (size_t i = 0; i < elder_count; i++) {
        elders[i]->next = loam_new(struct elder);
        must(elders[i]->next != NULL);
        elders[i]->next->value = (long)i;
    }
}

static bool elders_are_well(void) {
    for (size_t i = 0; i < elder_count; i++) {
        if (elders[i]->value != -(long)i || elders[i]->next == NULL ||
            elders[i]->next->value != (long)i) {
            return false;
        }
    }
    return true;
}

static void *collect_once(void *barrier) {
    pthread_barrier_wait(barrier);
    loam_collect();
    return NULL;
}

// A marking beside the program begins with forgetting what is old. Forked before
// it, in the middle and after it.
static void a_child_forked_amid_a_marking_keeps_what_is_young(void **state) {
    (void)state;
    enum loam_choice generations = loam_generations_get();
    enum loam_choice concurrent = loam_concurrent_get();
    struct chance chance = chance_start(8);
    pthread_barrier_t barrier;
    must(pthread_barrier_init(&barrier, NULL, 2) == 0);
    elder_count = place_scaled(COUNT_OF(elders) / 2);
    elder_count =
        elder_count < COUNT_OF(elders) ? elder_count : COUNT_OF(elders);
    loam_generations_set(LOAM_ON);
    loam_concurrent_set(LOAM_ON);
    for (size_t i = 0; i < elder_count; i++) {
        elders[i] = loam_new(struct elder);
        must(elders[i] != NULL);
        elders[i]->value = -(long)i;
        must(loam_new(struct elder) != NULL); // a hole
    }
    loam_collect();
    for (size_t i = 0; i < place_scaled(60); i++) {
        pthread_t thread;
        elders_renew();
        must(pthread_create(&thread, NULL, collect_once, &barrier) == 0);
        pthread_barrier_wait(&barrier);
        for (size_t j = chance_below(&chance, elder_count); j > 0; j--) {
            must(loam_new(struct elder) != NULL); // while it goes on
        }
        pid_t child = fork();
        if (child == 0) {
            alarm(CHILD_TIMEOUT_S);
            loam_concurrent_set(LOAM_OFF);
            collect_clean();
            for (size_t j = 0; j < elder_count; j++) {
                must(loam_new(struct elder) != NULL); // where one has died
            }
            loam_verify();
            _exit(elders_are_well() ? 7 : 1);
        }
        expect_child(child);
        must(pthread_join(thread, NULL) == 0);
        assert_true(elders_are_well());
    }
    pthread_barrier_destroy(&barrier);
    memset(elders, 0, sizeof elders);
    loam_generations_set(generations);
    loam_concurrent_set(concurrent);
}

// Nobody tells the library of such a child, whose descriptors speak of its parent's
// memory. What becomes of the child is not promised; its parent lost stores.
static void a_child_of_clone_does_its_parent_no_harm(void **state) {
    (void)state;
    enum loam_choice generations = loam_generations_get();
    enum loam_choice concurrent = loam_concurrent_get();
    elder_count = place_scaled(COUNT_OF(elders) / 2);
    elder_count =
        elder_count < COUNT_OF(elders) ? elder_count : COUNT_OF(elders);
    loam_generations_set(LOAM_ON);
    loam_concurrent_set(LOAM_OFF);
    for (size_t i = 0; i < elder_count; i++) {
        elders[i] = loam_new(struct elder);
        must(elders[i] != NULL);
        elders[i]->value = -(long)i;
    }
    loam_collect();
    for (size_t i = 0; i < 10; i++) {
        elders_renew();
        loam_collect_minor();
        elders_renew(); // what a child must not make count as unwritten
        pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            alarm(2);
            loam_collect_minor();
            loam_collect();
            _exit(0);
        }
        must(child > 0);
        child_wait(child);
        loam_collect_minor();
        for (size_t j = 0; j < elder_count; j++) {
            must(loam_new(struct elder) != NULL); // where one would have died
        }
        assert_true(elders_are_well());
    }
    memset(elders, 0, sizeof elders);
    loam_generations_set(generations);
    loam_concurrent_set(concurrent);
}

#define ROUNDS 12

// No power of two is a multiple of its size: it does not end where the page of a
// reference begins, which would keep it.
struct mortal {
    uint64_t check; // ~number
    uint64_t rest[5];
};

static struct loam_weak *weaks[40000]; // to the mortals of this round
static size_t weak_count;              // of them, in use
static unsigned char deaths[ROUNDS][COUNT_OF(weaks)];

static void mortal_dies(void *object, void *argument) {
    const struct mortal *mortal = object;
    unsigned char *times = argument;
    must((size_t)(times - deaths[0]) % COUNT_OF(weaks) == ~mortal->check);
    ++*times;
}

static OWN_FRAME void mortals_renew(size_t round) {
    for (size_t i = 0; i < weak_count; i++) {
        struct mortal *mortal = loam_alloc_leaf(sizeof *mortal);
        must(mortal != NULL);
        mortal->check = ~(uint64_t)i;
        weaks[i] = loam_weak_new(mortal);
        must(weaks[i] != NULL);
        must(loam_finalize(mortal, mortal_dies, &deaths[round][i]) == 0);
    }
}

// Nobody runs a finalizer but here. After that who has died has had his, once, and
// is led to by nothing; who has not is whole. Returns how many have died.
static OWN_FRAME size_t mortals_bury(size_t round) {
    size_t count = 0;
    while (loam_finalizers_run(SIZE_MAX) > 0) {
    }
    for (size_t i = 0; i < weak_count; i++) {
        const struct mortal *mortal = loam_weak_get(weaks[i]);
        must(deaths[round][i] == (mortal == NULL));
        must(mortal == NULL || mortal->check == ~(uint64_t)i);
        count += deaths[round][i];
    }
    return count;
}

static _Noreturn void be_an_heir(size_t round) {
    alarm(CHILD_TIMEOUT_S);
    (void)mortals_bury(round); // before any collection of its own
    collect_clean();
    must(mortals_bury(round) + SURVIVORS_SLACK >= weak_count);
    loam_verify();
    _exit(7);
}

static unsigned settling_epoch(void) {
    return __atomic_load_n(&loam_weak_epoch_, __ATOMIC_ACQUIRE);
}

// Settling goes on for many parts after the epoch has changed, and a fork waits
// for no more than the part that is under way.
static void a_child_forked_amid_a_settling_finishes_it(void **state) {
    (void)state;
    pthread_barrier_t barrier;
    must(pthread_barrier_init(&barrier, NULL, 2) == 0);
    weak_count = place_scaled(COUNT_OF(weaks) / 2);
    weak_count = weak_count < COUNT_OF(weaks) ? weak_count : COUNT_OF(weaks);
    loam_finalizers_on_demand(NULL, NULL); // from here on
    for (size_t i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        mortals_renew(i);
        stack_clear();
        unsigned epoch = settling_epoch();
        must(pthread_create(&thread, NULL, collect_once, &barrier) == 0);
        pthread_barrier_wait(&barrier);
        while (settling_epoch() == epoch) {
            sched_yield();
        }
        pid_t child = fork();
        if (child == 0) {
            be_an_heir(i);
        }
        expect_child(child);
        must(pthread_join(thread, NULL) == 0);
        collect_clean();
        assert_true(mortals_bury(i) + SURVIVORS_SLACK >= weak_count);
    }
    pthread_barrier_destroy(&barrier);
    memset(weaks, 0, sizeof weaks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_a_heap_that_works),
        cmocka_unit_test(the_parent_of_a_fork_amid_allocations_goes_on),
        cmocka_unit_test(a_grandchild_works_too),
        cmocka_unit_test(a_child_may_set_handlers_whatever_other_threads_did),
        cmocka_unit_test(a_child_counts_its_own_processor_time),
        cmocka_unit_test(threads_may_fork_at_the_same_time),
        cmocka_unit_test(any_thread_may_fork),
        cmocka_unit_test(fork_and_exec_leaves_the_heap_alone),
        cmocka_unit_test(threads_of_the_parent_leave_nothing_in_the_child),
        cmocka_unit_test(a_child_forked_amid_a_marking_keeps_what_is_young),
        // Last: from then on finalizers are run on demand.
        cmocka_unit_test(a_child_of_clone_does_its_parent_no_harm),
        cmocka_unit_test(a_child_forked_amid_a_settling_finishes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
