// SPDX-License-Identifier: MIT
// phases_test.c: forks, signals, threads and libraries that come at any phase of
// a collection.
//
// Threads make, link and check a graph that all of them share, while collections
// of every kind run; meanwhile something happens over and over that the
// collector must expect at every moment. How often is counted, not timed: what
// phase it falls into is left to chance.

#include <dlfcn.h>
#include <loam.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
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

#define SLOTS 256
#define LINKS 2
#define WORKERS 2
#define CHILD_TIMEOUT_S 60
#define LIBRARY_WORDS 100

// What a knot is does not change; only its links do, and in one store each, so
// that any thread may follow them at any time.
struct knot {
    struct knot *links[LINKS];
    uint64_t *proof; // a leaf
    uint64_t serial;
    uint64_t sum;
};
LOAM_TYPE(struct knot, links, proof)

static struct knot *slots[SLOTS];
static _Thread_local struct knot *tls_slots[8];
static int is_over;
static uint64_t base_seed;

// A child inherits the loader's locks as they are, and libc has no way to free
// them: a program must not fork while another of its threads opens a library.
static pthread_mutex_t loader = PTHREAD_MUTEX_INITIALIZER;

// ---- The graph -------------------------------------------------------------------

static uint64_t knot_sum(uint64_t serial) {
    return (serial ^ UINT64_C(0x6E0773D5EED)) * UINT64_C(0x9E3779B97F4A7C15);
}

static struct knot *knot_load(struct knot **place) {
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static void knot_store(struct knot **place, struct knot *knot) {
    __atomic_store_n(place, knot, __ATOMIC_RELEASE);
}

static void knot_check(const struct knot *k) {
    if (k->sum != knot_sum(k->serial) || k->proof == NULL ||
        k->proof[k->serial % 4] != ~k->sum) {
        fprintf(stderr,
                "phases: knot %p is broken: serial %#llx, sum %#llx, proof %p; "
                "the heap knows it as %p of %zu bytes\n",
                (const void *)k, (unsigned long long)k->serial,
                (unsigned long long)k->sum, (const void *)k->proof,
                loam_base_of(k), loam_size_of(k));
        abort();
    }
}

static void graph_walk(struct chance *chance, struct knot *from, size_t steps) {
    for (size_t i = 0; from != NULL && i < steps; i++) {
        knot_check(from);
        from = knot_load(&from->links[chance_below(chance, LINKS)]);
    }
}

static struct knot **graph_slot(struct chance *chance) {
    return &slots[chance_below(chance, SLOTS)];
}

// With fewer than one link each on average the graph does not grow for ever.
static struct knot *graph_make(struct chance *chance) {
    struct knot *k = loam_new(struct knot);
    must(k != NULL);
    k->serial = chance_below(chance, UINT32_MAX);
    k->sum = knot_sum(k->serial);
    size_t bytes = chance_below(chance, 40) == 0 ? 9000 : 32;
    k->proof = loam_alloc_leaf(bytes);
    must(k->proof != NULL);
    k->proof[k->serial % 4] = ~k->sum;
    for (size_t i = 0; i < LINKS; i++) {
        if (chance_below(chance, 3) == 0) {
            k->links[i] = knot_load(graph_slot(chance));
        }
    }
    return k;
}

static void graph_link(struct chance *chance) {
    struct knot *from = knot_load(graph_slot(chance));
    struct knot *to =
        chance_below(chance, 3) == 0 ? knot_load(graph_slot(chance)) : NULL;
    if (from != NULL) {
        knot_check(from);
        knot_store(&from->links[chance_below(chance, LINKS)], to);
    }
}

// What was in a slot is for a while in a register only.
static void graph_move(struct chance *chance) {
    struct knot *taken =
        __atomic_exchange_n(graph_slot(chance), NULL, __ATOMIC_ACQ_REL);
    if (taken != NULL) {
        knot_check(taken);
        knot_store(graph_slot(chance), taken);
    }
}

static OWN_FRAME void graph_step(struct chance *chance) {
    switch (chance_below(chance, 8)) {
    case 0:
    case 1:
    case 2:
        knot_store(graph_slot(chance), graph_make(chance));
        break;
    case 3:
        graph_link(chance);
        break;
    case 4:
        graph_move(chance);
        break;
    case 5: {
        struct knot **mine = &tls_slots[chance_below(chance, 8)];
        graph_walk(chance, *mine, 5);
        *mine = knot_load(graph_slot(chance));
        break;
    }
    default:
        graph_walk(chance, knot_load(graph_slot(chance)), 10);
        break;
    }
}

static OWN_FRAME void graph_steps(uint64_t seed, size_t count) {
    struct chance chance = chance_start(seed);
    for (size_t i = 0; i < count; i++) {
        graph_step(&chance);
    }
}

static void graph_check_all(void) {
    struct chance chance = chance_start(1);
    for (size_t i = 0; i < SLOTS; i++) {
        graph_walk(&chance, knot_load(&slots[i]), 20);
    }
}

// ---- Threads beside what happens ------------------------------------------------

static void *work(void *argument) {
    uint64_t seed = base_seed + (uintptr_t)argument;
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        graph_steps(++seed, 1000);
    }
    return NULL;
}

static void *collect(void *unused) {
    (void)unused;
    struct loam_stats stats;
    for (size_t i = 0; __atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0; i++) {
        i % 4 == 3 ? loam_compact() : loam_collect();
        graph_steps(++base_seed, 1000);
        loam_collect_minor();
        graph_steps(++base_seed, 1000);
        loam_verify();
        loam_stats_get(&stats);
    }
    return NULL;
}

// Runs one or more kinds of event, each on a thread of its own, until each has
// happened as often as it wants to.
static void run_beside(void *(*const *events)(void *), size_t count,
                       const char *name) {
    pthread_t workers[WORKERS];
    pthread_t collector;
    pthread_t happening[8];
    base_seed = chance_seed(name);
    is_over = 0;
    must(pthread_create(&collector, NULL, collect, NULL) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        must(pthread_create(&workers[i], NULL, work, (void *)(i << 32)) == 0);
    }
    for (size_t i = 0; i < count; i++) {
        must(pthread_create(&happening[i], NULL, events[i], NULL) == 0);
    }
    for (size_t i = 0; i < count; i++) {
        must(pthread_join(happening[i], NULL) == 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(collector, NULL) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        must(pthread_join(workers[i], NULL) == 0);
    }
    graph_check_all();
    loam_verify();
}

// ---- Events ----------------------------------------------------------------------

static void *be_a_thread(void *argument) {
    graph_steps((uintptr_t)argument, 200);
    if ((uintptr_t)argument % 8 == 0) {
        loam_collect();
    }
    return NULL;
}

static _Noreturn void be_a_child(unsigned number) {
    alarm(CHILD_TIMEOUT_S);
    graph_check_all();
    loam_verify();
    graph_steps(number, 3000);
    collect_clean();
    if (number % 3 == 0 && !place_has_tsan()) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, be_a_thread, (void *)8) == 0);
        graph_steps(number, 3000);
        must(pthread_join(thread, NULL) == 0);
    }
    graph_check_all();
    loam_verify();
    _exit(7);
}

static void *fork_on_and_on(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < place_scaled(40); i++) {
        graph_steps(i, i % 7 * 50);
        pthread_mutex_lock(&loader);
        pid_t child = fork();
        must(child >= 0);
        if (child == 0) {
            be_a_child(i);
        }
        pthread_mutex_unlock(&loader);
        int status = child_wait(child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) {
            fprintf(stderr, "phases: child %u ended with status %#x\n", i,
                    (unsigned)status);
            abort();
        }
    }
    return NULL;
}

static struct chance handler_chance = {1}; // of whichever thread is in it

static void handle(int number) {
    (void)number;
    uint64_t seed =
        __atomic_add_fetch(&handler_chance.state, 1, __ATOMIC_RELAXED);
    struct chance chance = chance_start(seed);
    for (size_t i = 0; i < 5; i++) {
        graph_step(&chance);
    }
}

// To whichever thread the system picks, and to this one.
static void *signal_on_and_on(void *unused) {
    (void)unused;
    for (size_t i = 0; i < place_scaled(1500); i++) {
        must(kill(getpid(), SIGUSR1) == 0);
        must(pthread_kill(pthread_self(), SIGUSR1) == 0);
        graph_steps(i, 10);
    }
    return NULL;
}

// One after the other, some of them left to end by themselves.
static void *be_born_on_and_on(void *unused) {
    (void)unused;
    for (uintptr_t i = 0; i < place_scaled(600); i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, be_a_thread, (void *)i) == 0);
        must((i % 4 == 1 ? pthread_detach(thread)
                         : pthread_join(thread, NULL)) == 0);
    }
    return NULL;
}

static void **library_place(void *library, const char *name) {
    void **(*place)(void) = NULL;
    *(void **)&place = dlsym(library, name);
    must(place != NULL);
    return place();
}

static OWN_FRAME void library_use(const char *path, struct chance *chance) {
    static const char *const names[] = {"plugin_data", "plugin_bss",
                                        "plugin_tls"};
    pthread_mutex_lock(&loader);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    pthread_mutex_unlock(&loader);
    must(library != NULL);
    for (size_t n = 0; n < 3; n++) {
        void **words = library_place(library, names[n]);
        for (size_t i = 0; i < LIBRARY_WORDS; i++) {
            words[i] = graph_make(chance);
        }
        graph_steps(chance_below(chance, UINT32_MAX), 300);
        for (size_t i = 0; i < LIBRARY_WORDS; i++) {
            knot_check(words[i]);
        }
    }
    pthread_mutex_lock(&loader);
    must(dlclose(library) == 0);
    pthread_mutex_unlock(&loader);
}

static void *open_on_and_on(void *unused) {
    (void)unused;
    struct chance chance = chance_start(base_seed + 77);
    for (size_t i = 0; i < place_scaled(60); i++) {
        library_use(i % 2 ? PLUGIN_PATH : PLUGIN_PLAIN_PATH, &chance);
    }
    return NULL;
}

// ---- Tests -----------------------------------------------------------------------

static void children_of_any_phase_have_a_heap_that_works(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // Its interceptors read stacks that it has not cleared yet.
    }
    run_beside((void *(*const[])(void *)){fork_on_and_on}, 1, "forks");
}

static void handlers_may_use_the_heap_at_any_phase(void **state) {
    (void)state;
    run_beside((void *(*const[])(void *)){signal_on_and_on}, 1, "signals");
}

static void threads_may_be_born_and_die_at_any_phase(void **state) {
    (void)state;
    run_beside((void *(*const[])(void *)){be_born_on_and_on}, 1, "births");
}

static void libraries_may_come_and_go_at_any_phase(void **state) {
    (void)state;
    run_beside((void *(*const[])(void *)){open_on_and_on}, 1, "libraries");
}

static void all_of_it_may_happen_at_once(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // As above.
    }
    run_beside((void *(*const[])(void *)){fork_on_and_on, signal_on_and_on,
                                          be_born_on_and_on, open_on_and_on},
               4, "all at once");
}

// What was left to chance has come: each kind of collection that may be.
static void every_kind_of_collection_has_run(void **state) {
    (void)state;
    struct loam_stats stats;
    loam_stats_get(&stats);
    assert_true(stats.full_count + stats.concurrent_count > 0);
    if (getenv("LOAM_TORTURE") == NULL && !place_has_asan()) {
        // There is no room between others' collections, or no time.
        assert_true(stats.moved_count > 0);
    }
    if (strcmp(loam_track_name(), "none") == 0) {
        return; // all that is old counts as written, always
    }
    if (loam_generations_get() == LOAM_ON) {
        assert_true(stats.minor_count > 0);
    }
    if (loam_concurrent_get() == LOAM_ON) {
        assert_true(stats.concurrent_count > 0);
    }
}

int main(void) {
    // Collections as often as may be.
    loam_heap_min_set(1);
    loam_growth_set(1);
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_of_any_phase_have_a_heap_that_works),
        cmocka_unit_test(handlers_may_use_the_heap_at_any_phase),
        cmocka_unit_test(threads_may_be_born_and_die_at_any_phase),
        cmocka_unit_test(libraries_may_come_and_go_at_any_phase),
        cmocka_unit_test(all_of_it_may_happen_at_once),
        cmocka_unit_test(every_kind_of_collection_has_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
