// SPDX-License-Identifier: MIT
// stack_test.c: the main thread's stack, whose limit may be changed or absent.

#include <alloca.h>
#include <loam.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 100
#define MIB ((size_t)1 << 20)

// ---- Scenes -----------------------------------------------------------------

static OWN_FRAME void expect_place_to_stay(void) {
    void *place[COUNT];
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    loam_collect();
    must(survivors_count(&list) == COUNT);
    must(is_place_intact(place, COUNT, 64));
    survivors_free(&list);
}

static void check_in_handler(int number) {
    (void)number;
    expect_place_to_stay();
}

static OWN_FRAME void expect_stacks_below(void) {
    void *place[COUNT];
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    expect_place_to_stay();
    raise(SIGUSR2); // on the signal stack
    must(survivors_count(&list) == COUNT);
    must(is_place_intact(place, COUNT, 64));
    survivors_free(&list);
}

// Takes so much of the stack, and then looks what stays.
static OWN_FRAME void go_down(size_t bytes) {
    char *room = alloca(bytes);
    for (size_t i = bytes; i > 0; i -= 4096) {
        ((volatile char *)room)[i - 1] = 0; // it grows a page at a time
    }
    expect_stacks_below();
    ((volatile char *)room)[0] = 1;
}

#define OTHER_BYTES ((size_t)64 << 10)

// Memory for another stack. It lies where malloc's heap has grown to since the
// start: between the mappings and the main thread's stack.
static void *other_stack(void) {
    void *memory = NULL;
    for (int i = 0; i < 100; i++) {
        memory = malloc(OTHER_BYTES);
        must(memory != NULL);
    }
    return memory;
}

static void use_signal_stack(void) {
    stack_t stack = {.ss_sp = other_stack(), .ss_size = OTHER_BYTES};
    struct sigaction action = {.sa_handler = check_in_handler,
                               .sa_flags = SA_ONSTACK};
    must(sigaltstack(&stack, NULL) == 0);
    must(sigaction(SIGUSR2, &action, NULL) == 0);
}

// 8 MiB is what the program was started with; the system leaves room for more
// below.
static void scene_raised(void) {
    struct rlimit limit;
    must(getrlimit(RLIMIT_STACK, &limit) == 0);
    limit.rlim_cur = 64 * MIB;
    must(setrlimit(RLIMIT_STACK, &limit) == 0);
    use_signal_stack();
    go_down(1 * MIB);
    go_down(30 * MIB);
}

static ucontext_t main_context, side_context;

static void side(void) {
    expect_place_to_stay();
    loam_stack_switch(NULL);
    swapcontext(&side_context, &main_context);
}

static void scene_unlimited(void) {
    use_signal_stack();
    go_down(30 * MIB);
    void *memory = other_stack();
    struct loam_stack *stack = loam_stack_add(memory, OTHER_BYTES);
    must(stack != NULL && getcontext(&side_context) == 0);
    side_context.uc_stack.ss_sp = memory;
    side_context.uc_stack.ss_size = OTHER_BYTES;
    makecontext(&side_context, side, 0);
    loam_stack_switch(stack);
    swapcontext(&main_context, &side_context);
    loam_stack_remove(stack);
}

// ---- Tests ------------------------------------------------------------------

static void expect_scene(const char *name, rlim_t bytes) {
    if (place_has_asan() || place_has_tsan()) {
        skip(); // They reserve what lies below the stack.
    }
    struct rlimit before;
    must(getrlimit(RLIMIT_STACK, &before) == 0);
    if (before.rlim_max < bytes || before.rlim_max < 64 * MIB) {
        skip(); // not allowed here
    }
    struct rlimit limit = {bytes, before.rlim_max};
    must(setrlimit(RLIMIT_STACK, &limit) == 0);
    const struct outcome *outcome = scene_play(name, NULL);
    must(setrlimit(RLIMIT_STACK, &before) == 0);
    if (outcome->exit_code != 0) {
        print_message("signal %d, %s\n", outcome->signal, outcome->err);
    }
    assert_int_equal(outcome->exit_code, 0);
}

static void a_stack_whose_limit_was_raised_counts_down_to_its_end(
    void **state) {
    (void)state;
    expect_scene("raised", 8 * MIB);
}

static void a_stack_without_a_limit_is_told_from_others(void **state) {
    (void)state;
    expect_scene("unlimited", RLIM_INFINITY);
}

int main(int argc, char **argv) {
    const struct scene scenes[] = {{"raised", scene_raised},
                                   {"unlimited", scene_unlimited}};
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_whose_limit_was_raised_counts_down_to_its_end),
        cmocka_unit_test(a_stack_without_a_limit_is_told_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
