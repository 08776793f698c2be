// SPDX-License-Identifier: MIT
// coroutine_test.c: stacks that the program makes and switches itself.

#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define COUNT 100
#define STACK_BYTES ((size_t)128 << 10)

// A coroutine over swapcontext: resumed by the test, it yields to it.
struct coroutine {
    ucontext_t here;
    ucontext_t caller;
    void *base;
    struct loam_stack *stack;
    void (*run)(struct coroutine *self);
    struct survivors list;
    uint64_t seed;
    bool is_over;
};

static void coroutine_enter(unsigned low, unsigned high) {
    uintptr_t address = (uintptr_t)low | (uintptr_t)high << 32;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    struct coroutine *self = (struct coroutine *)address;
    self->run(self);
    self->is_over = true;
    loam_stack_switch(NULL);
    setcontext(&self->caller);
    must(!"a coroutine that is over does not run");
}

static struct coroutine *coroutine_new(void (*run)(struct coroutine *)) {
    struct coroutine *c = calloc(1, sizeof *c);
    must(c != NULL);
    c->base = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(c->base != MAP_FAILED);
    c->stack = loam_stack_add(c->base, STACK_BYTES);
    must(c->stack != NULL);
    c->run = run;
    c->list = survivors_new(COUNT);
    must(getcontext(&c->here) == 0);
    c->here.uc_stack.ss_sp = c->base;
    c->here.uc_stack.ss_size = STACK_BYTES;
    makecontext(&c->here, (void (*)(void))coroutine_enter, 2,
                (unsigned)(uintptr_t)c, (unsigned)((uintptr_t)c >> 32));
    return c;
}

static void coroutine_free(struct coroutine *c) {
    loam_stack_remove(c->stack);
    munmap(c->base, STACK_BYTES);
    survivors_free(&c->list);
    free(c);
}

static OWN_FRAME void coroutine_resume(struct coroutine *c) {
    loam_stack_switch(c->stack);
    must(swapcontext(&c->caller, &c->here) == 0);
}

// Without a frame, which would put the caller's registers on the stack.
static inline __attribute__((always_inline)) void coroutine_yield_here(
    struct coroutine *c) {
    loam_stack_switch(NULL);
    must(swapcontext(&c->here, &c->caller) == 0);
}

static OWN_FRAME void coroutine_yield(struct coroutine *c) {
    coroutine_yield_here(c);
}

static void hold_objects(struct coroutine *self) {
    void *place[COUNT];
    fill_place(place, COUNT, 64, &self->list);
    coroutine_yield(self);
    must(is_place_intact(place, COUNT, 64));
    collect_clean();
    must(survivors_count(&self->list) == COUNT);
    must(is_place_intact(place, COUNT, 64));
    coroutine_yield(self);
    must(is_place_intact(place, COUNT, 64));
}

static void the_stack_of_a_suspended_coroutine_keeps_objects(void **state) {
    (void)state;
    struct coroutine *c = coroutine_new(hold_objects);
    coroutine_resume(c);
    collect_clean();
    assert_int_equal(survivors_count(&c->list), COUNT);
    coroutine_resume(c);
    collect_clean();
    assert_int_equal(survivors_count(&c->list), COUNT);
    coroutine_resume(c);
    assert_true(c->is_over);
    struct survivors list = c->list;
    c->list = survivors_new(1);
    coroutine_free(c);
    collect_clean();
    assert_true(survivors_count(&list) <= SURVIVORS_SLACK);
    survivors_free(&list);
}

static void the_stack_that_resumes_keeps_objects_meanwhile(void **state) {
    (void)state;
    struct coroutine *c = coroutine_new(hold_objects);
    struct survivors list = survivors_new(COUNT);
    void *place[COUNT];
    fill_place(place, COUNT, 64, &list);
    coroutine_resume(c);
    coroutine_resume(c); // It collects while we are the side that waits.
    assert_int_equal(survivors_count(&list), COUNT);
    assert_true(is_place_intact(place, COUNT, 64));
    coroutine_resume(c);
    coroutine_free(c);
    survivors_free(&list);
}

#define REGISTERS 4 // that hold objects

static void *to_be_held[REGISTERS];

// Where the compiler optimizes it keeps these in registers that calls preserve, and
// swapcontext saves those in malloc's memory: what loam_stack_switch notes is all
// that leads to the objects. They are not taken before the stack is clear.
static OWN_FRAME void hold_in_registers(struct coroutine *self) {
    stack_clear();
    void *a = to_be_held[0];
    void *b = to_be_held[1];
    void *c = to_be_held[2];
    void *d = to_be_held[3];
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d) : : "memory");
    memset(to_be_held, 0, sizeof to_be_held);
    coroutine_yield_here(self);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d) : : "memory");
    void *place[REGISTERS] = {a, b, c, d};
    must(is_place_intact(place, REGISTERS, 64));
}

static void hold_little(struct coroutine *self) {
    fill_place(to_be_held, REGISTERS, 64, &self->list);
    hold_in_registers(self);
}

static void the_registers_of_a_suspended_coroutine_keep_objects(void **state) {
    (void)state;
    struct coroutine *c = coroutine_new(hold_little);
    coroutine_resume(c);
    collect_clean();
    assert_int_equal(survivors_count(&c->list), REGISTERS);
    coroutine_resume(c);
    assert_true(c->is_over);
    coroutine_free(c);
}

static void work_in_turns(struct coroutine *self) {
    struct chance chance = chance_start(self->seed);
    struct body *ring[32] = {NULL};
    for (size_t i = 0; i < 2000; i++) {
        struct body *b = body_new(&chance, self->seed, 2000);
        must(b != NULL);
        b->links[0] = i % 10 == 0 ? NULL : ring[chance_below(&chance, 32)];
        ring[i % 32] = b;
        must(body_walk(&chance, b, 20)->tag == self->seed);
        if (chance_below(&chance, 10) == 0) {
            coroutine_yield(self);
        }
    }
}

static OWN_FRAME void run_many(size_t count, uint64_t seed) {
    struct coroutine **all = calloc(count, sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        all[i] = coroutine_new(work_in_turns);
        all[i]->seed = seed + i;
    }
    size_t over = 0;
    size_t step = count % 7 ? 7 : 1; // comes to all of them
    for (size_t i = 0; over < count; i = (i + step) % count) {
        if (!all[i]->is_over) {
            coroutine_resume(all[i]);
            over += all[i]->is_over ? 1 : 0;
        }
        if (i == 0) {
            loam_collect();
        }
    }
    for (size_t i = 0; i < count; i++) {
        coroutine_free(all[i]);
    }
    free(all);
}

static void many_coroutines_take_turns(void **state) {
    (void)state;
    run_many(place_scaled(100), 1);
    loam_verify();
}

static void *run_many_in_thread(void *argument) {
    run_many(place_scaled(30), (uintptr_t)argument * 1000);
    return NULL;
}

static void coroutines_of_several_threads_take_turns(void **state) {
    (void)state;
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, run_many_in_thread,
                            (void *)(i + 1)) == 0);
    }
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    loam_verify();
}

static void *resume_elsewhere(void *argument) {
    coroutine_resume(argument);
    return NULL;
}

static void a_coroutine_may_move_to_another_thread(void **state) {
    (void)state;
    if (place_has_tsan() || place_has_asan()) {
        skip(); // They keep a thread's stack bounds and are not told.
    }
    struct coroutine *c = coroutine_new(hold_objects);
    coroutine_resume(c);
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, resume_elsewhere, c) == 0);
        must(pthread_join(thread, NULL) == 0);
        collect_clean();
        assert_true(c->is_over || survivors_count(&c->list) == COUNT);
    }
    assert_true(c->is_over);
    coroutine_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stack_of_a_suspended_coroutine_keeps_objects),
        cmocka_unit_test(the_stack_that_resumes_keeps_objects_meanwhile),
        cmocka_unit_test(the_registers_of_a_suspended_coroutine_keep_objects),
        cmocka_unit_test(many_coroutines_take_turns),
        cmocka_unit_test(coroutines_of_several_threads_take_turns),
        cmocka_unit_test(a_coroutine_may_move_to_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
