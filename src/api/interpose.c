// SPDX-License-Identifier: MIT
// interpose.c: functions of libc that libloam stands in front of.
//
// Three things cannot be had otherwise: to know every thread from birth, to be
// sure that each can be stopped, and to keep a stop from showing as an EINTR
// in calls that the kernel does not restart. Each function does what libc's
// does, by calling it; nothing else changes for the program.

#include "api/runtime.h"
#include "base/format.h"
#include "os/clock.h"
#include "os/libc.h"
#include "os/lock.h"
#include "os/thread.h"
#include "world/roll.h"
#include "world/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>

#define EXPORT __attribute__((visibility("default")))

// ---- Threads -------------------------------------------------------------------

// Makes the calling thread, which is new, a member with the record that was
// made for it.
static void thread_join_heap(struct lm_member *member) {
    sigset_t mask = member->signal_mask;
    if (lm_roll_attach(member)) {
        member->argument = NULL; // it is on this stack now
    }
    // Else it becomes a member at its first allocation, if there is memory for
    // it then; until then its argument stays a root.
    lm_thread_restore_signals(&mask);
}

// What a new thread runs first.
static void *thread_begin(void *record) {
    struct lm_member *member = record;
    void *(*start)(void *) = member->start;
    void *argument = member->argument;
    thread_join_heap(member);
    void *result = start(argument);
    if (lm_self) {
        lm_self->kept = result; // until it is joined
    }
    return result;
}

// The same for thrd_create, whose threads return a number: thrd_join finds it
// where pthread_join finds a pointer.
static void *c11_begin(void *record) {
    struct lm_member *member = record;
    thrd_start_t start = (thrd_start_t)(void (*)(void))member->start;
    void *argument = member->argument;
    thread_join_heap(member);
    return (void *)(intptr_t)start(argument); // NOLINT
}

// Creates a thread that begins with `begin`.
static int thread_create(pthread_t *thread, const pthread_attr_t *attributes,
                         void *(*begin)(void *), void *(*start)(void *),
                         void *argument) {
    if (lm_runtime_self() == NULL) {
        return EAGAIN;
    }
    // The new thread begins with all signals blocked, so that no handler runs
    // on it before it is a member.
    sigset_t before = lm_thread_block_signals();
    struct lm_member *member = lm_roll_new(start, argument);
    int rc = EAGAIN;
    if (member) {
        member->signal_mask = before;
        rc = lm_libc()->pthread_create(thread, attributes, begin, member);
        if (rc != 0) {
            lm_roll_drop(member);
        }
    }
    lm_thread_restore_signals(&before);
    return rc;
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument) {
    if (!lm_libc_has_runtime) {
        return lm_libc()->pthread_create(thread, attributes, start, argument);
    }
    return thread_create(thread, attributes, thread_begin, start, argument);
}

// glibc's thrd_create calls its pthread_create from inside, past ours.
EXPORT int thrd_create(thrd_t *thread, thrd_start_t start, void *argument) {
    if (!lm_libc_has_runtime) {
        return lm_libc()->thrd_create(thread, start, argument);
    }
    // c11_begin gives the function its type back.
    int rc = thread_create(thread, NULL, c11_begin,
                           (void *(*)(void *))(void (*)(void))start, argument);
    return rc == 0 ? thrd_success : rc == EAGAIN ? thrd_nomem : thrd_error;
}

EXPORT __attribute__((noreturn)) void pthread_exit(void *result) {
    if (lm_self) {
        lm_self->kept = result;
    }
    lm_libc()->pthread_exit(result);
    __builtin_unreachable();
}

// Joined, or detached, so that nobody can ask for the result again.
static int thread_forget(int rc, pthread_t thread) {
    if (rc == 0 && lm_libc_has_runtime) {
        lm_roll_forget(thread);
    }
    return rc;
}

EXPORT int pthread_join(pthread_t thread, void **result) {
    return thread_forget(lm_libc()->pthread_join(thread, result), thread);
}

EXPORT int pthread_tryjoin_np(pthread_t thread, void **result) {
    return thread_forget(lm_libc()->pthread_tryjoin_np(thread, result), thread);
}

EXPORT int pthread_timedjoin_np(pthread_t thread, void **result,
                                const struct timespec *until) {
    return thread_forget(lm_libc()->pthread_timedjoin_np(thread, result, until),
                         thread);
}

EXPORT int pthread_clockjoin_np(pthread_t thread, void **result,
                                clockid_t clock, const struct timespec *until) {
    return thread_forget(
        lm_libc()->pthread_clockjoin_np(thread, result, clock, until), thread);
}

EXPORT int pthread_detach(pthread_t thread) {
    return thread_forget(lm_libc()->pthread_detach(thread), thread);
}

// ---- Signal masks --------------------------------------------------------------

// Programs block all signals in their worker threads; the stop signal is taken
// out, as glibc takes out its own two.
static const sigset_t *mask_without_ours(int how, const sigset_t *set,
                                         sigset_t *copy) {
    if (set == NULL || how == SIG_UNBLOCK || !lm_libc_has_runtime) {
        return set;
    }
    *copy = *set;
    sigdelset(copy, lm_world_signal());
    return copy;
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    sigset_t copy;
    return lm_libc()->pthread_sigmask(how, mask_without_ours(how, set, &copy),
                                      old);
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    sigset_t copy;
    return lm_libc()->sigprocmask(how, mask_without_ours(how, set, &copy), old);
}

// ---- Signal handlers -------------------------------------------------------
//
// The program's handlers stand behind one of ours, which puts a signal off
// while the thread is inside the allocator: so a handler may allocate, and may
// jump away, wherever it interrupts the program.

static struct {
    struct lm_lock lock;           // taken with all signals blocked
    struct sigaction action[NSIG]; // as the program gave them
    // The same handlers for delivery; atomic. They are called with three
    // arguments whether they take them or not, as the kernel does.
    void (*handler[NSIG])(int, siginfo_t *, void *);
} handlers;

// A fault of the interrupted instruction itself cannot wait.
static bool signal_is_fault(int signal, const siginfo_t *info) {
    return info->si_code > 0 &&
           (signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
            signal == SIGILL || signal == SIGTRAP || signal == SIGSYS);
}

// SA_RESETHAND is done here, since the kernel would do it before a signal that
// is put off.
static void handler_reset(int signal) {
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    if (handlers.action[signal].sa_flags & (int)SA_RESETHAND) {
        sigaction(signal, &fresh, NULL);
    }
}

static void handler_call(int signal, siginfo_t *info, void *context) {
    void (*handler)(int, siginfo_t *, void *) =
        __atomic_load_n(&handlers.handler[signal], __ATOMIC_ACQUIRE);
    handler_reset(signal);
    if (handler) {
        handler(signal, info, context);
    }
}

// In a blocking region, or at its edges, the handler may use the heap all the
// same: the region is left for its time.
static void handler_call_outside(struct lm_member *self, int signal,
                                 siginfo_t *info, void *context) {
    uint32_t depth = self->blocking_depth;
    bool is_safe = !lm_member_is_running(self);
    struct lm_stack home = self->home;
    if (is_safe) {
        lm_member_resume(self);
    }
    self->blocking_depth = 0;
    handler_call(signal, info, context);
    self->blocking_depth = depth;
    if (is_safe) {
        lm_member_retreat(self);
        self->home = home;
    }
}

static void handler_begin(int signal, siginfo_t *info, void *context) {
    struct lm_member *self = lm_self;
    if (self == NULL || signal_is_fault(signal, info)) {
        handler_call(signal, info, context);
    } else if (self->inside) {
        lm_member_put_off(self, signal, info,
                          &((ucontext_t *)context)->uc_sigmask);
    } else {
        handler_call_outside(self, signal, info, context);
    }
}

static bool action_is_handler(const struct sigaction *action) {
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

// Installs an action; the lock is held.
static int action_set(int signal, const struct sigaction *action) {
    struct sigaction real = *action;
    sigdelset(&real.sa_mask, lm_world_signal()); // a handler can be stopped
    if (!action_is_handler(action)) {
        return lm_libc()->sigaction(signal, &real, NULL);
    }
    // sa_sigaction and sa_handler are one word.
    __atomic_store_n(&handlers.handler[signal], action->sa_sigaction,
                     __ATOMIC_RELEASE);
    real.sa_sigaction = handler_begin;
    real.sa_flags = (action->sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
    return lm_libc()->sigaction(signal, &real, NULL);
}

EXPORT int sigaction(int signal, const struct sigaction *action,
                     struct sigaction *old) {
    if (!lm_libc_has_runtime || signal <= 0 || signal >= NSIG) {
        return lm_libc()->sigaction(signal, action, old);
    }
    int ours = lm_world_signal();
    if (signal == ours && action) {
        lm_print(2,
                 "loam: sigaction(%d) refused\n  the rule: signal %d stops "
                 "threads for collections\n  what to do: use another signal, "
                 "or choose another for Loam with LOAM_SIGNAL\n",
                 signal, ours);
        errno = EINVAL;
        return -1;
    }
    struct sigaction wanted, real;
    if (action) {
        wanted = *action; // it may be where old is
    }
    sigset_t before = lm_thread_block_signals();
    lm_lock_acquire(&handlers.lock);
    int rc = lm_libc()->sigaction(signal, NULL, &real);
    bool is_behind = rc == 0 && real.sa_sigaction == handler_begin;
    struct sigaction had = is_behind ? handlers.action[signal] : real;
    if (rc == 0 && action) {
        rc = action_set(signal, &wanted);
        if (rc == 0) {
            handlers.action[signal] = wanted;
        }
    }
    lm_lock_release(&handlers.lock);
    lm_thread_restore_signals(&before);
    if (rc == 0 && old) {
        *old = had;
    }
    return rc;
}

// As BSD and glibc mean it: the handler stays, and calls are restarted.
EXPORT sighandler_t signal(int number, sighandler_t handler) {
    struct sigaction action, old;
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (handler == SIG_ERR || number <= 0 || number >= NSIG) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigaddset(&action.sa_mask, number);
    return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

// ---- Calls that the kernel does not restart --------------------------------

// Marks where this thread waits, so that the stop handler can tell an
// interrupted call from an interrupted handler within the call.
static struct lm_member *wait_begin(uintptr_t sp) {
    struct lm_member *self = lm_self;
    if (self) {
        self->is_wait_ours = 0;
        self->wait_sp = sp;
    }
    return self;
}

// Whether the call, which has failed or not, was cut short by a stop alone.
static bool wait_end(struct lm_member *self, bool is_cut) {
    if (self == NULL) {
        return false;
    }
    self->wait_sp = 0;
    bool again = is_cut && self->is_wait_ours;
    self->is_wait_ours = 0;
    return again;
}

// Runs a call, and again while a stop cuts it short. Before each repetition
// `adjust` takes the time that has passed off what the call is to wait.
#define WAIT_LOOP(result, call, adjust)                                        \
    for (;;) {                                                                 \
        struct lm_member *self_ = wait_begin(lm_machine_sp());                 \
        (result) = (call);                                                     \
        int errno_ = errno;                                                    \
        bool again_ = wait_end(self_, (result) == -1 && errno_ == EINTR);      \
        errno = errno_;                                                        \
        if (!again_) {                                                         \
            break;                                                             \
        }                                                                      \
        adjust;                                                                \
    }

static uint64_t deadline_in(uint64_t ns) {
    uint64_t now = lm_clock_ns();
    return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

static uint64_t deadline_left(uint64_t deadline) {
    uint64_t now = lm_clock_ns();
    return now < deadline ? deadline - now : 0;
}

static uint64_t timespec_ns(const struct timespec *t) {
    return (uint64_t)t->tv_sec > UINT64_MAX / 2000000000u
               ? UINT64_MAX
               : (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

static struct timespec timespec_of(uint64_t ns) {
    return (struct timespec){(time_t)(ns / 1000000000u),
                             (long)(ns % 1000000000u)};
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    uint64_t end = deadline_in((uint64_t)timeout_ms * 1000000u);
    int r;
    WAIT_LOOP(r, lm_libc()->poll(fds, count, timeout_ms),
              if (timeout_ms > 0) timeout_ms =
                  (int)((deadline_left(end) + 999999) / 1000000))
    return r;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count,
                 const struct timespec *timeout, const sigset_t *mask) {
    uint64_t end = timeout ? deadline_in(timespec_ns(timeout)) : 0;
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    sigset_t copy;
    int r;
    WAIT_LOOP(r,
              lm_libc()->ppoll(fds, count, timeout ? &left : NULL,
                               mask_without_ours(SIG_SETMASK, mask, &copy)),
              left = timespec_of(deadline_left(end)))
    return r;
}

// The sets are undefined after a failure, so each attempt gets fresh ones.
struct select_sets {
    fd_set set[3];
};

static void sets_save(struct select_sets *s, fd_set *const at[3]) {
    for (int i = 0; i < 3; i++) {
        if (at[i]) {
            s->set[i] = *at[i];
        }
    }
}

static void sets_restore(const struct select_sets *s, fd_set *const at[3]) {
    for (int i = 0; i < 3; i++) {
        if (at[i]) {
            *at[i] = s->set[i];
        }
    }
}

EXPORT int select(int count, fd_set *in, fd_set *out, fd_set *other,
                  struct timeval *timeout) {
    // Linux leaves in *timeout what is left of it, also after EINTR.
    fd_set *const at[3] = {in, out, other};
    struct select_sets saved;
    int r;
    if (count > FD_SETSIZE) {
        return lm_libc()->select(count, in, out, other, timeout);
    }
    sets_save(&saved, at);
    WAIT_LOOP(r, lm_libc()->select(count, in, out, other, timeout),
              sets_restore(&saved, at))
    return r;
}

EXPORT int pselect(int count, fd_set *in, fd_set *out, fd_set *other,
                   const struct timespec *timeout, const sigset_t *mask) {
    fd_set *const at[3] = {in, out, other};
    struct select_sets saved;
    uint64_t end = timeout ? deadline_in(timespec_ns(timeout)) : 0;
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    sigset_t copy;
    int r;
    const sigset_t *ours = mask_without_ours(SIG_SETMASK, mask, &copy);
    if (count > FD_SETSIZE) {
        return lm_libc()->pselect(count, in, out, other, timeout, ours);
    }
    sets_save(&saved, at);
    WAIT_LOOP(
        r,
        lm_libc()->pselect(count, in, out, other, timeout ? &left : NULL, ours),
        sets_restore(&saved, at);
        left = timespec_of(deadline_left(end)))
    return r;
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int room,
                      int timeout_ms) {
    uint64_t end = deadline_in((uint64_t)timeout_ms * 1000000u);
    int r;
    WAIT_LOOP(r, lm_libc()->epoll_wait(fd, events, room, timeout_ms),
              if (timeout_ms > 0) timeout_ms =
                  (int)((deadline_left(end) + 999999) / 1000000))
    return r;
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int room,
                       int timeout_ms, const sigset_t *mask) {
    uint64_t end = deadline_in((uint64_t)timeout_ms * 1000000u);
    sigset_t copy;
    int r;
    WAIT_LOOP(
        r,
        lm_libc()->epoll_pwait(fd, events, room, timeout_ms,
                               mask_without_ours(SIG_SETMASK, mask, &copy)),
        if (timeout_ms > 0) timeout_ms =
            (int)((deadline_left(end) + 999999) / 1000000))
    return r;
}

EXPORT int nanosleep(const struct timespec *want, struct timespec *left) {
    struct timespec t = *want;
    struct timespec rest = t;
    int r;
    WAIT_LOOP(r, lm_libc()->nanosleep(&t, &rest), t = rest)
    if (r == -1 && left) {
        *left = rest;
    }
    return r;
}

EXPORT int clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *want, struct timespec *left) {
    // It returns the error instead of setting errno.
    struct timespec t = *want;
    struct timespec rest = t;
    for (;;) {
        struct lm_member *self = wait_begin(lm_machine_sp());
        int r = lm_libc()->clock_nanosleep(clock, flags, &t, &rest);
        if (!wait_end(self, r == EINTR)) {
            if (r == EINTR && left && !(flags & TIMER_ABSTIME)) {
                *left = rest;
            }
            return r;
        }
        if (!(flags & TIMER_ABSTIME)) {
            t = rest;
        }
    }
}

EXPORT int usleep(unsigned microseconds) {
    struct timespec t = timespec_of((uint64_t)microseconds * 1000u);
    return nanosleep(&t, NULL);
}

EXPORT unsigned sleep(unsigned seconds) {
    struct timespec t = {(time_t)seconds, 0};
    struct timespec rest = {0, 0};
    int saved = errno;
    if (nanosleep(&t, &rest) == 0) {
        errno = saved;
        return 0;
    }
    // Rounded as glibc does, to the nearest second.
    return (unsigned)rest.tv_sec + (rest.tv_nsec >= 500000000);
}

EXPORT int pause(void) {
    int r;
    WAIT_LOOP(r, lm_libc()->pause(), (void)0)
    return r;
}

EXPORT int sem_timedwait(sem_t *restrict semaphore,
                         const struct timespec *restrict until) {
    int r;
    WAIT_LOOP(r, lm_libc()->sem_timedwait(semaphore, until), (void)0)
    return r;
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info,
                        const struct timespec *timeout) {
    uint64_t end = timeout ? deadline_in(timespec_ns(timeout)) : 0;
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    int r;
    WAIT_LOOP(r, lm_libc()->sigtimedwait(set, info, timeout ? &left : NULL),
              left = timespec_of(deadline_left(end)))
    return r;
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info) {
    return sigtimedwait(set, info, NULL);
}

EXPORT int sem_clockwait(sem_t *restrict semaphore, clockid_t clock,
                         const struct timespec *restrict until) {
    int r;
    WAIT_LOOP(r, lm_libc()->sem_clockwait(semaphore, clock, until), (void)0)
    return r;
}
