// SPDX-License-Identifier: MIT
// bad_test.c: what happens where the caller breaks the contract.
//
// Each misuse runs in a process of its own. It must end by abort with one
// message that says what was seen, what the rule is and what to do.

#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "support/framework.h"
#include "support/misuse.h"
#include "support/scene.h"
#include "support/survivors.h"

// ---- Misuses ----------------------------------------------------------------

// What a compiler would warn about goes through here.
static OWN_FRAME void *launder(void *p) {
    __asm__ volatile("" : "+r"(p));
    return p;
}

static void free_of_malloc(void) {
    must(loam_init() == 0);
    loam_free(launder(malloc(100)));
}

static void free_of_stack(void) {
    int local = 0;
    must(loam_init() == 0);
    loam_free(launder(&local));
}

static void free_before_init(void) {
    static int cell;
    loam_free(launder(&cell));
}

static void free_inside(void) {
    char *p = loam_alloc(100);
    loam_free(launder(p + 16));
}

static void free_inside_large(void) {
    char *p = loam_alloc(100000);
    loam_free(launder(p + 50000));
}

static void free_twice(void) {
    char *p = loam_alloc(100);
    loam_free(p);
    loam_free(launder(p));
}

static void free_twice_large(void) {
    char *p = loam_alloc(1000000);
    loam_free(p);
    loam_free(launder(p));
}

static void free_twice_after_collect(void) {
    char *p = loam_alloc(100);
    loam_free(p);
    loam_collect();
    loam_free(launder(p));
}

static void free_of_free_cell(void) {
    char *p = loam_alloc(128);
    loam_free(launder(p + 128 * 3));
}

static void realloc_of_malloc(void) {
    must(loam_init() == 0);
    loam_realloc(launder(malloc(100)), 200);
}

static void realloc_inside(void) {
    char *p = loam_alloc(100);
    loam_realloc(launder(p + 8), 200);
}

static void realloc_of_freed(void) {
    char *p = loam_alloc(100);
    loam_free(p);
    loam_realloc(launder(p), 200);
}

static void root_remove_unknown(void) {
    static void *cell;
    must(loam_init() == 0);
    loam_root_remove(&cell);
}

static void root_remove_twice(void) {
    static void *cell;
    must(loam_root_add(&cell, sizeof cell) == 0);
    loam_root_remove(&cell);
    loam_root_remove(&cell);
}

static void unpin_unpinned(void) {
    loam_unpin(loam_alloc(100));
}

static void unpin_too_often(void) {
    void *p = loam_pin(loam_alloc(100));
    loam_unpin(p);
    loam_unpin(p);
}

static void blocking_end_alone(void) {
    must(loam_init() == 0);
    loam_blocking_end();
}

static void alloc_after_shutdown(void) {
    must(loam_alloc(100) != NULL);
    loam_shutdown();
    loam_alloc(100);
}

static void new_after_shutdown(void) {
    for (int i = 0; i < 2; i++) {
        must(loam_new_array(long, 4) != NULL || i == 1);
        if (i == 0) {
            loam_shutdown();
        }
    }
}

static void collect_after_shutdown(void) {
    must(loam_init() == 0);
    loam_shutdown();
    loam_collect();
}

struct counted {
    struct counted *self;
    long number;
};
LOAM_TYPE(struct counted, self)

static void counted_end(void *object) {
    struct counted *c = object;
    if (c->number == 1) {
        loam_retain(c); // it cannot be kept
    } else if (c->number == 2) {
        loam_release(c);
    }
}
LOAM_COUNTED(struct counted, counted_end)

static struct counted *counted_new(long number) {
    struct counted *c = loam_counted_new(struct counted);
    must(c != NULL);
    c->number = number;
    return c;
}

static void release_too_often(void) {
    struct counted *c = counted_new(0);
    loam_release(c);
    loam_release(launder(c));
}

static void *release_in_thread(void *object) {
    loam_release(object);
    return NULL;
}

static void release_too_often_elsewhere(void) {
    struct counted *c = counted_new(0);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, release_in_thread, c) == 0);
        pthread_join(thread, NULL);
    }
}

static void retain_after_death(void) {
    struct counted *c = counted_new(0);
    loam_release(c);
    loam_retain((struct counted *)launder(c));
}

static void retain_in_dispose(void) {
    loam_release(counted_new(1));
}

static void release_in_dispose(void) {
    loam_release(counted_new(2));
}

static void retain_uncounted(void) {
    loam_retain(loam_alloc(1000));
}

static void release_uncounted(void) {
    loam_release(loam_alloc(1000));
}

static void release_inside(void) {
    struct counted *c = counted_new(0);
    loam_release(&c->number);
}

static void free_counted(void) {
    loam_free(counted_new(0));
}

static void realloc_counted(void) {
    loam_realloc(counted_new(0), 100);
}

struct marked {
    uintptr_t word;
};

static void marked_mark(struct loam_marker *marker, const void *object,
                        size_t bytes) {
    (void)bytes;
    loam_mark(marker, (void *)((const struct marked *)object)->word);
}
LOAM_TYPE_MARK(struct marked, marked_mark)

static void counted_with_mark_function(void) {
    loam_counted_new(struct marked);
}

struct forgetful {
    struct forgetful *next;
    struct forgetful *owned;
};
LOAM_TYPE(struct forgetful, next)
LOAM_COUNTED_OWNS(struct forgetful, NULL, owned)

static void owned_field_without_type(void) {
    loam_counted_new(struct forgetful);
}

struct stack_case {
    ucontext_t main;
    ucontext_t other;
    struct loam_stack *stack;
};

static struct stack_case stack_case;

static void *map_stack(void) {
    void *base = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(base != MAP_FAILED);
    return base;
}

static void remove_own_stack(void) {
    loam_stack_remove(stack_case.stack);
}

static void *switch_to_it(void *argument) {
    (void)argument;
    loam_stack_switch(stack_case.stack);
    return NULL;
}

static void switch_elsewhere(void) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, switch_to_it, NULL) == 0);
    pthread_join(thread, NULL);
}

static void run_on_stack(void (*run)(void)) {
    void *base = map_stack();
    stack_case.stack = loam_stack_add(base, 65536);
    must(stack_case.stack != NULL);
    must(getcontext(&stack_case.other) == 0);
    stack_case.other.uc_stack.ss_sp = base;
    stack_case.other.uc_stack.ss_size = 65536;
    stack_case.other.uc_link = &stack_case.main;
    makecontext(&stack_case.other, run, 0);
    loam_stack_switch(stack_case.stack);
    swapcontext(&stack_case.main, &stack_case.other);
}

static void stack_remove_in_use(void) {
    run_on_stack(remove_own_stack);
}

static void stack_switch_to_busy(void) {
    run_on_stack(switch_elsewhere);
}

static void type_with_unknown_nested(void) {
    static const struct loam_field field = {0, 8, LOAM_FIELD_NESTED,
                                            "struct nobody_knows", NULL};
    struct loam_type_spec spec = {.name = "holder",
                                  .size_bytes = 8,
                                  .scan = LOAM_SCAN_FIELDS,
                                  .fields = &field,
                                  .field_count = 1};
    must(loam_type_define(&spec) == NULL);
    must(loam_last_status() == LOAM_BAD_ARGUMENT);
    must(strstr(loam_last_error(), "struct nobody_knows") != NULL);
}

static const struct scene scenes[] = {
    {"free_of_malloc", free_of_malloc},
    {"free_of_stack", free_of_stack},
    {"free_before_init", free_before_init},
    {"free_inside", free_inside},
    {"free_inside_large", free_inside_large},
    {"free_twice", free_twice},
    {"free_twice_large", free_twice_large},
    {"free_twice_after_collect", free_twice_after_collect},
    {"free_of_free_cell", free_of_free_cell},
    {"realloc_of_malloc", realloc_of_malloc},
    {"realloc_inside", realloc_inside},
    {"realloc_of_freed", realloc_of_freed},
    {"root_remove_unknown", root_remove_unknown},
    {"root_remove_twice", root_remove_twice},
    {"unpin_unpinned", unpin_unpinned},
    {"unpin_too_often", unpin_too_often},
    {"blocking_end_alone", blocking_end_alone},
    {"alloc_after_shutdown", alloc_after_shutdown},
    {"new_after_shutdown", new_after_shutdown},
    {"collect_after_shutdown", collect_after_shutdown},
    {"release_too_often", release_too_often},
    {"release_too_often_elsewhere", release_too_often_elsewhere},
    {"retain_after_death", retain_after_death},
    {"retain_in_dispose", retain_in_dispose},
    {"release_in_dispose", release_in_dispose},
    {"retain_uncounted", retain_uncounted},
    {"release_uncounted", release_uncounted},
    {"release_inside", release_inside},
    {"free_counted", free_counted},
    {"realloc_counted", realloc_counted},
    {"counted_with_mark_function", counted_with_mark_function},
    {"owned_field_without_type", owned_field_without_type},
    {"stack_remove_in_use", stack_remove_in_use},
    {"stack_switch_to_busy", stack_switch_to_busy},
    {"type_with_unknown_nested", type_with_unknown_nested},
};

// ---- Tests ------------------------------------------------------------------

static void freeing_a_foreign_pointer_is_an_error(void **state) {
    (void)state;
    expect_abort("free_of_malloc", "loam_free", "0x");
    expect_abort("free_of_stack", "loam_free", "0x");
    expect_abort("free_before_init", "loam_free", "0x");
}

static void freeing_an_interior_pointer_is_an_error(void **state) {
    (void)state;
    expect_abort("free_inside", "loam_free", "interior");
    expect_abort("free_inside_large", "loam_free", "interior");
}

static void freeing_twice_is_an_error(void **state) {
    (void)state;
    expect_abort("free_twice", "loam_free", "free");
    expect_abort("free_twice_large", "loam_free", "free");
    expect_abort("free_twice_after_collect", "loam_free", "free");
    expect_abort("free_of_free_cell", "loam_free", "free");
}

static void resizing_what_is_no_object_is_an_error(void **state) {
    (void)state;
    expect_abort("realloc_of_malloc", "loam_realloc", "0x");
    expect_abort("realloc_inside", "loam_realloc", "0x");
    expect_abort("realloc_of_freed", "loam_realloc", "0x");
}

static void removing_an_unknown_root_is_an_error(void **state) {
    (void)state;
    expect_abort("root_remove_unknown", "loam_root_remove", "0x");
    expect_abort("root_remove_twice", "loam_root_remove", "0x");
}

static void unpinning_what_is_not_pinned_is_an_error(void **state) {
    (void)state;
    expect_abort("unpin_unpinned", "loam_unpin", "loam_pin");
    expect_abort("unpin_too_often", "loam_unpin", "loam_pin");
}

static void ending_a_blocking_region_that_none_began_is_an_error(void **state) {
    (void)state;
    expect_abort("blocking_end_alone", "loam_blocking_end",
                 "loam_blocking_begin");
}

static void using_the_heap_after_shutdown_is_an_error(void **state) {
    (void)state;
    expect_abort("alloc_after_shutdown", "loam_shutdown", "loam");
    expect_abort("new_after_shutdown", "loam_shutdown", "loam");
    expect_abort("collect_after_shutdown", "loam_shutdown", "loam");
}

static void releasing_more_than_was_retained_is_an_error(void **state) {
    (void)state;
    expect_abort("release_too_often", "loam_release", "below 1");
    expect_abort("release_too_often_elsewhere", "loam_release", "below 1");
    expect_abort("release_in_dispose", "loam_release", "below 1");
}

static void an_object_cannot_be_retained_when_its_count_is_zero(void **state) {
    (void)state;
    expect_abort("retain_after_death", "loam_retain", "below 1");
    expect_abort("retain_in_dispose", "loam_retain", "dispose");
}

static void counting_what_is_not_counted_is_an_error(void **state) {
    (void)state;
    expect_abort("retain_uncounted", "loam_retain", "no count");
    expect_abort("release_uncounted", "loam_release", "no count");
    expect_abort("release_inside", "loam_release", "bytes into");
}

static void counted_objects_are_not_freed_by_hand(void **state) {
    (void)state;
    expect_abort("free_counted", "loam_free", "counted");
    expect_abort("realloc_counted", "loam_realloc", "counted");
}

static void a_counted_type_that_cannot_be_is_explained(void **state) {
    (void)state;
    expect_abort("counted_with_mark_function", "struct marked",
                 "mark function");
    expect_abort("owned_field_without_type", "struct forgetful", "LOAM_TYPE");
}

static void stacks_in_use_cannot_be_removed_or_shared(void **state) {
    (void)state;
    expect_abort("stack_remove_in_use", "loam_stack_remove", "stack");
    expect_abort("stack_switch_to_busy", "loam_stack_switch", "stack");
}

static void an_unknown_nested_type_is_named(void **state) {
    (void)state;
    const struct outcome *o = scene_play("type_with_unknown_nested", NULL);
    if (o->exit_code != 0) {
        print_message("%s\n", o->err);
    }
    assert_int_equal(o->exit_code, 0);
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freeing_a_foreign_pointer_is_an_error),
        cmocka_unit_test(freeing_an_interior_pointer_is_an_error),
        cmocka_unit_test(freeing_twice_is_an_error),
        cmocka_unit_test(resizing_what_is_no_object_is_an_error),
        cmocka_unit_test(removing_an_unknown_root_is_an_error),
        cmocka_unit_test(unpinning_what_is_not_pinned_is_an_error),
        cmocka_unit_test(ending_a_blocking_region_that_none_began_is_an_error),
        cmocka_unit_test(using_the_heap_after_shutdown_is_an_error),
        cmocka_unit_test(releasing_more_than_was_retained_is_an_error),
        cmocka_unit_test(an_object_cannot_be_retained_when_its_count_is_zero),
        cmocka_unit_test(counting_what_is_not_counted_is_an_error),
        cmocka_unit_test(counted_objects_are_not_freed_by_hand),
        cmocka_unit_test(a_counted_type_that_cannot_be_is_explained),
        cmocka_unit_test(stacks_in_use_cannot_be_removed_or_shared),
        cmocka_unit_test(an_unknown_nested_type_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
