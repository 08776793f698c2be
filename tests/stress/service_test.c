// SPDX-License-Identifier: MIT
// service_test.c: threads that replace what they hold, close to the limit, with
// handlers, levels and collections of all kinds in between.

#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/body.h"
#include "support/chance.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define MIB ((size_t)1 << 20)

enum { THREADS = 4, HELD = 1000 };

struct shelf {
    struct body *held[HELD];
};
LOAM_TYPE(struct shelf, held)

struct worker {
    pthread_t thread;
    struct chance chance;
    struct shelf *shelf;
    size_t steps;
    size_t failed;
};

static struct worker workers[THREADS];

// No links: each body is held by its place alone.
static struct body *body_alone(struct worker *w, size_t i) {
    struct body *b = body_new(&w->chance, i, 1000);
    if (b) {
        b->links[0] = b->links[1] = b->links[2] = NULL;
    }
    return b;
}

static void *work(void *argument) {
    struct worker *w = argument;
    for (size_t i = 0; i < w->steps; i++) {
        size_t at = chance_below(&w->chance, HELD);
        struct body *b = body_alone(w, i);
        if (w->shelf->held[at]) {
            body_check(w->shelf->held[at]);
        }
        w->failed += b == NULL;
        if (b || w->failed % 4 == 0) {
            w->shelf->held[at] = b;
        }
    }
    return NULL;
}

static void shelves_fill(void) {
    for (size_t t = 0; t < THREADS; t++) {
        workers[t].shelf = loam_new(struct shelf);
        must(workers[t].shelf != NULL);
        for (size_t i = 0; i < HELD; i++) {
            workers[t].shelf->held[i] = body_alone(&workers[t], i);
            must(workers[t].shelf->held[i] != NULL);
        }
    }
}

static size_t live_bytes(void) {
    struct loam_stats stats;
    collect_clean();
    loam_stats_get(&stats);
    return (size_t)stats.live_bytes;
}

static size_t serve(const char *name, size_t steps) {
    uint64_t seed = chance_seed(name);
    size_t failed = 0;
    for (size_t t = 0; t < THREADS; t++) {
        workers[t].chance = chance_start(seed + t);
        workers[t].steps = place_scaled(steps);
        workers[t].failed = 0;
    }
    for (size_t t = 0; t < THREADS; t++) {
        must(pthread_create(&workers[t].thread, NULL, work, &workers[t]) == 0);
    }
    for (size_t t = 0; t < THREADS; t++) {
        must(pthread_join(workers[t].thread, NULL) == 0);
        failed += workers[t].failed;
    }
    loam_verify();
    return failed;
}

static int before(void **state) {
    (void)state;
    for (size_t t = 0; t < THREADS; t++) {
        workers[t].chance = chance_start(t);
    }
    shelves_fill();
    return 0;
}

static int after(void **state) {
    (void)state;
    for (size_t t = 0; t < THREADS; t++) {
        workers[t].shelf = NULL;
    }
    loam_heap_max_set(0);
    loam_soft_limit_set(0);
    loam_oom_handler_set(NULL, NULL);
    return 0;
}

// Sizes are spread, so blocks of each size are partly filled: that is what the
// tenth is for, and each thread has blocks of its own.
static void a_service_with_a_tenth_to_spare_is_never_refused(void **state) {
    (void)state;
    size_t live = live_bytes();
    loam_heap_max_set(live / 10 * 11 + THREADS * MIB);
    assert_int_equal(serve("a_service_with_a_tenth_to_spare", 200000), 0);
}

static void a_service_keeps_to_a_soft_limit_it_fits(void **state) {
    (void)state;
    size_t live = live_bytes();
    loam_trim();
    loam_soft_limit_set(live * 2);
    assert_int_equal(serve("a_service_keeps_to_a_soft_limit", 100000), 0);
}

static int handler_counts(size_t bytes, void *argument) {
    struct shelf *shelf = workers[bytes % THREADS].shelf;
    (*(size_t *)argument)++;
    // Room for a while, sometimes.
    for (size_t i = 0; i < HELD && bytes % 3 == 0; i += 8) {
        shelf->held[i] = NULL;
    }
    return bytes % 3 == 0;
}

static void a_service_that_does_not_fit_fails_now_and_then(void **state) {
    (void)state;
    static size_t asked;
    size_t live = live_bytes();
    loam_oom_handler_set(handler_counts, &asked);
    loam_heap_max_set(live / 10 * 7);
    assert_null(loam_alloc_leaf(live));
    size_t failed = serve("a_service_that_does_not_fit", 2000);
    assert_true(asked > 0);
    print_message("asked %zu times, failed %zu times\n", asked, failed);
}

#define SERVICE(test) cmocka_unit_test_setup_teardown(test, before, after)

int main(void) {
    const struct CMUnitTest tests[] = {
        SERVICE(a_service_with_a_tenth_to_spare_is_never_refused),
        SERVICE(a_service_keeps_to_a_soft_limit_it_fits),
        SERVICE(a_service_that_does_not_fit_fails_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
