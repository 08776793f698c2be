// SPDX-License-Identifier: MIT
// collect_test.c: collections on request, limits, figures.

#include <loam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define MIB ((size_t)1 << 20)

struct census_node {
    struct census_node *next;
    long value;
};
LOAM_TYPE(struct census_node, next)

static struct census_node *census_list;

static struct loam_stats stats_now(void) {
    struct loam_stats stats;
    memset(&stats, 0xFF, sizeof stats);
    loam_stats_get(&stats);
    return stats;
}

static void a_collection_is_counted(void **state) {
    (void)state;
    uint64_t before = stats_now().collection_count;
    loam_collect();
    loam_collect();
    assert_true(stats_now().collection_count >= before + 2);
    assert_true(stats_now().pause_max_ns > 0);
    assert_true(stats_now().pause_total_ns >= stats_now().pause_max_ns);
    assert_true(stats_now().pause_max_ns >= stats_now().pause_last_ns);
}

static void allocations_are_counted(void **state) {
    (void)state;
    struct loam_stats before = stats_now();
    for (int i = 0; i < 1000; i++) {
        assert_non_null(loam_alloc(128));
    }
    assert_non_null(loam_alloc_leaf(3 * MIB));
    struct loam_stats after = stats_now();
    uint64_t count = after.allocated_count - before.allocated_count;
    uint64_t bytes = after.allocated_bytes - before.allocated_bytes;
    assert_in_range(count, 1001, 1010);
    assert_in_range(bytes, 128000 + 3 * MIB, 128000 + 3 * MIB + 65536);
    assert_true(after.heap_peak_bytes >= after.heap_bytes);
    assert_true(after.committed_bytes > 0);
    assert_true(after.thread_count >= 1 && after.marker_count >= 1);
}

static OWN_FRAME void make_census_list(size_t length) {
    for (size_t i = 0; i < length; i++) {
        struct census_node *n = loam_new(struct census_node);
        n->next = census_list;
        census_list = n;
    }
}

// Reads the census of one type.
static struct loam_type_stats census_of(const char *name) {
    static struct loam_type_stats entries[4096];
    size_t count = loam_type_stats_get(entries, COUNT_OF(entries));
    for (size_t i = 0; i < count && i < COUNT_OF(entries); i++) {
        if (strcmp(entries[i].name, name) == 0) {
            return entries[i];
        }
    }
    return (struct loam_type_stats){.name = NULL};
}

static void the_census_counts_live_objects_by_type(void **state) {
    (void)state;
    make_census_list(5000);
    collect_clean();
    struct loam_type_stats census = census_of("struct census_node");
    assert_non_null(census.name);
    assert_int_equal(census.live_count, 5000);
    assert_int_equal(census.live_bytes, 5000 * sizeof(struct census_node));
    assert_int_equal(census.allocated_count, 5000);
    census_list = NULL;
    collect_clean();
    census = census_of("struct census_node");
    // One stale word may keep a whole tail of the list; the head is not kept.
    assert_true(census.live_count < 5000);
    assert_int_equal(census.allocated_count, 5000);
}

static void the_census_starts_with_the_largest(void **state) {
    (void)state;
    static struct loam_type_stats entries[4096];
    make_census_list(10000);
    char *leaf = loam_alloc_leaf(MIB);
    void *raw = loam_alloc(2 * MIB);
    collect_clean();
    size_t count = loam_type_stats_get(entries, COUNT_OF(entries));
    assert_true(count >= 3);
    for (size_t i = 1; i < count; i++) {
        assert_true(entries[i - 1].live_bytes >= entries[i].live_bytes);
    }
    assert_true(census_of("(leaf)").live_bytes >= MIB);
    assert_true(census_of("(untyped)").live_bytes >= 2 * MIB);
    loam_keep_alive(leaf);
    loam_keep_alive(raw);
    census_list = NULL;
}

static void the_census_fills_no_more_than_its_room(void **state) {
    (void)state;
    make_census_list(10);
    struct loam_type_stats entries[2] = {{.name = NULL}, {.name = "untouched"}};
    size_t count = loam_type_stats_get(entries, 1);
    assert_true(count >= 1);
    assert_non_null(entries[0].name);
    assert_string_equal(entries[1].name, "untouched");
    assert_int_equal(loam_type_stats_get(NULL, 0), count);
    census_list = NULL;
}

static void live_figures_follow_what_lives(void **state) {
    (void)state;
    collect_clean();
    struct loam_stats before = stats_now();
    make_census_list(20000);
    collect_clean();
    struct loam_stats during = stats_now();
    uint64_t bytes = 20000 * sizeof(struct census_node);
    assert_true(during.live_bytes + 65536 >= before.live_bytes + bytes);
    assert_true(during.live_count + 100 >= before.live_count + 20000);
    assert_true(during.type_count >= 1);
    census_list = NULL;
}

static void verify_counts_the_objects(void **state) {
    (void)state;
    make_census_list(1000);
    collect_clean();
    size_t count = loam_verify();
    assert_true(count >= 1000);
    assert_true(loam_verify() == count);
    census_list = NULL;
}

static void garbage_does_not_make_the_heap_grow(void **state) {
    (void)state;
    for (size_t i = 0; i < place_scaled(2000000); i++) {
        assert_non_null(loam_alloc(256));
    }
    struct loam_stats stats = stats_now();
    assert_true(stats.heap_bytes < 128 * MIB);
}

static void release_gives_memory_back(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        memset(loam_alloc_leaf(MIB), 1, MIB);
    }
    collect_clean();
    uint64_t returned = stats_now().returned_bytes;
    size_t released = loam_trim();
    assert_true(stats_now().returned_bytes >= returned + released);
    assert_true(stats_now().returned_bytes > 0);
    // What was released can be had again, zeroed.
    for (int i = 0; i < 20; i++) {
        unsigned char *p = loam_alloc(MIB);
        assert_non_null(p);
        assert_true(p[0] == 0 && memcmp(p, p + 1, MIB - 1) == 0);
    }
}

static void settings_are_read_back(void **state) {
    (void)state;
    size_t min = loam_heap_min_get();
    unsigned growth = loam_growth_get();
    assert_in_range(growth, 1, 100);
    loam_heap_max_set(512 * MIB);
    assert_int_equal(loam_heap_max_get(), 512 * MIB);
    assert_int_equal(stats_now().heap_max_bytes, 512 * MIB);
    loam_heap_max_set(0);
    assert_int_equal(loam_heap_max_get(), 0);
    loam_heap_min_set(3 * MIB);
    assert_int_equal(loam_heap_min_get(), 3 * MIB);
    loam_heap_min_set(min);
    loam_growth_set(0);
    assert_int_equal(loam_growth_get(), 1);
    loam_growth_set(growth);
    assert_int_equal(loam_growth_get(), growth);
}

static uint64_t collections_of(size_t bytes) {
    uint64_t before = stats_now().collection_count;
    for (size_t i = 0; i < bytes; i += 1024) {
        assert_non_null(loam_alloc(1024));
    }
    return stats_now().collection_count - before;
}

static void nothing_is_collected_below_the_minimum(void **state) {
    (void)state;
    size_t min = loam_heap_min_get();
    loam_heap_min_set(512 * MIB);
    loam_collect();
    assert_int_equal(collections_of(128 * MIB), 0);
    loam_heap_min_set(2 * MIB);
    loam_collect();
    assert_true(collections_of(128 * MIB) >= 2);
    loam_heap_min_set(min);
}

static void less_growth_collects_more_often(void **state) {
    (void)state;
    size_t min = loam_heap_min_get();
    enum loam_choice generations = loam_generations_get();
    enum loam_choice concurrent = loam_concurrent_get();
    // Minor collections come as their own pace wants, and one beside the program
    // lets it go on.
    loam_generations_set(LOAM_OFF);
    loam_concurrent_set(LOAM_OFF);
    loam_heap_min_set(1);
    make_census_list(500000); // 8 MiB live.
    loam_growth_set(400);
    loam_collect();
    uint64_t seldom = collections_of(200 * MIB);
    loam_growth_set(25);
    loam_collect();
    uint64_t often = collections_of(200 * MIB);
    assert_true(often > 2 * seldom);
    census_list = NULL;
    loam_generations_set(generations);
    loam_concurrent_set(concurrent);
    loam_growth_set(100);
    loam_heap_min_set(min);
}

static void *keep_me[4096];

static void a_full_heap_is_explained_and_works_again(void **state) {
    (void)state;
    collect_clean();
    loam_heap_max_set(48 * MIB);
    size_t count = 0;
    while (count < COUNT_OF(keep_me)) {
        keep_me[count] = loam_alloc(MIB / 2);
        if (keep_me[count] == NULL) {
            break;
        }
        count++;
    }
    assert_in_range(count, 60, 96);
    assert_int_equal(loam_last_status(), LOAM_HEAP_FULL);
    // What was asked, what is used, what is allowed.
    assert_non_null(strstr(loam_last_error(), "524288"));
    assert_non_null(strstr(loam_last_error(), "LOAM_HEAP_MAX"));
    assert_true(stats_now().heap_bytes <= 48 * MIB);
    memset(keep_me, 0, sizeof keep_me);
    for (int i = 0; i < 1000; i++) {
        assert_non_null(loam_alloc(MIB / 2));
    }
    loam_heap_max_set(0);
}

static OWN_FRAME size_t fill_with_nodes(size_t limit) {
    size_t count = 0;
    while (count < limit) {
        struct census_node *n = loam_new(struct census_node);
        if (n == NULL) {
            break;
        }
        n->next = census_list;
        census_list = n;
        count++;
    }
    return count;
}

static void a_heap_full_of_small_objects_says_so_too(void **state) {
    (void)state;
    collect_clean();
    loam_heap_max_set(32 * MIB);
    size_t count = fill_with_nodes(8000000);
    assert_in_range(count, 1000000, 2200000);
    assert_int_equal(loam_last_status(), LOAM_HEAP_FULL);
    char *volatile p = loam_alloc(64);
    assert_true(p == NULL || p[63] == 0);
    p = NULL; // It might be one past the end of a node.
    census_list = NULL;
    collect_clean();
    assert_true(fill_with_nodes(100000) == 100000);
    census_list = NULL;
    loam_heap_max_set(0);
    assert_non_null(loam_alloc(64 * MIB));
}

static void an_object_over_the_maximum_is_refused_at_once(void **state) {
    (void)state;
    loam_heap_max_set(64 * MIB);
    assert_null(loam_alloc(65 * MIB));
    assert_int_equal(loam_last_status(), LOAM_HEAP_FULL);
    assert_non_null(loam_alloc(100));
    loam_heap_max_set(0);
    assert_non_null(loam_alloc(65 * MIB));
}

static bool has_tracking(void) {
    return strcmp(loam_track_name(), "none") != 0;
}

// The pages are the system's to tell of, and do not count as written by their
// type.
static bool has_armed_pages(void) {
    return has_tracking() && strcmp(loam_track_name(), "barrier") != 0;
}

static void a_minor_collection_is_one_where_there_are_generations(
    void **state) {
    (void)state;
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    loam_collect();
    struct loam_stats first = stats_now();
    loam_collect_minor();
    loam_collect_minor();
    struct loam_stats then = stats_now();
    assert_int_equal(then.collection_count, first.collection_count + 2);
    assert_int_equal(then.minor_count,
                     first.minor_count + (has_tracking() ? 2 : 0));
    loam_generations_set(LOAM_OFF);
    loam_collect();
    first = stats_now();
    loam_collect_minor();
    then = stats_now();
    assert_int_equal(then.minor_count, first.minor_count);
    assert_int_equal(then.full_count, first.full_count + 1);
    loam_generations_set(before);
}

static struct census_node ***pages_new(size_t count, size_t bytes) {
    struct census_node ***pages = loam_new_array(struct census_node **, count);
    assert_non_null(pages);
    for (size_t i = 0; i < count; i++) {
        pages[i] = loam_alloc(bytes);
        assert_non_null(pages[i]);
    }
    return pages;
}

// A collection of all comes instead, and finds what has died.
static void a_minor_collection_of_too_much_is_given_up(void **state) {
    (void)state;
    enum loam_choice before = loam_generations_get();
    enum { OLD_PAGES = 1000 };
    struct survivors list = survivors_new(1);
    loam_generations_set(LOAM_ON);
    struct census_node ***old = pages_new(OLD_PAGES, 4096);
    for (size_t i = 0; i < OLD_PAGES; i++) {
        old[i][0] = loam_new(struct census_node);
        old[i][0]->value = (long)i;
    }
    loam_collect();
    loam_generations_set(LOAM_AUTO);
    for (size_t i = 0; i < OLD_PAGES; i++) {
        old[i][1] = old[i][0];
    }
    struct loam_stats first = stats_now();
    loam_collect_minor();
    struct loam_stats then = stats_now();
    assert_int_equal(then.given_up_count,
                     first.given_up_count + (has_tracking() ? 1 : 0));
    loam_collect_minor(); // of all, as generations are given up
    assert_int_equal(stats_now().given_up_count, then.given_up_count);
    assert_int_equal(stats_now().full_count, then.full_count + 1);
    survivors_note(&list, old[7][0]);
    old[7][0] = old[7][1] = NULL;
    loam_verify();
    collect_clean();
    assert_int_equal(survivors_count(&list), 0);
    for (size_t i = 0; i < OLD_PAGES; i++) {
        assert_true(i == 7 || old[i][0]->value == (long)i);
    }
    loam_generations_set(before);
    survivors_free(&list);
}

enum { MANY_ROWS = 1200 };

// What only every other page refers to, each a row of its own.
static OWN_FRAME void refer_to_young(struct census_node ***old,
                                     struct survivors *list) {
    for (size_t i = 0; i < MANY_ROWS; i++) {
        old[i][0] = loam_new(struct census_node);
        assert_non_null(old[i][0]);
        old[i][0]->value = (long)i;
        survivors_note(list, old[i][0]);
    }
}

static void old_pages_in_many_rows_keep_what_they_refer_to(void **state) {
    (void)state;
    enum loam_choice before = loam_generations_get();
    struct survivors list = survivors_new(MANY_ROWS);
    loam_generations_set(LOAM_ON);
    struct census_node ***old = pages_new(MANY_ROWS, 16384);
    loam_collect();
    loam_collect_minor();
    refer_to_young(old, &list);
    stack_clear();
    loam_collect_minor();
    assert_int_equal(survivors_count(&list), MANY_ROWS);
    for (size_t i = 0; i < MANY_ROWS; i++) {
        assert_int_equal(old[i][0]->value, i);
    }
    loam_verify();
    loam_generations_set(before);
    survivors_free(&list);
}

// Who asks for generations has them, whatever they rested for.
static void generations_may_be_asked_for_while_they_rest(void **state) {
    (void)state;
    enum { OLD_PAGES = 1000, MINORS = 40 };
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    struct census_node ***old = pages_new(OLD_PAGES, 4096);
    loam_collect();
    loam_generations_set(LOAM_AUTO);
    for (size_t i = 0; i < OLD_PAGES; i++) {
        old[i][0] = loam_new(struct census_node);
        old[i][0]->value = (long)i;
    }
    loam_collect_minor(); // given up, and they rest
    loam_generations_set(LOAM_ON);
    loam_collect();
    struct loam_stats first = stats_now();
    for (size_t i = 0; i < MINORS; i++) {
        for (size_t j = 0; j < 10000; j++) {
            assert_non_null(loam_new(struct census_node));
        }
        loam_collect_minor();
    }
    assert_true(!has_tracking() ||
                stats_now().minor_count >= first.minor_count + MINORS);
    for (size_t i = 0; i < 3; i++) {
        loam_generations_set(i % 2 ? LOAM_ON : LOAM_AUTO);
        loam_collect();
    }
    loam_verify();
    for (size_t i = 0; i < OLD_PAGES; i++) {
        assert_true(old[i][0]->value == (long)i);
    }
    loam_generations_set(before);
}

// A row of objects whose only use is to be old, linked by what refers to nothing
// younger.
static struct census_node *row_new(size_t count) {
    struct census_node *first = NULL;
    for (size_t i = 0; i < count; i++) {
        struct census_node *node = loam_new(struct census_node);
        node->next = first;
        node->value = (long)i;
        first = node;
    }
    return first;
}

static size_t row_length(const struct census_node *node) {
    size_t count = 0;
    for (; node; node = node->next) {
        count++;
    }
    return count;
}

// Blocks that a minor collection leaves full are armed by it: the next visits only
// what has been written since, and finds what that refers to.
static void survivors_are_not_visited_until_they_are_written(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    loam_collect();
    census_list = row_new(COUNT);
    loam_collect_minor();
    struct loam_stats first = stats_now();
    loam_collect_minor();
    struct loam_stats then = stats_now();
    size_t pages = COUNT * sizeof(struct census_node) / 4096;
    if (has_armed_pages()) {
        assert_int_equal(then.minor_count, first.minor_count + 1);
        assert_true(then.dirty_page_count - first.dirty_page_count < pages / 4);
    }
    struct census_node *node = census_list;
    for (size_t i = 0; i + 1 < COUNT; i += 500) {
        struct census_node *young = loam_new(struct census_node);
        young->next = node->next;
        young->value = -1;
        node->next = young;
        for (size_t j = 0; j < 500 && node->next; j++) {
            node = node->next;
        }
    }
    loam_collect_minor();
    loam_verify();
    for (size_t i = 0; i < COUNT; i++) {
        assert_non_null(loam_new(struct census_node));
    }
    assert_int_equal(row_length(census_list), COUNT + COUNT / 500);
    census_list = NULL;
    loam_generations_set(before);
}

// With generations blocks with few free cells are passed over, until there is no
// other memory.
static void holes_are_used_before_memory_is_refused(void **state) {
    (void)state;
    enum { MOST = 2000000, EACH = 10 };
    enum loam_choice before = loam_generations_get();
    size_t max = loam_heap_max_get();
    loam_generations_set(LOAM_ON);
    collect_clean();
    loam_heap_max_set((size_t)stats_now().heap_bytes + 8 * MIB);
    size_t count = 0;
    for (; count < MOST; count++) {
        struct census_node *node = loam_new(struct census_node);
        if (node == NULL) {
            break;
        }
        node->next = census_list;
        census_list = node;
    }
    assert_true(count < MOST);
    size_t holes = 0;
    size_t at = 0;
    for (struct census_node *n = census_list; n && n->next; n = n->next) {
        if (++at % EACH == 0) {
            n->next = n->next->next;
            holes++;
        }
    }
    loam_collect();
    size_t filled = 0;
    for (; filled < holes / 10 * 9; filled++) {
        struct census_node *node = loam_new(struct census_node);
        if (node == NULL) {
            break;
        }
        node->next = census_list;
        census_list = node;
        if (filled % 1000 == 0) {
            loam_collect_minor();
        }
    }
    assert_int_equal(filled, holes / 10 * 9);
    assert_int_equal(row_length(census_list), count - holes + filled);
    census_list = NULL;
    loam_heap_max_set(max);
    loam_generations_set(before);
    collect_clean();
}

static void without_generations_the_next_collections_are_full(void **state) {
    (void)state;
    enum loam_choice before = loam_generations_get();
    loam_generations_set(LOAM_ON);
    loam_collect();
    loam_generations_set(LOAM_OFF);
    struct loam_stats first = stats_now();
    collections_of(200 * MIB);
    struct loam_stats then = stats_now();
    assert_true(then.collection_count > first.collection_count);
    assert_int_equal(then.minor_count, first.minor_count);
    loam_generations_set(before);
}

static void a_requested_collection_marks_beside_the_program(void **state) {
    (void)state;
    // The library's own thread may run collections of its own meanwhile.
    enum loam_choice before = loam_concurrent_get();
    loam_concurrent_set(LOAM_ON);
    struct loam_stats first = stats_now();
    loam_collect();
    struct loam_stats then = stats_now();
    assert_true(then.concurrent_count >=
                first.concurrent_count + (has_tracking() ? 1 : 0));
    loam_concurrent_set(LOAM_OFF);
    loam_collect();
    assert_true(stats_now().full_count >= then.full_count + 1);
    assert_true(stats_now().full_pause_max_ns > 0);
    assert_true(stats_now().full_pause_max_ns <= stats_now().pause_max_ns);
    loam_concurrent_set(before);
}

static void every_collection_is_of_some_kind(void **state) {
    (void)state;
    struct loam_stats s = stats_now();
    assert_int_equal(s.full_count + s.minor_count + s.concurrent_count +
                         s.given_up_count,
                     s.collection_count);
}

static void choices_and_the_pause_target_are_read_back(void **state) {
    (void)state;
    for (int c = LOAM_AUTO; c <= LOAM_OFF; c++) {
        loam_generations_set((enum loam_choice)c);
        assert_int_equal(loam_generations_get(), c);
        loam_concurrent_set((enum loam_choice)c);
        assert_int_equal(loam_concurrent_get(), c);
    }
    loam_generations_set((enum loam_choice)7); // is none, and ignored
    assert_int_equal(loam_generations_get(), LOAM_OFF);
    loam_generations_set(LOAM_AUTO);
    loam_concurrent_set(LOAM_AUTO);
    loam_pause_target_set(250000);
    assert_int_equal(loam_pause_target_get(), 250000);
    loam_pause_target_set(0);
    assert_int_equal(loam_pause_target_get(), 1000000);
}

static void the_version_is_that_of_the_headers_text(void **state) {
    (void)state;
    assert_string_equal(loam_version(), "0.1.0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_is_counted),
        cmocka_unit_test(allocations_are_counted),
        cmocka_unit_test(the_census_counts_live_objects_by_type),
        cmocka_unit_test(the_census_starts_with_the_largest),
        cmocka_unit_test(the_census_fills_no_more_than_its_room),
        cmocka_unit_test(live_figures_follow_what_lives),
        cmocka_unit_test(verify_counts_the_objects),
        cmocka_unit_test(garbage_does_not_make_the_heap_grow),
        cmocka_unit_test(release_gives_memory_back),
        cmocka_unit_test(settings_are_read_back),
        cmocka_unit_test(nothing_is_collected_below_the_minimum),
        cmocka_unit_test(less_growth_collects_more_often),
        cmocka_unit_test(a_full_heap_is_explained_and_works_again),
        cmocka_unit_test(a_heap_full_of_small_objects_says_so_too),
        cmocka_unit_test(an_object_over_the_maximum_is_refused_at_once),
        cmocka_unit_test(a_minor_collection_is_one_where_there_are_generations),
        cmocka_unit_test(a_minor_collection_of_too_much_is_given_up),
        cmocka_unit_test(old_pages_in_many_rows_keep_what_they_refer_to),
        cmocka_unit_test(generations_may_be_asked_for_while_they_rest),
        cmocka_unit_test(survivors_are_not_visited_until_they_are_written),
        cmocka_unit_test(holes_are_used_before_memory_is_refused),
        cmocka_unit_test(without_generations_the_next_collections_are_full),
        cmocka_unit_test(a_requested_collection_marks_beside_the_program),
        cmocka_unit_test(every_collection_is_of_some_kind),
        cmocka_unit_test(choices_and_the_pause_target_are_read_back),
        cmocka_unit_test(the_version_is_that_of_the_headers_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
