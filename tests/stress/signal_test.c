// SPDX-License-Identifier: MIT
// signal_test.c: handlers that interrupt the allocator, and calls that the
// collector's own signal must not disturb.

#include <errno.h>
#include <loam.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

// ---- Handlers that allocate -------------------------------------------------

static struct body *volatile from_handler[64];
static struct chance handler_chance;
static volatile size_t handler_count;
static volatile size_t refused_count;

static void allocate_in_handler(int number) {
    (void)number;
    int saved = errno;
    for (size_t i = 0; i < 5; i++) {
        struct body *b = body_new(&handler_chance, handler_count, 400);
        if (b == NULL) {
            // A handler may be refused, and is told why.
            must(loam_last_status() == LOAM_IN_HANDLER);
            refused_count++;
            continue;
        }
        size_t at = handler_count % COUNT_OF(from_handler);
        b->links[0] = from_handler[(at + 7) % COUNT_OF(from_handler)];
        if (b->links[0] != NULL) {
            body_check(b->links[0]);
            b->links[0]->links[0] = NULL;
        }
        from_handler[at] = b;
        handler_count++;
    }
    errno = saved;
}

static void start_alarm(void (*handler)(int), int flags, long period_us) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    must(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval timer = {{0, period_us}, {0, period_us}};
    must(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void stop_alarm(void) {
    struct itimerval none = {{0, 0}, {0, 0}};
    must(setitimer(ITIMER_REAL, &none, NULL) == 0);
    signal(SIGALRM, SIG_IGN);
}

static OWN_FRAME void allocate_interrupted(size_t until_handled) {
    struct chance chance = chance_start(chance_seed("interrupted"));
    struct body *ring[64] = {NULL};
    for (size_t i = 0; handler_count + refused_count < until_handled; i++) {
        struct body *b = body_new(&chance, i, 20000);
        must(b != NULL);
        b->links[0] = ring[chance_below(&chance, 64)];
        ring[i % 64] = b;
        body_walk(&chance, b, 5);
        if (i % 64 == 63) {
            memset(ring, 0, sizeof ring);
        }
        if (i % 8 == 0) {
            body_wipe(b);
            ring[i % 64] = NULL;
            loam_free(b);
        }
    }
}

static void expect_handlers_to_allocate(int flags) {
    handler_chance = chance_start(5);
    memset((void *)from_handler, 0, sizeof from_handler);
    handler_count = 0;
    refused_count = 0;
    start_alarm(allocate_in_handler, flags, 200);
    allocate_interrupted(place_scaled(10000));
    stop_alarm();
    for (size_t i = 0; i < COUNT_OF(from_handler); i++) {
        if (from_handler[i] != NULL) {
            body_check(from_handler[i]);
        }
    }
    // Refusals are for rare moments only.
    assert_true(handler_count > 10 * refused_count);
    loam_verify();
}

static void a_handler_may_allocate_whatever_it_interrupts(void **state) {
    (void)state;
    if (place_has_tsan()) {
        skip(); // It delivers signals only between the functions it knows.
    }
    expect_handlers_to_allocate(0);
    expect_handlers_to_allocate(SA_NODEFER);
}

// ---- Handlers of several threads, and collections ---------------------------

static _Thread_local struct body *own_ring[16];
static _Thread_local struct chance own_chance;
static _Thread_local size_t own_count;
static size_t all_count;
static int is_over;

static void allocate_for_own_thread(int number) {
    (void)number;
    int saved = errno;
    struct body *b = own_chance.state == 0
                         ? NULL // a thread that is not in this test
                         : body_new(&own_chance, own_count, 300);
    if (b != NULL) {
        struct body **at = &own_ring[own_count++ % COUNT_OF(own_ring)];
        if (*at != NULL) {
            body_check(*at);
        }
        *at = b;
        __atomic_add_fetch(&all_count, 1, __ATOMIC_RELAXED);
    }
    errno = saved;
}

static void *allocate_amid_handlers(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    struct body *ring[32] = {NULL};
    own_chance = chance_start(~(uintptr_t)argument);
    for (size_t i = 0; __atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0; i++) {
        struct body *b = body_new(&chance, i, 5000);
        must(b != NULL);
        if (ring[i % 32] != NULL) {
            body_check(ring[i % 32]);
        }
        ring[i % 32] = b;
        if (i % 200 == 0) {
            loam_collect();
        } else if (i % 50 == 0) {
            loam_blocking_begin();
            loam_blocking_end();
        }
    }
    own_chance.state = 0;
    return NULL;
}

static void handlers_allocate_while_other_threads_collect(void **state) {
    (void)state;
    if (place_has_tsan()) {
        skip(); // It delivers signals only between the functions it knows.
    }
    pthread_t threads[3];
    is_over = 0;
    all_count = 0;
    start_alarm(allocate_for_own_thread, SA_RESTART, 100);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_create(&threads[i], NULL, allocate_amid_handlers,
                            (void *)(i + 1)) == 0);
    }
    // The timer's signal goes to any thread: send it round as well.
    size_t enough = place_scaled(20000);
    for (size_t i = 0; __atomic_load_n(&all_count, __ATOMIC_RELAXED) < enough;
         i++) {
        pthread_kill(threads[i % 3], SIGALRM);
        sched_yield();
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 3; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
    stop_alarm();
    loam_verify();
}

// ---- Stacks of handlers -----------------------------------------------------

static void give_another_stack(size_t bytes) {
    stack_t stack = {.ss_sp = malloc(bytes), .ss_size = bytes};
    must(stack.ss_sp != NULL && sigaltstack(&stack, NULL) == 0);
}

static void take_the_other_stack(void) {
    stack_t old;
    stack_t none = {.ss_flags = SS_DISABLE};
    must(sigaltstack(&none, &old) == 0);
    free(old.ss_sp);
}

static void a_handler_on_a_stack_of_its_own_may_allocate(void **state) {
    (void)state;
    if (place_has_tsan()) {
        skip(); // It delivers signals only between the functions it knows.
    }
    give_another_stack((size_t)256 << 10);
    expect_handlers_to_allocate(SA_ONSTACK);
    take_the_other_stack();
}

#define COUNT 100

static volatile size_t live_in_handler;

static void collect_in_handler(int number) {
    (void)number;
    void *place[COUNT];
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    collect_clean();
    live_in_handler = survivors_count(&list);
    must(is_place_intact(place, COUNT, 64));
    survivors_free(&list);
}

static OWN_FRAME void expect_both_stacks_to_keep(int flags) {
    struct survivors list = survivors_new(COUNT);
    void *place[COUNT];
    fill_place(place, COUNT, 64, &list);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = collect_in_handler;
    action.sa_flags = flags;
    must(sigaction(SIGUSR2, &action, NULL) == 0);
    live_in_handler = 0;
    raise(SIGUSR2);
    assert_int_equal(live_in_handler, COUNT);
    assert_int_equal(survivors_count(&list), COUNT);
    assert_true(is_place_intact(place, COUNT, 64));
    survivors_free(&list);
}

static void the_stacks_of_a_handler_and_of_what_it_interrupts_keep(
    void **state) {
    (void)state;
    expect_both_stacks_to_keep(0);
    give_another_stack((size_t)256 << 10);
    expect_both_stacks_to_keep(SA_ONSTACK);
    take_the_other_stack();
}

struct other_stack {
    sem_t reported;
    sem_t replied;
    struct survivors list;
};

static struct other_stack *others;

static void wait_in_handler(int number) {
    (void)number;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &others->list);
    sem_post(&others->reported);
    while (sem_wait(&others->replied) != 0) {
    }
    must(is_place_intact(place, COUNT, 64));
}

static void *be_in_a_handler(void *argument) {
    (void)argument;
    void *place[COUNT];
    fill_place(place, COUNT, 64, &others->list);
    give_another_stack((size_t)256 << 10);
    raise(SIGUSR2);
    take_the_other_stack();
    must(is_place_intact(place, COUNT, 64));
    return NULL;
}

static void a_thread_stopped_on_a_signal_stack_keeps_both(void **state) {
    (void)state;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = wait_in_handler;
    action.sa_flags = SA_ONSTACK;
    must(sigaction(SIGUSR2, &action, NULL) == 0);
    others = calloc(1, sizeof *others);
    others->list = survivors_new((size_t)COUNT * 2);
    sem_init(&others->reported, 0, 0);
    sem_init(&others->replied, 0, 0);
    pthread_t thread;
    must(pthread_create(&thread, NULL, be_in_a_handler, NULL) == 0);
    while (sem_wait(&others->reported) != 0) {
    }
    collect_clean();
    size_t live = survivors_count(&others->list);
    sem_post(&others->replied);
    must(pthread_join(thread, NULL) == 0);
    assert_int_equal(live, 2 * COUNT);
    survivors_free(&others->list);
    free(others);
}

// ---- Jumping out of handlers ------------------------------------------------

static sigjmp_buf way_out;
static volatile size_t jump_count;
static volatile sig_atomic_t may_jump;

static void jump_out(int number) {
    (void)number;
    if (may_jump) {
        may_jump = 0;
        jump_count++;
        siglongjmp(way_out, 1);
    }
}

// A handler may leave by siglongjmp where what it interrupts is the program's
// own code. To leave a function of a library half done is not allowed, there
// or here, so may_jump says when.
static void a_handler_may_leave_by_siglongjmp(void **state) {
    (void)state;
    struct body *volatile last = NULL;
    struct chance chance = chance_start(11);
    start_alarm(jump_out, 0, 500);
    while (jump_count < place_scaled(300)) {
        if (sigsetjmp(way_out, 1) == 0) {
            may_jump = 1;
            for (;;) {
                __asm__ volatile("" : : : "memory");
            }
        }
        struct body *b = body_new(&chance, jump_count, 3000);
        must(b != NULL);
        b->links[0] = jump_count % 10 == 0 ? NULL : last;
        last = b;
        body_walk(&chance, b, 10);
        if (jump_count % 50 == 0) {
            loam_collect();
        }
    }
    stop_alarm();
    loam_verify();
}

// ---- Interrupted system calls -----------------------------------------------

enum call {
    CALL_READ,
    CALL_POLL,
    CALL_SELECT,
    CALL_EPOLL,
    CALL_RECV,
    CALL_SEM,
    CALL_NANOSLEEP,
    CALL_SIGWAIT,
    CALL_COUNT
};

static const char *const call_names[CALL_COUNT] = {
    "read", "poll",          "select",    "epoll_wait",
    "recv", "sem_timedwait", "nanosleep", "sigtimedwait"};

struct blocked {
    enum call call;
    pid_t tid; // set right before the call
    int pipe[2];
    int sockets[2];
    sem_t semaphore;
    int result;
    int error;
    int is_done;
};

static int call_nanosleep(void) {
    // Ended by the clock; long enough for the collections meanwhile.
    struct timespec left = {0, 300000000};
    return nanosleep(&left, NULL) == 0 ? 1 : -1;
}

static int call_select(int fd) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, NULL);
}

static int call_epoll(int fd) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    int result = epoll_wait(epoll, &event, 1, -1);
    int error = errno;
    close(epoll);
    errno = error;
    return result;
}

static int call_sem(sem_t *semaphore) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    return sem_timedwait(semaphore, &until) == 0 ? 1 : -1;
}

static int call_sigwait(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct timespec timeout = {60, 0};
    return sigtimedwait(&set, NULL, &timeout) == SIGUSR1 ? 1 : -1;
}

static int call_blocking(struct blocked *b) {
    char byte;
    struct pollfd poll_fd = {b->pipe[0], POLLIN, 0};
    switch (b->call) {
    case CALL_READ:
        return (int)read(b->pipe[0], &byte, 1);
    case CALL_POLL:
        return poll(&poll_fd, 1, -1);
    case CALL_SELECT:
        return call_select(b->pipe[0]);
    case CALL_EPOLL:
        return call_epoll(b->pipe[0]);
    case CALL_RECV:
        return (int)recv(b->sockets[0], &byte, 1, 0);
    case CALL_SEM:
        return call_sem(&b->semaphore);
    case CALL_SIGWAIT:
        return call_sigwait();
    default:
        return call_nanosleep();
    }
}

static void *block(void *argument) {
    struct blocked *b = argument;
    void *place[COUNT];
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    if (b->call == CALL_SIGWAIT) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
    }
    __atomic_store_n(&b->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    b->result = call_blocking(b);
    b->error = errno;
    __atomic_store_n(&b->is_done, 1, __ATOMIC_RELEASE);
    must(is_place_intact(place, COUNT, 64));
    survivors_free(&list);
    return NULL;
}

// Spins until the thread sleeps in the kernel.
static void wait_until_asleep(const struct blocked *b) {
    char path[64];
    char text[256];
    pid_t tid = 0;
    while ((tid = __atomic_load_n(&b->tid, __ATOMIC_ACQUIRE)) == 0) {
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    for (;;) {
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            return; // The call was interrupted, and the thread is gone.
        }
        size_t got = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[got] = '\0';
        const char *state = strrchr(text, ')');
        if (state != NULL && state[2] == 'S') {
            return;
        }
    }
}

static void unblock(struct blocked *b, pthread_t thread) {
    switch (b->call) {
    case CALL_RECV:
        must(send(b->sockets[1], "x", 1, 0) == 1);
        break;
    case CALL_SEM:
        sem_post(&b->semaphore);
        break;
    case CALL_SIGWAIT:
        pthread_kill(thread, SIGUSR1);
        break;
    case CALL_NANOSLEEP:
        break;
    default:
        must(write(b->pipe[1], "x", 1) == 1);
    }
}

static void expect_uninterrupted(enum call call) {
    if (place_has_asan() || place_has_tsan()) {
        // Their own wrapper stands between ours and libc's function, and its
        // frame is larger than what we take for part of the call.
        skip();
    }
    struct blocked b = {.call = call};
    must(pipe(b.pipe) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, b.sockets) == 0);
    sem_init(&b.semaphore, 0, 0);
    pthread_t thread;
    must(pthread_create(&thread, NULL, block, &b) == 0);
    wait_until_asleep(&b);
    for (int i = 0; i < 20; i++) {
        loam_collect();
        if (call != CALL_NANOSLEEP &&
            !__atomic_load_n(&b.is_done, __ATOMIC_ACQUIRE)) {
            wait_until_asleep(&b);
        }
    }
    int was_done = __atomic_load_n(&b.is_done, __ATOMIC_ACQUIRE);
    unblock(&b, thread);
    must(pthread_join(thread, NULL) == 0);
    if (b.result != 1 || (was_done && call != CALL_NANOSLEEP)) {
        print_message("%s gave %d, %s\n", call_names[call], b.result,
                      strerror(b.error));
    }
    assert_int_equal(b.result, 1);
    for (int i = 0; i < 2; i++) {
        close(b.pipe[i]);
        close(b.sockets[i]);
    }
    sem_destroy(&b.semaphore);
}

#define TEST_OF_CALL(name, call)                                               \
    static void name(void **state) {                                           \
        (void)state;                                                           \
        expect_uninterrupted(call);                                            \
    }
TEST_OF_CALL(a_collection_does_not_interrupt_read, CALL_READ)
TEST_OF_CALL(a_collection_does_not_interrupt_poll, CALL_POLL)
TEST_OF_CALL(a_collection_does_not_interrupt_select, CALL_SELECT)
TEST_OF_CALL(a_collection_does_not_interrupt_epoll_wait, CALL_EPOLL)
TEST_OF_CALL(a_collection_does_not_interrupt_recv, CALL_RECV)
TEST_OF_CALL(a_collection_does_not_interrupt_sem_timedwait, CALL_SEM)
TEST_OF_CALL(a_collection_does_not_interrupt_nanosleep, CALL_NANOSLEEP)
TEST_OF_CALL(a_collection_does_not_interrupt_sigtimedwait, CALL_SIGWAIT)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_may_allocate_whatever_it_interrupts),
        cmocka_unit_test(handlers_allocate_while_other_threads_collect),
        cmocka_unit_test(a_handler_on_a_stack_of_its_own_may_allocate),
        cmocka_unit_test(
            the_stacks_of_a_handler_and_of_what_it_interrupts_keep),
        cmocka_unit_test(a_thread_stopped_on_a_signal_stack_keeps_both),
        cmocka_unit_test(a_handler_may_leave_by_siglongjmp),
        cmocka_unit_test(a_collection_does_not_interrupt_read),
        cmocka_unit_test(a_collection_does_not_interrupt_poll),
        cmocka_unit_test(a_collection_does_not_interrupt_select),
        cmocka_unit_test(a_collection_does_not_interrupt_epoll_wait),
        cmocka_unit_test(a_collection_does_not_interrupt_recv),
        cmocka_unit_test(a_collection_does_not_interrupt_sem_timedwait),
        cmocka_unit_test(a_collection_does_not_interrupt_nanosleep),
        cmocka_unit_test(a_collection_does_not_interrupt_sigtimedwait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
