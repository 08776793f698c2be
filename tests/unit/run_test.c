// SPDX-License-Identifier: MIT
// run_test.c: heap/run.h against a naive oracle, an array of flags.
//
// The heap of this process is set up by the library's constructor, and used
// by nobody else here.

#include "heap/run.h"

#include "base/settings.h"
#include "heap/space.h"
#include "os/memory.h"
#include "support/chance.h"
#include "support/framework.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define RUNS 300

static struct {
    size_t block;
    size_t count;
} runs[RUNS];

static unsigned char is_taken[1 << 20];

static void take(struct chance *chance, size_t i) {
    size_t count = 1 + chance_below(chance, i % 10 == 0 ? 300 : 12);
    size_t align = i % 7 == 0 ? 16 : 1;
    struct lm_run run;
    assert_int_equal(lm_run_take(count, align, LM_ZONE_SCANNED, true, &run),
                     LM_RUN_OK);
    assert_int_equal(run.block % align, 0);
    for (size_t b = run.block; b < run.block + count; b++) {
        assert_false(is_taken[b]);
        assert_false(lm_run_is_free(b));
        is_taken[b] = 1;
    }
    runs[i].block = run.block;
    runs[i].count = count;
}

static void give(size_t i) {
    lm_run_give(runs[i].block, runs[i].count, LM_ZONE_SCANNED);
    memset(is_taken + runs[i].block, 0, runs[i].count);
    runs[i].count = 0;
}

static void runs_never_overlap_and_are_found_again(void **state) {
    (void)state;
    struct chance chance = chance_start(42);
    size_t end = 0;
    for (int step = 0; step < 40000; step++) {
        size_t i = chance_below(&chance, RUNS);
        if (runs[i].count) {
            give(i);
        } else {
            take(&chance, i);
        }
        if (step == 20000) {
            end = lm_space_used_blocks();
        }
    }
    // The mix is the same, so the room of the first half is enough.
    assert_true(lm_space_used_blocks() <= end + end / 4);
    for (size_t i = 0; i < RUNS; i++) {
        if (runs[i].count) {
            give(i);
        }
    }
}

static void a_run_grows_into_what_is_free_behind_it(void **state) {
    (void)state;
    struct lm_run run;
    bool is_clean;
    assert_int_equal(lm_run_take(20, 1, LM_ZONE_SCANNED, true, &run),
                     LM_RUN_OK);
    lm_run_give(run.block + 10, 10, LM_ZONE_SCANNED);
    assert_true(lm_run_extend(run.block + 10, 5, LM_ZONE_SCANNED, &is_clean));
    assert_false(lm_run_is_free(run.block + 14));
    assert_true(lm_run_is_free(run.block + 15));
    assert_false(lm_run_extend(run.block + 12, 1, LM_ZONE_SCANNED, &is_clean));
    lm_run_give(run.block, 15, LM_ZONE_SCANNED);
}

static void blocks_given_to_the_system_read_as_zeroes(void **state) {
    (void)state;
    struct lm_run run;
    assert_int_equal(lm_run_take(64, 1, LM_ZONE_SCANNED, true, &run),
                     LM_RUN_OK);
    memset(lm_space_address(run.block), 0xa5, 64 * LM_BLOCK_BYTES);
    lm_run_give(run.block, 64, LM_ZONE_SCANNED);
    assert_true(lm_run_discard(0) >= 64 * LM_BLOCK_BYTES);
    struct lm_run again;
    assert_int_equal(lm_run_take(64, 1, LM_ZONE_SCANNED, true, &again),
                     LM_RUN_OK);
    assert_true(again.is_clean);
    const unsigned char *bytes =
        (const unsigned char *)lm_space_address(again.block);
    for (size_t i = 0; i < 64 * LM_BLOCK_BYTES; i += 512) {
        assert_int_equal(bytes[i], 0);
    }
    lm_run_give(again.block, 64, LM_ZONE_SCANNED);
}

// The kernel's flag of memory that was asked for in huge pages, at an address.
static bool is_asked_huge(uintptr_t address) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[4096];
    bool is_here = false;
    bool is_huge = false;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        uintptr_t start;
        uintptr_t end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2) {
            is_here = address >= start && address < end;
        }
        if (is_here && strncmp(line, "VmFlags:", 8) == 0) {
            is_huge = strstr(line, " hg") != NULL;
        }
    }
    fclose(f);
    return is_huge;
}

// Makes the heap so much larger that it has to be made writable, and returns an
// address in there.
static uintptr_t grow(void) {
    struct lm_run run;
    size_t count = ((size_t)128 << 20) >> LM_BLOCK_SHIFT;
    assert_int_equal(lm_run_take(count, 1, LM_ZONE_SCANNED, true, &run),
                     LM_RUN_OK);
    return (uintptr_t)lm_space_address(run.block + count - 1);
}

// A thread in the first touch of a huge page does not stop for a collection, on some
// machines for milliseconds.
static void a_first_touch_is_huge_only_where_that_is_known_to_be_quick(
    void **state) {
    (void)state;
    if (!lm_memory_has_huge_pages()) {
        skip();
    }
    grow();
    assert_false(is_asked_huge(grow())); // nobody knows yet
    lm_settings.huge_pages = LM_ON;
    assert_true(is_asked_huge(grow()));
    lm_settings.huge_pages = LM_AUTO;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_never_overlap_and_are_found_again),
        cmocka_unit_test(a_run_grows_into_what_is_free_behind_it),
        cmocka_unit_test(blocks_given_to_the_system_read_as_zeroes),
        cmocka_unit_test(
            a_first_touch_is_huge_only_where_that_is_known_to_be_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
