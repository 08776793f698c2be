// SPDX-License-Identifier: MIT
// threads_test.c: threads that build, change, share and check graphs.
//
// Every object is a body, which knows its own address and contents. A cell
// handed out twice, a live object freed, memory that comes unzeroed: each is
// met by a check sooner or later, and aborts with what it saw.

#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define SLOTS 48  // bodies that a thread holds on its stack
#define SHARED 64 // bodies that all threads exchange
#define THREADS_LIMIT 16
#define TAG_SHARED UINT64_C(0x5000000000000000)

struct worker {
    pthread_t thread;
    uint64_t seed;
    size_t step_count;
    size_t max_bytes;
    unsigned number;
};

static struct body *shared[SHARED];
static _Thread_local struct body *in_tls[8];

// One thread's graph: some on the stack, some behind a heap object.
struct graph {
    struct body *slots[SLOTS];
    struct body **behind; // an array of SLOTS, in the heap
    struct chance chance;
    const struct worker *worker;
};

static struct body **graph_slot(struct graph *g) {
    uint64_t i = chance_below(&g->chance, 2 * SLOTS);
    return i < SLOTS ? &g->slots[i] : &g->behind[i - SLOTS];
}

static void graph_make(struct graph *g) {
    struct body *b =
        body_new(&g->chance, g->worker->number, g->worker->max_bytes);
    if (b == NULL) {
        must(loam_last_status() == LOAM_HEAP_FULL ||
             loam_last_status() == LOAM_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < BODY_LINKS; i++) {
        if (chance_below(&g->chance, 3) == 0) {
            b->links[i] = *graph_slot(g);
        }
    }
    *graph_slot(g) = b;
}

static void graph_relink(struct graph *g) {
    struct body *from = *graph_slot(g);
    if (from != NULL) {
        body_check(from);
        from->links[chance_below(&g->chance, BODY_LINKS)] = *graph_slot(g);
    }
}

static void graph_walk(struct graph *g) {
    struct body *from = *graph_slot(g);
    if (from != NULL) {
        struct body *last = body_walk(&g->chance, from, 40);
        must(last->tag == g->worker->number);
    }
}

static void graph_cut(struct graph *g) {
    struct body *from = *graph_slot(g);
    if (from != NULL && chance_below(&g->chance, 2) == 0) {
        memset(from->links, 0, sizeof from->links);
    }
    *graph_slot(g) = NULL;
}

// Makes a body that nobody else knows, and frees it by hand.
static void graph_free_one(struct graph *g) {
    struct body *b = body_new(&g->chance, ~UINT64_C(0), 3000);
    if (b != NULL) {
        body_check(b);
        body_wipe(b);
        loam_free(b);
    }
}

// Lays a body before all threads, and looks at what others have laid there.
static void graph_exchange(struct graph *g) {
    struct body *mine = body_new(&g->chance, TAG_SHARED, 500);
    if (mine == NULL) {
        return;
    }
    size_t at = chance_below(&g->chance, SHARED);
    struct body *other =
        __atomic_exchange_n(&shared[at], mine, __ATOMIC_ACQ_REL);
    if (other != NULL) {
        body_check(other);
        must(other->tag == TAG_SHARED);
        // Only we have it now, so we may write to it and free it.
        if (chance_below(&g->chance, 2) == 0) {
            body_wipe(other);
            loam_free(other);
        }
    }
}

static void graph_keep_in_tls(struct graph *g) {
    size_t at = chance_below(&g->chance, 8);
    if (in_tls[at] != NULL) {
        body_walk(&g->chance, in_tls[at], 20);
    }
    in_tls[at] = *graph_slot(g);
}

static void graph_step(struct graph *g) {
    uint64_t what = chance_below(&g->chance, 1000);
    if (what < 450) {
        graph_make(g);
    } else if (what < 600) {
        graph_relink(g);
    } else if (what < 760) {
        graph_walk(g);
    } else if (what < 880) {
        graph_cut(g);
    } else if (what < 940) {
        graph_exchange(g);
    } else if (what < 970) {
        graph_free_one(g);
    } else if (what < 998) {
        graph_keep_in_tls(g);
    } else if (what < 999 || chance_below(&g->chance, 8) != 0) {
        loam_blocking_begin();
        loam_blocking_end();
    } else {
        loam_collect();
    }
}

static OWN_FRAME void *work(void *argument) {
    struct graph g = {.worker = argument};
    g.chance = chance_start(g.worker->seed);
    g.behind = loam_new_array(struct body *, SLOTS);
    must(g.behind != NULL);
    for (size_t i = 0; i < g.worker->step_count; i++) {
        graph_step(&g);
    }
    for (size_t i = 0; i < 2 * SLOTS; i++) {
        struct body *b = i < SLOTS ? g.slots[i] : g.behind[i - SLOTS];
        if (b != NULL) {
            body_walk(&g.chance, b, 200);
        }
    }
    memset(in_tls, 0, sizeof in_tls);
    return NULL;
}

static void run_workers(const char *name, unsigned count, size_t step_count,
                        size_t max_bytes) {
    static struct worker workers[THREADS_LIMIT];
    uint64_t seed = chance_seed(name);
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (struct worker){
            .seed = seed + i,
            .step_count = place_scaled(step_count) / count,
            .max_bytes = max_bytes,
            .number = i,
        };
        must(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < count; i++) {
        must(pthread_join(workers[i].thread, NULL) == 0);
    }
    memset(shared, 0, sizeof shared);
    loam_verify();
}

static void one_thread_keeps_its_graph(void **state) {
    (void)state;
    run_workers("one thread", 1, 600000, 20000);
}

static void two_threads_keep_their_graphs(void **state) {
    (void)state;
    run_workers("two threads", 2, 900000, 20000);
}

static void sixteen_threads_keep_their_graphs(void **state) {
    (void)state;
    run_workers("sixteen threads", 16, 900000, 3000);
}

static void large_objects_are_kept_too(void **state) {
    (void)state;
    run_workers("large objects", 4, 60000, 1000000);
}

static void a_heap_that_always_collects_keeps_the_graphs(void **state) {
    (void)state;
    size_t min = loam_heap_min_get();
    loam_heap_min_set(1);
    loam_growth_set(5);
    run_workers("tight heap", 3, 250000, 5000);
    loam_growth_set(100);
    loam_heap_min_set(min);
}

static void a_full_heap_keeps_the_graphs(void **state) {
    (void)state;
    loam_collect();
    loam_heap_max_set((size_t)3 << 20);
    run_workers("full heap", 3, 150000, 60000);
    loam_heap_max_set(0);
}

// ---- One makes, another frees --------------------------------------------------

static void *make_and_free_for_others(void *argument) {
    const struct worker *worker = argument;
    struct chance chance = chance_start(worker->seed);
    struct body *mine[8] = {NULL};
    for (size_t i = 0; i < worker->step_count; i++) {
        struct body *b = body_new(&chance, TAG_SHARED, 100);
        must(b != NULL);
        if (mine[i % 8] != NULL) {
            body_check(mine[i % 8]);
        }
        mine[i % 8] = b;
        // Another one changes hands and is freed by who gets it.
        b = body_new(&chance, TAG_SHARED, 100);
        must(b != NULL);
        size_t at = chance_below(&chance, SHARED);
        b = __atomic_exchange_n(&shared[at], b, __ATOMIC_ACQ_REL);
        if (b != NULL) {
            body_check(b);
            body_wipe(b);
            loam_free(b);
        }
        if (chance_below(&chance, 3000) == 0) {
            loam_collect();
        }
    }
    return NULL;
}

static void objects_are_freed_by_other_threads(void **state) {
    (void)state;
    static struct worker workers[4];
    uint64_t seed = chance_seed("freed by others");
    size_t min = loam_heap_min_get();
    loam_heap_min_set(1);
    for (size_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){
            .seed = seed + i,
            .step_count = place_scaled(120000),
        };
        must(pthread_create(&workers[i].thread, NULL, make_and_free_for_others,
                            &workers[i]) == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        must(pthread_join(workers[i].thread, NULL) == 0);
    }
    memset(shared, 0, sizeof shared);
    loam_heap_min_set(min);
    loam_verify();
}

// Frees many large objects, oldest first, while others sweep the list that
// they are in, newest first: at its end the two meet.
static OWN_FRAME void free_large_ones(size_t count) {
    void **large = loam_new_array(void *, count);
    must(large != NULL);
    for (size_t i = 0; i < count; i++) {
        large[i] = loam_alloc_leaf(10000);
        must(large[i] != NULL);
    }
    for (size_t i = 0; i < count; i++) {
        void *p = large[i];
        large[i] = NULL;
        loam_free(p);
    }
}

// ---- Collectors against mutators --------------------------------------------

static int is_over;

static void *collect_on_and_on(void *argument) {
    size_t *count = argument;
    // Whose turn it is among several is not promised.
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0 || *count == 0) {
        loam_collect();
        (*count)++;
    }
    return NULL;
}

static void several_threads_may_ask_for_collections_at_once(void **state) {
    (void)state;
    pthread_t threads[3];
    size_t counts[3] = {0};
    is_over = 0;
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, collect_on_and_on, &counts[i]) ==
             0);
    }
    run_workers("many collectors", 2, 100000, 2000);
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
        assert_true(counts[i] > 0);
    }
}

static void *ask_for_figures(void *argument) {
    struct loam_stats stats;
    size_t *count = argument;
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        loam_stats_get(&stats);
        (*count)++;
    }
    return NULL;
}

static void *allocate_and_end(void *argument) {
    (void)argument;
    must(loam_alloc(100) != NULL);
    return NULL;
}

// A thread that ends gives its cache back while it cannot be stopped.
static void figures_may_be_asked_for_while_threads_end(void **state) {
    (void)state;
    pthread_t asking;
    pthread_t collecting;
    size_t counts[2] = {0};
    is_over = 0;
    must(pthread_create(&asking, NULL, ask_for_figures, &counts[0]) == 0);
    must(pthread_create(&collecting, NULL, collect_on_and_on, &counts[1]) == 0);
    for (size_t i = 0; i < place_scaled(4000); i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, allocate_and_end, NULL) == 0);
        must(pthread_join(thread, NULL) == 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(asking, NULL) == 0);
    must(pthread_join(collecting, NULL) == 0);
    assert_true(counts[0] > 0 && counts[1] > 0);
}

static void large_objects_may_be_freed_while_they_are_swept(void **state) {
    (void)state;
    pthread_t thread;
    size_t count = 0;
    is_over = 0;
    must(pthread_create(&thread, NULL, collect_on_and_on, &count) == 0);
    // One beside the program may take longer than all this.
    for (size_t i = 0;
         i < 100 || __atomic_load_n(&count, __ATOMIC_RELAXED) == 0; i++) {
        free_large_ones(place_scaled(1000));
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(thread, NULL) == 0);
    loam_verify();
}

static void *ask_about_everything(void *argument) {
    struct chance chance = chance_start(99);
    size_t *count = argument;
    struct loam_stats stats;
    struct loam_type_stats types[16];
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        loam_stats_get(&stats);
        loam_type_stats_get(types, COUNT_OF(types));
        uintptr_t at = (uintptr_t)shared[chance_below(&chance, SHARED)];
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        const void *p = (const void *)(at + chance_below(&chance, 100000));
        const char *base = loam_base_of(p);
        must(base == NULL || base <= (const char *)p);
        loam_size_of(p);
        loam_type_of(p);
        if (chance_below(&chance, 1000) == 0) {
            loam_verify();
            loam_trim();
        }
        (*count)++;
    }
    return NULL;
}

static void questions_may_be_asked_at_any_time(void **state) {
    (void)state;
    if (place_has_tsan()) {
        skip(); // loam_base_of of an object that others free is a race.
    }
    pthread_t thread;
    size_t count = 0;
    is_over = 0;
    must(pthread_create(&thread, NULL, ask_about_everything, &count) == 0);
    run_workers("questions", 2, 200000, 20000);
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(thread, NULL) == 0);
    assert_true(count > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_keeps_its_graph),
        cmocka_unit_test(two_threads_keep_their_graphs),
        cmocka_unit_test(sixteen_threads_keep_their_graphs),
        cmocka_unit_test(large_objects_are_kept_too),
        cmocka_unit_test(a_heap_that_always_collects_keeps_the_graphs),
        cmocka_unit_test(a_full_heap_keeps_the_graphs),
        cmocka_unit_test(objects_are_freed_by_other_threads),
        cmocka_unit_test(several_threads_may_ask_for_collections_at_once),
        cmocka_unit_test(figures_may_be_asked_for_while_threads_end),
        cmocka_unit_test(large_objects_may_be_freed_while_they_are_swept),
        cmocka_unit_test(questions_may_be_asked_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
