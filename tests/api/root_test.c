// SPDX-License-Identifier: MIT
// root_test.c: which places keep an object, and which do not.

#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define COUNT 200

// expect_kept_by fills a place, requires that every object in it lives, then
// empties it and requires that nearly all are gone.
static void expect_kept_by(void **place, size_t bytes) {
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, bytes, &list);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    assert_true(is_place_intact(place, COUNT, bytes));
    memset(place, 0, COUNT * sizeof *place);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void *in_data[COUNT] = {(void *)1};
static void *in_bss[COUNT];
static _Thread_local void *in_tls[COUNT];
static _Thread_local void *in_tls_data[COUNT] = {(void *)1};

static void static_data_keeps_objects(void **state) {
    (void)state;
    expect_kept_by(in_data, 64);
    expect_kept_by(in_bss, 64);
}

static void thread_local_storage_keeps_objects(void **state) {
    (void)state;
    expect_kept_by(in_tls, 64);
    expect_kept_by(in_tls_data, 64);
}

static void the_stack_keeps_objects(void **state) {
    (void)state;
    void *on_the_stack[COUNT];
    expect_kept_by(on_the_stack, 64);
}

static void objects_of_every_class_are_kept_and_dropped(void **state) {
    (void)state;
    for (size_t bytes = 8; bytes <= 40000; bytes += bytes / 2 + 1) {
        expect_kept_by(in_bss, bytes);
    }
}

static void a_conservative_object_keeps_objects(void **state) {
    (void)state;
    void **object = loam_alloc(COUNT * sizeof *object);
    expect_kept_by(object, 64);
    void **large = loam_alloc(100000);
    expect_kept_by(large + 12000, 64);
}

static void a_leaf_keeps_nothing(void **state) {
    (void)state;
    struct survivors list = survivors_new(COUNT);
    void **leaf = loam_alloc_leaf(COUNT * sizeof *leaf);
    fill_place(leaf, COUNT, 64, &list);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    loam_keep_alive(leaf);
    survivors_free(&list);
}

static void memory_of_malloc_keeps_nothing_until_it_is_a_root(void **state) {
    (void)state;
    void **place = calloc(COUNT, sizeof *place);
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    assert_int_equal(loam_root_add(place, COUNT * sizeof *place), 0);
    memset(place, 0, COUNT * sizeof *place);
    expect_kept_by(place, 64);
    loam_root_remove(place);
    free(place);
    survivors_free(&list);
}

static void a_removed_root_keeps_nothing(void **state) {
    (void)state;
    void **place = calloc(COUNT, sizeof *place);
    struct survivors list = survivors_new(COUNT);
    assert_int_equal(loam_root_add(place, COUNT * sizeof *place), 0);
    fill_place(place, COUNT, 64, &list);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    loam_root_remove(place);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    free(place);
    survivors_free(&list);
}

static void adding_a_root_again_replaces_its_length(void **state) {
    (void)state;
    void **place = calloc(COUNT, sizeof *place);
    struct survivors list = survivors_new(COUNT);
    assert_int_equal(loam_root_add(place, COUNT * sizeof *place), 0);
    assert_int_equal(loam_root_add(place, COUNT / 2 * sizeof *place), 0);
    fill_place(place, COUNT, 64, &list);
    collect_clean();
    size_t live = survivors_count(&list);
    assert_in_range(live, COUNT / 2, COUNT / 2 + SURVIVORS_SLACK);
    assert_int_equal(loam_root_add(place, COUNT * sizeof *place), 0);
    loam_root_remove(place); // Once is enough.
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    free(place);
    survivors_free(&list);
}

static void an_impossible_root_is_a_bad_argument(void **state) {
    (void)state;
    static void *cell;
    assert_int_equal(loam_root_add(NULL, 8), -1);
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_int_equal(loam_root_add(&cell, 0), -1);
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_true(strlen(loam_last_error()) > 0);
}

static void a_thousand_roots_are_kept_apart(void **state) {
    (void)state;
    enum { ROOTS = 1000 };
    void **places[ROOTS];
    struct survivors list = survivors_new(ROOTS);
    for (size_t i = 0; i < ROOTS; i++) {
        places[i] = calloc(1, sizeof(void *));
        assert_int_equal(loam_root_add(places[i], sizeof(void *)), 0);
        fill_place(places[i], 1, 32, &list);
    }
    collect_clean();
    assert_int_equal(survivors_count(&list), ROOTS);
    // Runs of ten, since a pointer to a cell is also one past the cell before
    // it and may keep that one too.
    for (size_t i = 0; i < ROOTS; i++) {
        if (i / 10 % 2 == 0) {
            loam_root_remove(places[i]);
        }
    }
    collect_clean();
    size_t live = survivors_count(&list);
    assert_in_range(live, ROOTS / 2, ROOTS / 2 + ROOTS / 10 + SURVIVORS_SLACK);
    for (size_t i = 0; i < ROOTS; i++) {
        if (i / 10 % 2 != 0) {
            loam_root_remove(places[i]);
        }
        free(places[i]);
    }
    survivors_free(&list);
}

static void only_aligned_words_of_a_root_count(void **state) {
    (void)state;
    struct survivors list = survivors_new(COUNT);
    char *bytes = calloc(COUNT + 2, sizeof(void *));
    void *place[COUNT];
    fill_place(place, COUNT, 64, &list);
    memcpy(bytes + 4, place, sizeof place);
    memset(place, 0, sizeof place);
    assert_int_equal(loam_root_add(bytes, (COUNT + 2) * sizeof(void *)), 0);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    loam_root_remove(bytes);
    free(bytes);
    survivors_free(&list);
}

// Moves every pointer in place[] by `offset` bytes of its object.
static OWN_FRAME void shift_place(void **place, ptrdiff_t offset) {
    for (size_t i = 0; i < COUNT; i++) {
        size_t room = loam_size_of(place[i]);
        place[i] = (char *)place[i] + (offset < 0 ? (ptrdiff_t)room : offset);
    }
}

static void interior_pointers_on_the_stack_keep_the_object(void **state) {
    (void)state;
    void *on_the_stack[COUNT];
    for (size_t bytes = 64; bytes < 60000; bytes *= 5) {
        struct survivors list = survivors_new(COUNT);
        fill_place(on_the_stack, COUNT, bytes, &list);
        shift_place(on_the_stack, (ptrdiff_t)bytes - 1);
        collect_clean();
        assert_int_equal(survivors_count(&list), COUNT);
        survivors_free(&list);
        memset(on_the_stack, 0, sizeof on_the_stack);
    }
}

static void one_past_the_end_on_the_stack_keeps_the_object(void **state) {
    (void)state;
    void *on_the_stack[COUNT];
    // Sizes that fill their cells, so that the pointer is past the cell too.
    const size_t sizes[] = {16, 64, 256, 1024, 4096, 8192, 16384, 65536};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        struct survivors list = survivors_new(COUNT);
        fill_place(on_the_stack, COUNT, sizes[s], &list);
        shift_place(on_the_stack, -1);
        collect_clean();
        assert_int_equal(survivors_count(&list), COUNT);
        survivors_free(&list);
        memset(on_the_stack, 0, sizeof on_the_stack);
    }
}

static void one_past_the_end_in_static_data_keeps_the_object(void **state) {
    (void)state;
    struct survivors list = survivors_new(COUNT);
    fill_place(in_bss, COUNT, 4096, &list);
    shift_place(in_bss, -1);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    memset(in_bss, 0, sizeof in_bss);
    survivors_free(&list);
}

static void interior_pointers_within_the_heap_keep_the_object(void **state) {
    (void)state;
    void **holder = loam_alloc(COUNT * sizeof *holder);
    for (size_t bytes = 64; bytes < 60000; bytes *= 5) {
        struct survivors list = survivors_new(COUNT);
        fill_place(holder, COUNT, bytes, &list);
        shift_place(holder, (ptrdiff_t)bytes / 2 + 3);
        collect_clean();
        assert_int_equal(survivors_count(&list), COUNT);
        survivors_free(&list);
    }
    loam_keep_alive(holder);
}

static OWN_FRAME void pin_all(struct survivors *list, size_t times) {
    void *place[COUNT];
    fill_place(place, COUNT, 96, list);
    for (size_t t = 0; t < times; t++) {
        for (size_t i = 0; i < COUNT; i++) {
            must(loam_pin((char *)place[i] + i % 96) ==
                 (char *)place[i] + i % 96);
        }
    }
    memset(place, 0, sizeof place);
    loam_keep_alive(place);
}

static OWN_FRAME void unpin_all(const struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        loam_unpin(unhide(list->hidden[i]));
    }
}

static void a_pin_keeps_until_it_is_undone_as_often(void **state) {
    (void)state;
    struct survivors list = survivors_new(COUNT);
    pin_all(&list, 2);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    unpin_all(&list);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    unpin_all(&list);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void what_is_no_object_cannot_be_pinned(void **state) {
    (void)state;
    int local = 0;
    assert_null(loam_pin(&local));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
    assert_null(loam_pin(NULL));
    assert_true(strlen(loam_last_error()) > 0);
}

static void keep_alive_holds_an_object_up_to_that_point(void **state) {
    (void)state;
    uint64_t *p = loam_alloc(64);
    p[3] = 17;
    uintptr_t hidden = hide(p);
    collect_clean();
    assert_true(is_live(hidden));
    loam_keep_alive(p);
}

static void cycles_are_collected(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // Stale words between their larger frames keep the cycle.
    }
    struct survivors list = survivors_new(COUNT);
    fill_place(in_bss, COUNT, 64, &list);
    for (size_t i = 0; i < COUNT; i++) {
        *(void **)in_bss[i] = in_bss[(i + 1) % COUNT];
    }
    memset(in_bss + 1, 0, sizeof in_bss - sizeof *in_bss);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    // One stale word would keep the whole cycle: try a few.
    bool is_gone = false;
    for (int attempt = 0; attempt < 5 && !is_gone; attempt++) {
        in_bss[0] = NULL;
        collect_clean();
        is_gone = survivors_count(&list) == 0;
        stack_clear();
    }
    assert_true(is_gone);
    survivors_free(&list);
}

static void objects_outlive_a_longjmp(void **state) {
    (void)state;
    jmp_buf place;
    uint64_t *volatile p = loam_alloc(64);
    uintptr_t hidden = hide(p);
    if (setjmp(place) == 0) {
        collect_clean();
        longjmp(place, 1);
    }
    collect_clean();
    assert_true(is_live(hidden));
    p[0] = 1;
}

#if defined(__x86_64__)
// Loads eight hidden addresses into the vector registers, uncovers them there
// and nowhere else, and spins until *is_done.
static OWN_FRAME void hold_in_vectors(uintptr_t *hidden, const int *is_done,
                                      int *is_holding) {
    __asm__ volatile("pcmpeqd %%xmm15, %%xmm15\n\t"
                     "movdqu   (%0), %%xmm8\n\t  pxor %%xmm15, %%xmm8\n\t"
                     "movdqu 16(%0), %%xmm9\n\t  pxor %%xmm15, %%xmm9\n\t"
                     "movdqu 32(%0), %%xmm10\n\t pxor %%xmm15, %%xmm10\n\t"
                     "movdqu 48(%0), %%xmm11\n\t pxor %%xmm15, %%xmm11\n\t"
                     "movl $1, (%2)\n"
                     "1: pause\n\t cmpl $0, (%1)\n\t je 1b\n\t"
                     "pxor %%xmm15, %%xmm8\n\t  movdqu %%xmm8,   (%0)\n\t"
                     "pxor %%xmm15, %%xmm9\n\t  movdqu %%xmm9, 16(%0)\n\t"
                     "pxor %%xmm15, %%xmm10\n\t movdqu %%xmm10, 32(%0)\n\t"
                     "pxor %%xmm15, %%xmm11\n\t movdqu %%xmm11, 48(%0)\n\t"
                     :
                     : "r"(hidden), "r"(is_done), "r"(is_holding)
                     : "memory", "xmm8", "xmm9", "xmm10", "xmm11", "xmm15");
}

struct vector_case {
    struct survivors list;
    int is_holding;
    int is_done;
};

static OWN_FRAME void make_eight(struct survivors *list) {
    void *place[8];
    fill_place(place, 8, 64, list);
    memset(place, 0, sizeof place);
    loam_keep_alive(place);
}

static void *vector_thread(void *argument) {
    struct vector_case *shared = argument;
    make_eight(&shared->list);
    stack_clear();
    hold_in_vectors(shared->list.hidden, &shared->is_done, &shared->is_holding);
    return NULL;
}

static void vector_registers_keep_objects(void **state) {
    (void)state;
    if (place_has_valgrind() || place_has_tsan()) {
        skip(); // Both run signal handlers late, with registers of their own.
    }
    struct vector_case *shared = calloc(1, sizeof *shared);
    shared->list = survivors_new(8);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, vector_thread, shared), 0);
    while (__atomic_load_n(&shared->is_holding, __ATOMIC_ACQUIRE) == 0) {
    }
    collect_clean();
    size_t live = survivors_count(&shared->list);
    __atomic_store_n(&shared->is_done, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(live, 8);
    survivors_free(&shared->list);
    free(shared);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_data_keeps_objects),
        cmocka_unit_test(thread_local_storage_keeps_objects),
        cmocka_unit_test(the_stack_keeps_objects),
        cmocka_unit_test(objects_of_every_class_are_kept_and_dropped),
        cmocka_unit_test(a_conservative_object_keeps_objects),
        cmocka_unit_test(a_leaf_keeps_nothing),
        cmocka_unit_test(memory_of_malloc_keeps_nothing_until_it_is_a_root),
        cmocka_unit_test(a_removed_root_keeps_nothing),
        cmocka_unit_test(adding_a_root_again_replaces_its_length),
        cmocka_unit_test(an_impossible_root_is_a_bad_argument),
        cmocka_unit_test(a_thousand_roots_are_kept_apart),
        cmocka_unit_test(only_aligned_words_of_a_root_count),
        cmocka_unit_test(interior_pointers_on_the_stack_keep_the_object),
        cmocka_unit_test(one_past_the_end_on_the_stack_keeps_the_object),
        cmocka_unit_test(one_past_the_end_in_static_data_keeps_the_object),
        cmocka_unit_test(interior_pointers_within_the_heap_keep_the_object),
        cmocka_unit_test(a_pin_keeps_until_it_is_undone_as_often),
        cmocka_unit_test(what_is_no_object_cannot_be_pinned),
        cmocka_unit_test(keep_alive_holds_an_object_up_to_that_point),
        cmocka_unit_test(cycles_are_collected),
        cmocka_unit_test(objects_outlive_a_longjmp),
#if defined(__x86_64__)
        cmocka_unit_test(vector_registers_keep_objects),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
