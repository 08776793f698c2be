// SPDX-License-Identifier: MIT
// wait_test.c: threads that wait for signals, or with a mask of their own, can
// be stopped, and see nothing of it.

#include <errno.h>
#include <loam.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define COUNT 50

// Collections that a waiting thread is to sleep through.
#define COLLECTIONS 10

// ---- A thread that waits ----------------------------------------------------

struct waiter {
    int (*wait)(struct waiter *waiter); // 1 when it has ended as it should
    pid_t id;                           // set right before the wait
    int pipe[2];
    int queue; // System V's
    int semaphores;
    int result;
    int error;
    bool is_done;
};

static volatile sig_atomic_t usr1_count;

static void count_usr1(int number) {
    (void)number;
    usr1_count++;
}

static sigset_t all_signals(void) {
    sigset_t all;
    sigfillset(&all);
    return all;
}

// All but the one that ends the test, which must get through.
static sigset_t all_but_usr1(void) {
    sigset_t all = all_signals();
    sigdelset(&all, SIGUSR1);
    return all;
}

static void *waiter_run(void *argument) {
    struct waiter *w = argument;
    void *place[COUNT];
    struct survivors list = survivors_new(COUNT);
    fill_place(place, COUNT, 64, &list);
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    must(pthread_sigmask(SIG_BLOCK, &usr1, NULL) == 0);
    __atomic_store_n(&w->id, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    w->result = w->wait(w);
    w->error = errno;
    __atomic_store_n(&w->is_done, true, __ATOMIC_RELEASE);
    must(is_place_intact(place, COUNT, 64));
    survivors_free(&list);
    return NULL;
}

// Spins until the thread sleeps in the kernel, or is gone.
static void waiter_await_sleep(struct waiter *w) {
    char path[64], text[256];
    pid_t id;
    while ((id = __atomic_load_n(&w->id, __ATOMIC_ACQUIRE)) == 0) {
        sched_yield();
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)id);
    while (!__atomic_load_n(&w->is_done, __ATOMIC_ACQUIRE)) {
        FILE *file = fopen(path, "r");
        size_t got = file ? fread(text, 1, sizeof text - 1, file) : 0;
        if (file) {
            fclose(file);
        }
        text[got] = '\0';
        const char *state = strrchr(text, ')');
        if (state == NULL || state[2] == 'S') {
            return;
        }
    }
}

static void expect_wait(int (*wait)(struct waiter *)) {
    if (place_has_asan() || place_has_tsan()) {
        skip(); // Their wrappers stand between ours and libc's functions.
    }
    struct waiter w = {.wait = wait};
    struct sigaction action = {.sa_handler = count_usr1};
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    must(pipe(w.pipe) == 0);
    w.queue = msgget(IPC_PRIVATE, 0600);
    w.semaphores = semget(IPC_PRIVATE, 1, 0600);
    must(w.queue >= 0 && w.semaphores >= 0);
    usr1_count = 0;
    pthread_t thread;
    must(pthread_create(&thread, NULL, waiter_run, &w) == 0);
    for (int i = 0; i < COLLECTIONS; i++) {
        waiter_await_sleep(&w);
        loam_collect();
    }
    bool was_done = __atomic_load_n(&w.is_done, __ATOMIC_ACQUIRE);
    pthread_kill(thread, SIGUSR1);
    struct {
        long type;
        char text[1];
    } message = {1, "x"};
    must(msgsnd(w.queue, &message, 1, IPC_NOWAIT) == 0);
    must(semctl(w.semaphores, 0, SETVAL, 1) == 0);
    must(write(w.pipe[1], "x", 1) == 1);
    must(pthread_join(thread, NULL) == 0);
    msgctl(w.queue, IPC_RMID, NULL);
    semctl(w.semaphores, 0, IPC_RMID);
    close(w.pipe[0]);
    close(w.pipe[1]);
    if (was_done || w.result != 1) {
        print_message("result %d, %s\n", w.result, strerror(w.error));
    }
    assert_false(was_done);
    assert_int_equal(w.result, 1);
}

#define TEST_OF_WAIT(name, wait)                                               \
    static void name(void **state) {                                           \
        (void)state;                                                           \
        expect_wait(wait);                                                     \
    }

// ---- Waiting for signals ----------------------------------------------------

static int wait_sigwait(struct waiter *w) {
    (void)w;
    sigset_t all = all_signals();
    int signal = 0;
    return sigwait(&all, &signal) == 0 && signal == SIGUSR1;
}

static int wait_sigwaitinfo(struct waiter *w) {
    (void)w;
    sigset_t all = all_signals();
    return sigwaitinfo(&all, NULL) == SIGUSR1;
}

static int wait_sigtimedwait(struct waiter *w) {
    (void)w;
    sigset_t all = all_signals();
    struct timespec timeout = {60, 0};
    return sigtimedwait(&all, NULL, &timeout) == SIGUSR1;
}

static int wait_signalfd(struct waiter *w) {
    (void)w;
    sigset_t all = all_signals();
    struct signalfd_siginfo info;
    int fd = signalfd(-1, &all, SFD_CLOEXEC);
    must(fd >= 0);
    ssize_t got = read(fd, &info, sizeof info);
    close(fd);
    return got == sizeof info && info.ssi_signo == SIGUSR1;
}

static int wait_sigsuspend(struct waiter *w) {
    (void)w;
    sigset_t mask = all_but_usr1();
    return sigsuspend(&mask) == -1 && errno == EINTR && usr1_count == 1;
}

TEST_OF_WAIT(a_thread_that_waits_for_all_signals_can_be_stopped, wait_sigwait)
TEST_OF_WAIT(sigwaitinfo_does_not_take_the_stop_signal, wait_sigwaitinfo)
TEST_OF_WAIT(sigtimedwait_does_not_take_the_stop_signal, wait_sigtimedwait)
TEST_OF_WAIT(signalfd_does_not_take_the_stop_signal, wait_signalfd)
TEST_OF_WAIT(a_thread_in_sigsuspend_can_be_stopped_and_goes_on, wait_sigsuspend)

// ---- Waiting with a mask ----------------------------------------------------

static int wait_ppoll(struct waiter *w) {
    sigset_t mask = all_signals();
    struct pollfd fd = {w->pipe[0], POLLIN, 0};
    return ppoll(&fd, 1, NULL, &mask);
}

static int wait_pselect(struct waiter *w) {
    sigset_t mask = all_signals();
    fd_set set;
    FD_ZERO(&set);
    FD_SET(w->pipe[0], &set);
    return pselect(w->pipe[0] + 1, &set, NULL, NULL, NULL, &mask);
}

static int epoll_of(struct waiter *w) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, w->pipe[0], &event) == 0);
    return epoll;
}

static int wait_epoll_pwait(struct waiter *w) {
    sigset_t mask = all_signals();
    struct epoll_event event;
    int epoll = epoll_of(w);
    int result = epoll_pwait(epoll, &event, 1, -1, &mask);
    close(epoll);
    return result;
}

static int wait_epoll_pwait2(struct waiter *w) {
    sigset_t mask = all_signals();
    struct timespec timeout = {60, 0};
    struct epoll_event event;
    int epoll = epoll_of(w);
    int result = epoll_pwait2(epoll, &event, 1, &timeout, &mask);
    bool is_missing = result == -1 && errno == ENOSYS; // an old kernel
    if (is_missing) {
        result = epoll_pwait(epoll, &event, 1, -1, &mask);
    }
    close(epoll);
    return result;
}

TEST_OF_WAIT(a_thread_in_ppoll_with_all_blocked_can_be_stopped, wait_ppoll)
TEST_OF_WAIT(a_thread_in_pselect_with_all_blocked_can_be_stopped, wait_pselect)
TEST_OF_WAIT(a_thread_in_epoll_pwait_with_all_blocked_can_be_stopped,
             wait_epoll_pwait)
TEST_OF_WAIT(a_thread_in_epoll_pwait2_with_all_blocked_can_be_stopped,
             wait_epoll_pwait2)

// ---- Other calls that the kernel does not restart ---------------------------

// As <poll.h> declares them for programs with _FORTIFY_SOURCE.
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, // NOLINT
               size_t bytes);
int __ppoll_chk(struct pollfd *fds, nfds_t count, // NOLINT
                const struct timespec *timeout, const sigset_t *mask,
                size_t bytes);

static int wait_poll_chk(struct waiter *w) {
    struct pollfd fd = {w->pipe[0], POLLIN, 0};
    return __poll_chk(&fd, 1, -1, sizeof fd);
}

static int wait_ppoll_chk(struct waiter *w) {
    sigset_t mask = all_signals();
    struct pollfd fd = {w->pipe[0], POLLIN, 0};
    return __ppoll_chk(&fd, 1, NULL, &mask, sizeof fd);
}

static int wait_semop(struct waiter *w) {
    struct sembuf down = {0, -1, 0};
    return semop(w->semaphores, &down, 1) == 0;
}

static int wait_semtimedop(struct waiter *w) {
    struct sembuf down = {0, -1, 0};
    struct timespec timeout = {60, 0};
    return semtimedop(w->semaphores, &down, 1, &timeout) == 0;
}

static int wait_msgrcv(struct waiter *w) {
    struct {
        long type;
        char text[1];
    } message;
    return (int)msgrcv(w->queue, &message, 1, 0, 0);
}

TEST_OF_WAIT(a_collection_does_not_interrupt_a_fortified_poll, wait_poll_chk)
TEST_OF_WAIT(a_collection_does_not_interrupt_a_fortified_ppoll, wait_ppoll_chk)
TEST_OF_WAIT(a_collection_does_not_interrupt_semop, wait_semop)
TEST_OF_WAIT(a_collection_does_not_interrupt_semtimedop, wait_semtimedop)
TEST_OF_WAIT(a_collection_does_not_interrupt_msgrcv, wait_msgrcv)

// ---- A signal and a collection at the same moment ---------------------------

static volatile sig_atomic_t suspend_count;
static bool suspend_is_over;

static void *suspend_again_and_again(void *argument) {
    sigset_t none;
    (void)argument;
    sigemptyset(&none);
    while (!__atomic_load_n(&suspend_is_over, __ATOMIC_ACQUIRE)) {
        sig_atomic_t before = usr1_count;
        must(sigsuspend(&none) == -1 && errno == EINTR);
        must(usr1_count != before);
        __atomic_add_fetch(&suspend_count, 1, __ATOMIC_ACQ_REL);
    }
    return NULL;
}

static void a_signal_amid_collections_always_ends_sigsuspend(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // Their wrappers stand between ours and libc's functions.
    }
    struct sigaction action = {.sa_handler = count_usr1};
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    suspend_is_over = false;
    sigset_t usr1, before;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    must(pthread_sigmask(SIG_BLOCK, &usr1, &before) == 0);
    pthread_t thread;
    must(pthread_create(&thread, NULL, suspend_again_and_again, NULL) == 0);
    for (size_t i = 0; i < place_scaled(3000); i++) {
        sig_atomic_t count = __atomic_load_n(&suspend_count, __ATOMIC_ACQUIRE);
        pthread_kill(thread, SIGUSR1);
        loam_collect();
        while (__atomic_load_n(&suspend_count, __ATOMIC_ACQUIRE) == count) {
            sched_yield();
        }
    }
    __atomic_store_n(&suspend_is_over, true, __ATOMIC_RELEASE);
    pthread_kill(thread, SIGUSR1);
    must(pthread_join(thread, NULL) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

// ---- Masks that threads begin with ------------------------------------------

static void *tell_mask(void *argument) {
    must(pthread_sigmask(SIG_BLOCK, NULL, argument) == 0);
    return NULL;
}

static void a_thread_has_the_mask_of_its_attributes(void **state) {
    (void)state;
    sigset_t wanted = all_but_usr1();
    sigset_t got;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    must(pthread_attr_setsigmask_np(&attributes, &wanted) == 0);
    pthread_t thread;
    must(pthread_create(&thread, &attributes, tell_mask, &got) == 0);
    must(pthread_join(thread, NULL) == 0);
    assert_int_equal(sigismember(&got, SIGUSR2), 1);
    assert_int_equal(sigismember(&got, SIGUSR1), 0);
    assert_int_equal(sigismember(&got, SIGRTMAX - 4), 0);
    pthread_attr_destroy(&attributes);
}

static void *volatile from_handler;
static size_t early_count;

static void allocate(int number) {
    (void)number;
    from_handler = loam_alloc(32);
}

static void *be_born(void *argument) {
    must(**(int **)argument == 7);
    __atomic_add_fetch(&early_count, 1, __ATOMIC_RELAXED);
    return NULL;
}

// Its attributes let in a signal that its creator has blocked: one is pending
// for the process when the thread begins.
static void a_handler_may_run_before_a_thread_has_begun(void **state) {
    (void)state;
    sigset_t none, usr1, before;
    pthread_attr_t attributes;
    struct sigaction action = {.sa_handler = allocate};
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_attr_init(&attributes);
    must(pthread_attr_setsigmask_np(&attributes, &none) == 0);
    must(pthread_sigmask(SIG_BLOCK, &usr1, &before) == 0);
    for (int i = 0; i < 100; i++) {
        int **argument = loam_alloc(sizeof *argument);
        *argument = loam_alloc(sizeof **argument);
        **argument = 7;
        from_handler = NULL;
        kill(getpid(), SIGUSR1);
        pthread_t thread;
        must(pthread_create(&thread, &attributes, be_born, argument) == 0);
        must(pthread_join(thread, NULL) == 0);
        must(from_handler != NULL);
    }
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    pthread_attr_destroy(&attributes);
    assert_int_equal(early_count, 100);
    loam_verify();
}

static void *collect(void *argument) {
    loam_collect();
    return argument;
}

// Its parent, which knows nothing of Loam, has blocked all signals.
static void scene_blocked(void) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, collect, NULL) == 0);
    // Nothing here lets a stop in: the thread computes until it is done.
    while (pthread_tryjoin_np(thread, NULL) != 0) {
    }
}

static void a_program_started_with_all_signals_blocked_can_be_stopped(
    void **state) {
    (void)state;
    uint64_t all = ~(uint64_t)0;
    int child = fork();
    must(child >= 0);
    if (child == 0) {
        alarm(30);
        char *argv[] = {"scene", "--scene", "blocked", NULL};
        all &= ~((uint64_t)1 << (SIGALRM - 1));
        syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
        execv("/proc/self/exe", argv);
        _exit(98);
    }
    int status = child_wait(child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// ---- How long ---------------------------------------------------------------------

enum { KEPT = 50000, SLEEP_MS = 300 };

static bool is_rested; // atomic

static void *collect_all_the_time(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&is_rested, __ATOMIC_RELAXED)) {
        loam_collect();
    }
    return NULL;
}

// Nearly all the time the program is stopped; a sleep that did not count it would
// take some hundred times as long, and the scene end by its alarm.
static void scene_sleeps(void) {
    pthread_t thread;
    void **kept = loam_new_array(void *, KEPT);
    must(kept != NULL);
    for (size_t i = 0; i < KEPT; i++) {
        kept[i] = loam_alloc(32);
    }
    must(pthread_create(&thread, NULL, collect_all_the_time, NULL) == 0);
    struct timespec t = {0, SLEEP_MS * 1000000};
    struct timeval v = {0, SLEEP_MS * 1000};
    struct timespec before, after;
    must(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    must(nanosleep(&t, NULL) == 0 && usleep(SLEEP_MS * 1000) == 0);
    must(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL) == 0);
    must(select(0, NULL, NULL, NULL, &v) == 0);
    must(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    __atomic_store_n(&is_rested, true, __ATOMIC_RELAXED);
    must(pthread_join(thread, NULL) == 0);
    long ms = (after.tv_sec - before.tv_sec) * 1000 +
              (after.tv_nsec - before.tv_nsec) / 1000000;
    must(ms >= 4 * SLEEP_MS);
    loam_keep_alive(kept);
}

static void a_sleep_counts_the_time_that_the_program_is_stopped(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // as above
    }
    const char *const settings[] = {"LOAM_TRACK=none", NULL};
    const struct outcome *o = scene_play("sleeps", settings);
    assert_string_equal(o->err, "");
    assert_int_equal(o->exit_code, 0);
}

int main(int argc, char **argv) {
    const struct scene scenes[] = {{"blocked", scene_blocked},
                                   {"sleeps", scene_sleeps}};
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_waits_for_all_signals_can_be_stopped),
        cmocka_unit_test(sigwaitinfo_does_not_take_the_stop_signal),
        cmocka_unit_test(sigtimedwait_does_not_take_the_stop_signal),
        cmocka_unit_test(signalfd_does_not_take_the_stop_signal),
        cmocka_unit_test(a_thread_in_sigsuspend_can_be_stopped_and_goes_on),
        cmocka_unit_test(a_thread_in_ppoll_with_all_blocked_can_be_stopped),
        cmocka_unit_test(a_thread_in_pselect_with_all_blocked_can_be_stopped),
        cmocka_unit_test(
            a_thread_in_epoll_pwait_with_all_blocked_can_be_stopped),
        cmocka_unit_test(
            a_thread_in_epoll_pwait2_with_all_blocked_can_be_stopped),
        cmocka_unit_test(a_collection_does_not_interrupt_a_fortified_poll),
        cmocka_unit_test(a_collection_does_not_interrupt_a_fortified_ppoll),
        cmocka_unit_test(a_collection_does_not_interrupt_semop),
        cmocka_unit_test(a_collection_does_not_interrupt_semtimedop),
        cmocka_unit_test(a_collection_does_not_interrupt_msgrcv),
        cmocka_unit_test(a_signal_amid_collections_always_ends_sigsuspend),
        cmocka_unit_test(a_thread_has_the_mask_of_its_attributes),
        cmocka_unit_test(a_handler_may_run_before_a_thread_has_begun),
        cmocka_unit_test(a_sleep_counts_the_time_that_the_program_is_stopped),
        cmocka_unit_test(
            a_program_started_with_all_signals_blocked_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
