// SPDX-License-Identifier: MIT
// last_test.c: collect/last.h, with parts of the library that hold things softly
// made up; and collect/room.h on a system that is short of memory.

#include "collect/last.h"

#include "collect/pace.h"
#include "collect/room.h"
#include "os/pressure.h"
#include "support/framework.h"
#include "support/survivors.h"

#include <loam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

enum { HELD = 40 };
static void **softly_held;
static char order[64];

static uint64_t full_count(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return stats.full_count + stats.concurrent_count;
}

static void note(char what) {
    size_t n = strlen(order);
    order[n] = what;
    order[n + 1] = '\0';
}

// As soft references would be cleared.
static bool clear_softly_held(void) {
    bool has_some = softly_held != NULL;
    must(lm_self->inside == 0); // it may lock, and free
    note('s');
    // A stale word may refer to the list.
    for (size_t i = 0; has_some && i < HELD; i++) {
        softly_held[i] = NULL;
    }
    softly_held = NULL;
    return has_some;
}

static bool hold_nothing(void) {
    note('p');
    return false;
}

static int handler(size_t bytes, void *argument) {
    (void)bytes;
    (void)argument;
    note('h');
    return 0;
}

static OWN_FRAME void fill_softly(void) {
    softly_held = loam_alloc(HELD * sizeof *softly_held);
    for (size_t i = 0; i < HELD; i++) {
        softly_held[i] = loam_alloc(MIB / 4);
        must(softly_held[i] != NULL);
    }
}

static void what_is_softly_held_goes_before_an_allocation_fails(void **state) {
    (void)state;
    loam_heap_max_set(16 * MIB);
    fill_softly();
    stack_clear();
    uint64_t before = full_count();
    char *volatile p = loam_alloc(10 * MIB);
    assert_non_null(p);
    assert_null(softly_held);
    assert_true(full_count() > before);
    assert_string_equal(order, "s");
    p = NULL;
}

static void the_handler_comes_after_all_that_and_then_the_end(void **state) {
    (void)state;
    static void *kept;
    collect_clean();
    kept = loam_alloc(10 * MIB);
    assert_non_null(kept);
    order[0] = '\0';
    loam_oom_handler_set(handler, NULL);
    assert_null(loam_alloc(10 * MIB));
    assert_int_equal(loam_last_status(), LOAM_HEAP_FULL);
    assert_string_equal(order, "sph");
    loam_oom_handler_set(NULL, NULL);
    loam_keep_alive(kept);
    kept = NULL;
    loam_heap_max_set(0);
}

// A program that allocates little in its time: collecting costs it nothing.
static void work_slowly(void) {
    for (unsigned i = 0; i < 8; i++) {
        clock_t until = clock() + CLOCKS_PER_SEC / 20;
        for (unsigned n = 0; n < 300; n++) {
            must(loam_alloc(1000) != NULL);
        }
        while (clock() < until) {
        }
        loam_collect();
    }
}

static void a_system_short_of_memory_makes_budgets_smaller(void **state) {
    (void)state;
    char root[] = "/tmp/loam_last_XXXXXX";
    char path[128];
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/memory.pressure", root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("some avg10=55.00 avg60=1.00 avg300=0.00 total=9\n", file);
    fclose(file);
    loam_heap_min_set(64 * MIB);
    struct loam_stats before;
    struct loam_stats after;
    work_slowly();
    loam_stats_get(&before);
    lm_pressure_open("", root);
    assert_true(lm_room_look(0));
    lm_pace_change();
    loam_stats_get(&after);
    assert_true(before.next_collection_bytes > 50 * MIB);
    assert_in_range(after.next_collection_bytes, MIB, 33 * MIB);
    unlink(path);
    rmdir(root);
}

int main(void) {
    lm_last_listen(clear_softly_held);
    lm_last_listen(clear_softly_held); // twice is once
    lm_last_listen(hold_nothing);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_softly_held_goes_before_an_allocation_fails),
        cmocka_unit_test(the_handler_comes_after_all_that_and_then_the_end),
        cmocka_unit_test(a_system_short_of_memory_makes_budgets_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
