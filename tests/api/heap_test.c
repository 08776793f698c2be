// SPDX-License-Identifier: MIT
// heap_test.c: making objects, resizing, freeing and asking about them.

#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

// Every size up to here is tried; it covers all cells and the first runs.
#define SIZE_LIMIT 20000

static bool is_zeroed(const void *p, size_t bytes) {
    const unsigned char *at = p;
    return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, bytes - 1) == 0);
}

static bool is_aligned(const void *p, size_t align) {
    return ((uintptr_t)p & (align - 1)) == 0;
}

static void init_succeeds_and_may_be_repeated(void **state) {
    (void)state;
    assert_int_equal(loam_init(), 0);
    assert_int_equal(loam_init(), 0);
}

static void alloc_returns_zeroed_aligned_memory_of_every_size(void **state) {
    (void)state;
    // The second round meets memory that the first one has written to.
    for (int round = 0; round < 2; round++) {
        for (size_t bytes = 0; bytes <= SIZE_LIMIT; bytes++) {
            void *p = loam_alloc(bytes);
            assert_non_null(p);
            assert_true(is_aligned(p, 16));
            assert_true(is_zeroed(p, bytes));
            assert_true(loam_size_of(p) >= bytes);
            memset(p, 0xA5, loam_size_of(p));
        }
        collect_clean();
    }
}

static void leaf_allocations_of_every_size_hold_what_is_written(void **state) {
    (void)state;
    for (size_t bytes = 0; bytes <= SIZE_LIMIT; bytes += 7) {
        unsigned char *p = loam_alloc_leaf(bytes);
        assert_non_null(p);
        assert_true(is_aligned(p, 16));
        assert_true(loam_size_of(p) >= bytes);
        memset(p, 0xC3, bytes);
        unsigned char *z = loam_alloc_leaf_zeroed(bytes);
        assert_non_null(z);
        assert_ptr_not_equal(p, z);
        assert_true(is_zeroed(z, bytes));
        memset(z, 0x3C, bytes);
        assert_true(bytes == 0 || (p[0] == 0xC3 && p[bytes - 1] == 0xC3));
    }
}

static void sizes_known_to_the_compiler_are_zeroed_too(void **state) {
    (void)state;
    for (int i = 0; i < 10000; i++) {
        char *a = loam_alloc(1);
        char *b = loam_alloc(100);
        char *c = loam_alloc(8192);
        char *d = loam_alloc(8193);
        assert_true(a != NULL && b != NULL && c != NULL && d != NULL);
        assert_true(is_zeroed(a, 1) && is_zeroed(b, 100));
        assert_true(is_zeroed(c, 8192) && is_zeroed(d, 8193));
        memset(a, 1, 1);
        memset(b, 2, 100);
        memset(c, 3, 8192);
        memset(d, 4, 8193);
    }
}

static void zero_bytes_give_distinct_objects(void **state) {
    (void)state;
    void *p[64];
    for (size_t i = 0; i < COUNT_OF(p); i++) {
        p[i] = i % 2 == 0 ? loam_alloc(0) : loam_alloc_leaf(0);
        assert_non_null(p[i]);
        assert_ptr_equal(loam_base_of(p[i]), p[i]);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(p[i], p[j]);
        }
    }
}

static void objects_do_not_overlap(void **state) {
    (void)state;
    enum { COUNT = 400 };
    unsigned char *p[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        p[i] = loam_alloc(i * 37);
        memset(p[i], (int)(i & 0xFF), loam_size_of(p[i]));
    }
    loam_collect();
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t b = 0; b < loam_size_of(p[i]); b++) {
            assert_int_equal(p[i][b], i & 0xFF);
        }
    }
}

static void overflowing_sizes_are_too_large(void **state) {
    (void)state;
    const size_t sizes[] = {SIZE_MAX,     SIZE_MAX - 1,     SIZE_MAX - 16,
                            SIZE_MAX / 2, SIZE_MAX / 2 + 1, (size_t)1 << 62};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_null(loam_alloc(sizes[i]));
        assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
        assert_true(strlen(loam_last_error()) > 0);
        assert_null(loam_alloc_leaf(sizes[i]));
        assert_null(loam_alloc_leaf_zeroed(sizes[i]));
        assert_null(loam_alloc_aligned(4096, sizes[i]));
        assert_null(loam_alloc_leaf_aligned(64, sizes[i]));
        assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    }
    assert_non_null(loam_alloc(100));
}

static void overflowing_counts_are_too_large(void **state) {
    (void)state;
    struct flex {
        long head;
        void *tail[];
    };
    volatile size_t many = SIZE_MAX / 8 + 2;
    assert_null(loam_new_array(void *, many));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_null(loam_new_flex(struct flex, tail, many));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_null(loam_new_flex(struct flex, tail, SIZE_MAX / 8));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_null(loam_new_array(char, SIZE_MAX));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
}

static void aligned_objects_are_aligned_zeroed_and_kept(void **state) {
    (void)state;
    for (size_t align = 1; align <= (size_t)4 << 20; align *= 2) {
        for (size_t bytes = 0; bytes < 20000; bytes = bytes * 3 + 1) {
            char *p = loam_alloc_aligned(align, bytes);
            char *q = loam_alloc_leaf_aligned(align, bytes);
            assert_non_null(p);
            assert_non_null(q);
            assert_true(is_aligned(p, align) && is_aligned(q, align));
            assert_true(loam_size_of(p) >= bytes);
            assert_true(loam_size_of(q) >= bytes);
            assert_true(is_zeroed(p, bytes));
            assert_ptr_equal(loam_base_of(p), p);
            memset(p, 0x77, bytes);
            memset(q, 0x78, bytes);
        }
    }
}

static void the_largest_alignment_is_one_gibibyte(void **state) {
    (void)state;
    size_t gibibyte = (size_t)1 << 30;
    char *p = loam_alloc_leaf_aligned(gibibyte, 100);
    if (p != NULL) { // A small reserved range may not have such an address.
        assert_true(is_aligned(p, gibibyte));
    }
    assert_null(loam_alloc_aligned(2 * gibibyte, 100));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
}

static void an_impossible_alignment_is_a_bad_argument(void **state) {
    (void)state;
    const size_t aligns[] = {0, 3, 24, 100, SIZE_MAX, ((size_t)1 << 20) + 1};
    for (size_t i = 0; i < COUNT_OF(aligns); i++) {
        assert_null(loam_alloc_aligned(aligns[i], 64));
        assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
        assert_null(loam_alloc_leaf_aligned(aligns[i], 64));
        assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
        assert_true(strlen(loam_last_error()) > 0);
    }
}

static void realloc_of_null_allocates(void **state) {
    (void)state;
    char *p = loam_realloc(NULL, 1000);
    assert_non_null(p);
    assert_true(is_zeroed(p, 1000));
    assert_ptr_equal(loam_base_of(p + 999), p);
}

static void realloc_keeps_contents_and_zeroes_the_new_bytes(void **state) {
    (void)state;
    size_t before = 1;
    unsigned char *p = loam_alloc(before);
    p[0] = 0x11;
    while (before < 200000) {
        size_t after = before + before / 3 + 1;
        p = loam_realloc(p, after);
        assert_non_null(p);
        assert_true(loam_size_of(p) >= after);
        for (size_t i = 0; i < before; i++) {
            assert_int_equal(p[i], 0x11);
        }
        assert_true(is_zeroed(p + before, after - before));
        memset(p, 0x11, after);
        before = after;
    }
}

static void realloc_shrinks_and_what_is_cut_off_comes_back_zeroed(
    void **state) {
    (void)state;
    for (size_t bytes = 64; bytes <= (size_t)1 << 20; bytes *= 4) {
        unsigned char *p = loam_alloc(bytes);
        memset(p, 0x22, bytes);
        p = loam_realloc(p, bytes / 4);
        assert_non_null(p);
        assert_true(p[0] == 0x22 && p[bytes / 4 - 1] == 0x22);
        p = loam_realloc(p, bytes);
        assert_non_null(p);
        assert_true(p[0] == 0x22 && p[bytes / 4 - 1] == 0x22);
        assert_true(is_zeroed(p + bytes / 4, bytes - bytes / 4));
    }
}

static void realloc_to_zero_bytes_and_back_gives_zeroes(void **state) {
    (void)state;
    unsigned char *p = loam_alloc(10);
    memset(p, 0x33, 10);
    p = loam_realloc(loam_realloc(p, 0), 1000);
    assert_non_null(p);
    assert_true(is_zeroed(p, 1000));
}

static void realloc_to_zero_bytes_still_gives_an_object(void **state) {
    (void)state;
    void *p = loam_realloc(loam_alloc(100), 0);
    assert_non_null(p);
    assert_ptr_equal(loam_base_of(p), p);
}

static void a_leaf_stays_a_leaf_when_it_moves(void **state) {
    (void)state;
    uintptr_t *leaf = loam_alloc_leaf(64);
    struct survivors list = survivors_new(100);
    leaf = loam_realloc(leaf, 100 * sizeof *leaf + 50000);
    fill_place((void **)leaf, 100, 48, &list);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    loam_keep_alive(leaf);
    survivors_free(&list);
}

static void a_scanned_object_stays_scanned_when_it_moves(void **state) {
    (void)state;
    struct survivors list = survivors_new(100);
    void **array = loam_alloc(100 * sizeof *array);
    fill_place(array, 100, 48, &list);
    array = loam_realloc(array, 100000);
    collect_clean();
    assert_int_equal(survivors_count(&list), 100);
    assert_true(is_place_intact(array, 100, 48));
    survivors_free(&list);
}

static void a_failed_realloc_leaves_the_object_as_it_was(void **state) {
    (void)state;
    char *p = loam_alloc(100);
    memset(p, 0x33, 100);
    assert_null(loam_realloc(p, SIZE_MAX - 100));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    assert_ptr_equal(loam_base_of(p), p);
    assert_true(p[0] == 0x33 && p[99] == 0x33);
}

static void the_old_place_of_a_moved_object_is_free(void **state) {
    (void)state;
    void *p = loam_alloc(100);
    uintptr_t old = hide(p);
    p = loam_realloc(p, 500000);
    assert_non_null(p);
    assert_ptr_not_equal(p, unhide(old));
    assert_null(loam_base_of(unhide(old)));
}

static void freed_memory_is_reused_at_once(void **state) {
    (void)state;
    // In constant memory without a collection: as much is freed as allocated.
    struct loam_stats before;
    struct loam_stats after;
    loam_stats_get(&before);
    for (size_t i = 0; i < place_scaled(200000); i++) {
        loam_free(loam_alloc(1000));
        loam_free(loam_alloc_leaf(50000));
    }
    loam_stats_get(&after);
    assert_true(after.heap_bytes < before.heap_bytes + ((size_t)32 << 20));
    assert_true(after.freed_bytes - before.freed_bytes >=
                place_scaled(200000) * 51000);
}

static void reused_memory_is_zeroed(void **state) {
    (void)state;
    const size_t sizes[] = {1, 16, 40, 256, 300, 1000, 4000, 8192, 9000, 70000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int round = 0; round < 300; round++) {
            char *p = loam_alloc(sizes[i]);
            assert_true(is_zeroed(p, sizes[i]));
            memset(p, 0xEE, loam_size_of(p));
            loam_free(p);
        }
    }
}

static void free_of_null_is_ignored(void **state) {
    (void)state;
    loam_free(NULL);
}

static void a_freed_object_is_no_object(void **state) {
    (void)state;
    const size_t sizes[] = {8, 100, 5000, 100000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *p = loam_alloc(sizes[i]);
        uintptr_t hidden = hide(p);
        loam_free(p);
        assert_null(loam_base_of(unhide(hidden)));
        assert_int_equal(loam_size_of(unhide(hidden)), 0);
    }
}

// ---- Freed cells have one owner ---------------------------------------------

#define AGED_BYTES 816
#define AGED_COUNT 60

static unsigned char *aged[AGED_COUNT];
static unsigned char *fresh[2][AGED_COUNT * 4];

static void *allocate_fresh(void *row) {
    unsigned char **p = row;
    for (size_t i = 0; i < AGED_COUNT * 4; i++) {
        p[i] = loam_alloc(AGED_BYTES);
        must(p[i] != NULL && is_zeroed(p[i], AGED_BYTES));
        memset(p[i], (int)(i % 251 + 1), AGED_BYTES);
    }
    return NULL;
}

static void require_distinct_contents(void) {
    for (size_t i = 0; i < COUNT_OF(fresh[0]) * 2; i++) {
        size_t at = i / 2;
        const unsigned char *p = fresh[i % 2][at];
        for (size_t b = 0; b < AGED_BYTES; b++) {
            assert_int_equal(p[b], at % 251 + 1);
        }
    }
}

// Blocks remember by a small number in which cycle their cells were given out.
// One that is swept but not used for a whole round of numbers must not pass
// for one of this cycle: a cell freed in it would have two owners, this thread
// and whichever takes the block.
static void free_after_cycles(size_t cycles) {
    for (size_t i = 0; i < AGED_COUNT; i++) {
        aged[i] = loam_alloc(AGED_BYTES);
    }
    // Every fifth is kept; a pointer to it may also keep the one before.
    for (size_t i = 0; i < AGED_COUNT; i++) {
        aged[i] = i % 5 == 0 ? aged[i] : NULL;
    }
    for (size_t cycle = 0; cycle < cycles; cycle++) {
        loam_collect();
        loam_verify(); // It sweeps what nobody allocates from.
    }
    for (size_t i = 0; i < AGED_COUNT; i += 5) {
        loam_free(aged[i]);
        aged[i] = NULL;
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, allocate_fresh, fresh[0]),
                     0);
    pthread_join(thread, NULL);
    allocate_fresh(fresh[1]);
    require_distinct_contents();
    memset(fresh, 0, sizeof fresh);
}

static void a_cell_freed_many_cycles_later_has_one_owner(void **state) {
    (void)state;
    for (size_t cycles = 124; cycles <= 130; cycles++) {
        free_after_cycles(cycles);
    }
}

static void strings_are_copied(void **state) {
    (void)state;
    assert_string_equal(loam_strdup(""), "");
    assert_string_equal(loam_strdup("a heap"), "a heap");
    assert_string_equal(loam_strndup("a heap", 3), "a h");
    assert_string_equal(loam_strndup("a heap", 300), "a heap");
    assert_string_equal(loam_strndup("a heap", 0), "");
    char unclosed[3] = {'x', 'y', 'z'};
    assert_string_equal(loam_strndup(unclosed, 3), "xyz");
    assert_memory_equal(loam_memdup("a\0b\0c", 5), "a\0b\0c", 5);
    assert_non_null(loam_memdup("", 0));
}

static void long_strings_are_copied(void **state) {
    (void)state;
    char *text = loam_alloc_leaf_zeroed(300001);
    memset(text, 'q', 300000);
    char *copy = loam_strdup(text);
    assert_non_null(copy);
    assert_ptr_not_equal(copy, text);
    assert_string_equal(copy, text);
    copy = loam_printf("%s!", text);
    assert_int_equal(strlen(copy), 300001);
}

static char *format_list(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = loam_vprintf(format, arguments);
    va_end(arguments);
    return text;
}

static void printf_formats_into_a_leaf_of_the_right_size(void **state) {
    (void)state;
    assert_string_equal(loam_printf("%d of %s", 7, "nine"), "7 of nine");
    assert_string_equal(loam_printf("%s", ""), "");
    for (int width = 1; width < 600; width++) {
        char *text = loam_printf("%*d", width, 1);
        assert_int_equal(strlen(text), width);
        assert_true(loam_size_of(text) >= (size_t)width + 1);
    }
    assert_string_equal(format_list("%c%c", 'o', 'k'), "ok");
}

static void a_format_that_printf_rejects_gives_null(void **state) {
    (void)state;
    // No character of the C locale.
    const wchar_t text[] = {(wchar_t)0x20AC, 0};
    assert_null(loam_printf("%ls", text));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
}

static void every_interior_address_leads_to_the_object(void **state) {
    (void)state;
    for (size_t bytes = 1; bytes <= 70000; bytes = bytes * 5 / 3 + 1) {
        char *p = loam_alloc(bytes);
        size_t room = loam_size_of(p);
        for (size_t i = 0; i < room; i += 1 + bytes / 512) {
            assert_ptr_equal(loam_base_of(p + i), p);
            assert_int_equal(loam_size_of(p + i), i == 0 ? room : 0);
        }
        assert_ptr_equal(loam_base_of(p + room - 1), p);
    }
}

static void what_is_no_object_has_no_base_and_no_size(void **state) {
    (void)state;
    static int in_static_data;
    int on_the_stack = 0;
    const void *const strangers[] = {NULL,
                                     &in_static_data,
                                     &on_the_stack,
                                     (const void *)strlen,
                                     "text",
                                     (const void *)(uintptr_t)1,
                                     (const void *)UINTPTR_MAX};
    for (size_t i = 0; i < COUNT_OF(strangers); i++) {
        assert_null(loam_base_of(strangers[i]));
        assert_int_equal(loam_size_of(strangers[i]), 0);
        assert_null(loam_type_of(strangers[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_succeeds_and_may_be_repeated),
        cmocka_unit_test(alloc_returns_zeroed_aligned_memory_of_every_size),
        cmocka_unit_test(leaf_allocations_of_every_size_hold_what_is_written),
        cmocka_unit_test(sizes_known_to_the_compiler_are_zeroed_too),
        cmocka_unit_test(zero_bytes_give_distinct_objects),
        cmocka_unit_test(objects_do_not_overlap),
        cmocka_unit_test(overflowing_sizes_are_too_large),
        cmocka_unit_test(overflowing_counts_are_too_large),
        cmocka_unit_test(aligned_objects_are_aligned_zeroed_and_kept),
        cmocka_unit_test(the_largest_alignment_is_one_gibibyte),
        cmocka_unit_test(an_impossible_alignment_is_a_bad_argument),
        cmocka_unit_test(realloc_of_null_allocates),
        cmocka_unit_test(realloc_keeps_contents_and_zeroes_the_new_bytes),
        cmocka_unit_test(realloc_shrinks_and_what_is_cut_off_comes_back_zeroed),
        cmocka_unit_test(realloc_to_zero_bytes_still_gives_an_object),
        cmocka_unit_test(realloc_to_zero_bytes_and_back_gives_zeroes),
        cmocka_unit_test(a_leaf_stays_a_leaf_when_it_moves),
        cmocka_unit_test(a_scanned_object_stays_scanned_when_it_moves),
        cmocka_unit_test(a_failed_realloc_leaves_the_object_as_it_was),
        cmocka_unit_test(the_old_place_of_a_moved_object_is_free),
        cmocka_unit_test(freed_memory_is_reused_at_once),
        cmocka_unit_test(reused_memory_is_zeroed),
        cmocka_unit_test(free_of_null_is_ignored),
        cmocka_unit_test(a_freed_object_is_no_object),
        cmocka_unit_test(a_cell_freed_many_cycles_later_has_one_owner),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(long_strings_are_copied),
        cmocka_unit_test(printf_formats_into_a_leaf_of_the_right_size),
        cmocka_unit_test(a_format_that_printf_rejects_gives_null),
        cmocka_unit_test(every_interior_address_leads_to_the_object),
        cmocka_unit_test(what_is_no_object_has_no_base_and_no_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
