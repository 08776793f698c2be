// SPDX-License-Identifier: MIT
// dlopen_test.c: libraries opened and closed later, as roots and as users.

#include <dlfcn.h>
#include <loam.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define COUNT 100

typedef void **place_fn(void);

static void *open_library(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        print_message("%s\n", dlerror());
    }
    assert_non_null(library);
    return library;
}

// The place that a function of a library returns.
static void **place_of(void *library, const char *name) {
    place_fn *place = NULL;
    *(void **)&place = dlsym(library, name);
    assert_non_null(place);
    return place();
}

static void expect_kept_by(void **place) {
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    assert_true(is_place_intact(place, COUNT, 64));
    memset(place, 0, COUNT * sizeof *place);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void expect_library_keeps(const char *path) {
    void *library = open_library(path);
    expect_kept_by(place_of(library, "plugin_data"));
    expect_kept_by(place_of(library, "plugin_bss"));
    expect_kept_by(place_of(library, "plugin_tls"));
    assert_int_equal(dlclose(library), 0);
}

static void data_and_storage_of_an_opened_library_keep_objects(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        expect_library_keeps(PLUGIN_PLAIN_PATH);
        expect_library_keeps(PLUGIN_PATH);
    }
}

static void a_closed_library_keeps_nothing(void **state) {
    (void)state;
    struct survivors list = survivors_new((size_t)COUNT * 2);
    void *library = open_library(PLUGIN_PLAIN_PATH);
    fill_place(place_of(library, "plugin_bss"), COUNT, 64, &list);
    fill_place(place_of(library, "plugin_tls"), COUNT, 64, &list);
    collect_clean();
    assert_int_equal(survivors_count(&list), 2 * COUNT);
    assert_int_equal(dlclose(library), 0);
    if (dlopen(PLUGIN_PLAIN_PATH, RTLD_NOW | RTLD_NOLOAD) != NULL) {
        skip(); // A sanitizer keeps libraries open.
    }
    collect_clean();
    // Its static data is gone. Its thread-local block may have been in glibc's
    // static reserve, where the words stay until another library is given it.
    assert_true(survivors_count(&list) <= COUNT + 2 * SURVIVORS_SLACK);
    survivors_free(&list);
}

struct visit {
    sem_t reported;
    sem_t replied;
    void *library;
    struct survivors list;
};

static void *hold_in_library(void *argument) {
    struct visit *visit = argument;
    void **place = place_of(visit->library, "plugin_tls");
    fill_place(place, COUNT, 64, &visit->list);
    stack_clear();
    sem_post(&visit->reported);
    while (sem_wait(&visit->replied) != 0) {
    }
    must(is_place_intact(place, COUNT, 64));
    return NULL;
}

static void storage_of_other_threads_in_a_library_keeps_objects(void **state) {
    (void)state;
    struct visit *visit = calloc(1, sizeof *visit);
    visit->list = survivors_new(COUNT);
    visit->library = open_library(PLUGIN_PLAIN_PATH);
    sem_init(&visit->reported, 0, 0);
    sem_init(&visit->replied, 0, 0);
    pthread_t thread;
    must(pthread_create(&thread, NULL, hold_in_library, visit) == 0);
    while (sem_wait(&visit->reported) != 0) {
    }
    collect_clean();
    size_t live = survivors_count(&visit->list);
    sem_post(&visit->replied);
    must(pthread_join(thread, NULL) == 0);
    assert_int_equal(live, COUNT);
    collect_clean();
    assert_true(survivors_count(&visit->list) <= SURVIVORS_SLACK);
    dlclose(visit->library);
    survivors_free(&visit->list);
    free(visit);
}

static OWN_FRAME void *fill_static_tls(void *argument) {
    struct visit *visit = argument;
    void **place = place_of(visit->library, "plugin_static_tls");
    fill_place(place, 16, 64, &visit->list);
    collect_clean();
    must(survivors_count(&visit->list) == 16);
    must(is_place_intact(place, 16, 64));
    memset(place, 0, 16 * sizeof *place);
    return NULL;
}

// Of threads that were there when the library came, and of later ones.
static void storage_laid_out_beforehand_keeps_objects_too(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // Their own storage takes what the loader laid out.
    }
    struct visit visit = {.list = survivors_new(48)};
    visit.library = open_library(PLUGIN_PLAIN_PATH);
    fill_static_tls(&visit);
    pthread_t thread;
    visit.list.count = 0;
    must(pthread_create(&thread, NULL, fill_static_tls, &visit) == 0);
    must(pthread_join(thread, NULL) == 0);
    dlclose(visit.library);
    survivors_free(&visit.list);
}

struct plugin_node;

static void a_library_may_make_objects_of_its_own_types(void **state) {
    (void)state;
    void *library = open_library(PLUGIN_PATH);
    struct plugin_node *(*list_of)(size_t) = NULL;
    size_t (*sum_of)(const struct plugin_node *) = NULL;
    *(void **)&list_of = dlsym(library, "plugin_list");
    *(void **)&sum_of = dlsym(library, "plugin_sum");
    struct plugin_node *list = list_of(100000);
    collect_clean();
    assert_int_equal(sum_of(list), (size_t)100000 * 100001 / 2);
    assert_string_equal(loam_type_name(loam_type_of(list)),
                        "struct plugin_node");
    dlclose(library);
    // Its objects outlive it: their type was copied.
    collect_clean();
    assert_string_equal(loam_type_name(loam_type_of(list)),
                        "struct plugin_node");
    loam_verify();
}

static int is_over;

static void *allocate_and_collect(void *argument) {
    (void)argument;
    for (size_t i = 0; __atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0; i++) {
        uint64_t *p = loam_alloc(64);
        must(p != NULL && p[7] == 0);
        p[7] = 1;
        if (i % 1000 == 0) {
            loam_collect();
        }
    }
    return NULL;
}

static void libraries_come_and_go_while_others_collect(void **state) {
    (void)state;
    pthread_t threads[2];
    is_over = 0;
    for (size_t i = 0; i < 2; i++) {
        must(pthread_create(&threads[i], NULL, allocate_and_collect, NULL) ==
             0);
    }
    for (size_t i = 0; i < place_scaled(300); i++) {
        void *library =
            open_library(i % 2 == 0 ? PLUGIN_PLAIN_PATH : PLUGIN_PATH);
        place_of(library, "plugin_tls")[0] = loam_alloc(100);
        place_of(library, "plugin_bss")[0] = loam_alloc(100);
        assert_int_equal(dlclose(library), 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 2; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    loam_verify();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_and_storage_of_an_opened_library_keep_objects),
        cmocka_unit_test(a_closed_library_keeps_nothing),
        cmocka_unit_test(storage_of_other_threads_in_a_library_keeps_objects),
        cmocka_unit_test(storage_laid_out_beforehand_keeps_objects_too),
        cmocka_unit_test(a_library_may_make_objects_of_its_own_types),
        cmocka_unit_test(libraries_come_and_go_while_others_collect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
