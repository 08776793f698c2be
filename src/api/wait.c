// SPDX-License-Identifier: MIT
// wait.c: calls that the kernel does not restart, whatever SA_RESTART says.
//
// A stop must not show in them as an EINTR, so each is begun again while
// nothing but a stop cuts it short. Nor may one keep the stop signal out, or
// take it for one of the program's.

#include "os/clock.h"
#include "os/libc.h"
#include "os/machine.h"
#include "world/member.h"
#include "world/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

// ---- The loop --------------------------------------------------------------

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
                               lm_world_mask(mask, &copy)),
              left = timespec_of(deadline_left(end)))
    return r;
}

// What programs call that are compiled with _FORTIFY_SOURCE. libc's stops the
// program where the array is too short.
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, // NOLINT
               size_t bytes);
int __ppoll_chk(struct pollfd *fds, nfds_t count, // NOLINT
                const struct timespec *timeout, const sigset_t *mask,
                size_t bytes);

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, // NOLINT
                      int timeout_ms, size_t bytes) {
    return bytes / sizeof *fds < count
               ? lm_libc()->poll_chk(fds, count, timeout_ms, bytes)
               : poll(fds, count, timeout_ms);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, // NOLINT
                       const struct timespec *timeout, const sigset_t *mask,
                       size_t bytes) {
    return bytes / sizeof *fds < count
               ? lm_libc()->ppoll_chk(fds, count, timeout, mask, bytes)
               : ppoll(fds, count, timeout, mask);
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

// How long a call is to wait that says itself what was left when it was cut short:
// that counts none of the time that the program was stopped.
static uint64_t least_left(uint64_t end, uint64_t ns) {
    uint64_t left = deadline_left(end);
    return left < ns ? left : ns;
}

static uint64_t timeval_ns(const struct timeval *t) {
    return timespec_ns(&(struct timespec){t->tv_sec, t->tv_usec * 1000});
}

static struct timeval timeval_of(uint64_t ns) {
    struct timespec t = timespec_of(ns + 999); // no shorter than asked for
    return (struct timeval){t.tv_sec, (suseconds_t)(t.tv_nsec / 1000)};
}

EXPORT int select(int count, fd_set *in, fd_set *out, fd_set *other,
                  struct timeval *timeout) {
    // Linux leaves in *timeout what is left of it, also after EINTR.
    fd_set *const at[3] = {in, out, other};
    struct select_sets saved;
    uint64_t end = timeout ? deadline_in(timeval_ns(timeout)) : 0;
    int r;
    if (count > FD_SETSIZE) {
        return lm_libc()->select(count, in, out, other, timeout);
    }
    sets_save(&saved, at);
    WAIT_LOOP(r, lm_libc()->select(count, in, out, other, timeout),
              sets_restore(&saved, at);
              if (timeout) *timeout =
                  timeval_of(least_left(end, timeval_ns(timeout))))
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
    const sigset_t *ours = lm_world_mask(mask, &copy);
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
    WAIT_LOOP(r,
              lm_libc()->epoll_pwait(fd, events, room, timeout_ms,
                                     lm_world_mask(mask, &copy)),
              if (timeout_ms > 0) timeout_ms =
                  (int)((deadline_left(end) + 999999) / 1000000))
    return r;
}

EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int room,
                        const struct timespec *timeout, const sigset_t *mask) {
    uint64_t end = timeout ? deadline_in(timespec_ns(timeout)) : 0;
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    sigset_t copy;
    int r;
    if (lm_libc()->epoll_pwait2 == NULL) {
        errno = ENOSYS;
        return -1;
    }
    WAIT_LOOP(r,
              lm_libc()->epoll_pwait2(fd, events, room, timeout ? &left : NULL,
                                      lm_world_mask(mask, &copy)),
              left = timespec_of(deadline_left(end)))
    return r;
}

EXPORT int nanosleep(const struct timespec *want, struct timespec *left) {
    struct timespec t = *want;
    struct timespec rest = t;
    uint64_t end = deadline_in(timespec_ns(want));
    int r;
    WAIT_LOOP(r, lm_libc()->nanosleep(&t, &rest),
              t = timespec_of(least_left(end, timespec_ns(&rest))))
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
    uint64_t end = deadline_in(timespec_ns(want));
    // One of processor time may have stood still while the program was stopped.
    bool is_of_time = clock != CLOCK_PROCESS_CPUTIME_ID &&
                      clock != CLOCK_THREAD_CPUTIME_ID && clock >= 0;
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
            t = is_of_time ? timespec_of(least_left(end, timespec_ns(&rest)))
                           : rest;
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

EXPORT int thrd_sleep(const struct timespec *want, struct timespec *left) {
    int r = clock_nanosleep(CLOCK_REALTIME, 0, want, left);
    return r == 0 ? 0 : r == EINTR ? -1 : -2; // as C11 has it
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

EXPORT int sem_clockwait(sem_t *restrict semaphore, clockid_t clock,
                         const struct timespec *restrict until) {
    int r;
    WAIT_LOOP(r, lm_libc()->sem_clockwait(semaphore, clock, until), (void)0)
    return r;
}

// ---- System V's semaphores and queues --------------------------------------

EXPORT int semtimedop(int id, struct sembuf *operations, size_t count,
                      const struct timespec *timeout) {
    uint64_t end = timeout ? deadline_in(timespec_ns(timeout)) : 0;
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    int r;
    WAIT_LOOP(
        r, lm_libc()->semtimedop(id, operations, count, timeout ? &left : NULL),
        left = timespec_of(deadline_left(end)))
    return r;
}

EXPORT int semop(int id, struct sembuf *operations, size_t count) {
    int r;
    WAIT_LOOP(r, lm_libc()->semop(id, operations, count), (void)0)
    return r;
}

EXPORT ssize_t msgrcv(int id, void *message, size_t bytes, long type,
                      int flags) {
    ssize_t r;
    WAIT_LOOP(r, lm_libc()->msgrcv(id, message, bytes, type, flags), (void)0)
    return r;
}

EXPORT int msgsnd(int id, const void *message, size_t bytes, int flags) {
    int r;
    WAIT_LOOP(r, lm_libc()->msgsnd(id, message, bytes, flags), (void)0)
    return r;
}

// ---- Waiting for signals ---------------------------------------------------
//
// Programs name all signals here. The kernel gives even one that is let in to
// who waits for it, so the stop signal is taken out of the set.

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info,
                        const struct timespec *timeout) {
    uint64_t end = timeout ? deadline_in(timespec_ns(timeout)) : 0;
    struct timespec left = timeout ? *timeout : (struct timespec){0, 0};
    sigset_t copy;
    const sigset_t *others = lm_world_mask(set, &copy);
    int r;
    WAIT_LOOP(r, lm_libc()->sigtimedwait(others, info, timeout ? &left : NULL),
              left = timespec_of(deadline_left(end)))
    return r;
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info) {
    return sigtimedwait(set, info, NULL);
}

// libc's goes on by itself where it is interrupted.
EXPORT int sigwait(const sigset_t *set, int *signal) {
    sigset_t copy;
    return lm_libc()->sigwait(lm_world_mask(set, &copy), signal);
}

EXPORT int sigsuspend(const sigset_t *mask) {
    sigset_t copy;
    const sigset_t *ours = lm_world_mask(mask, &copy);
    int r;
    WAIT_LOOP(r, lm_libc()->sigsuspend(ours), (void)0)
    return r;
}

EXPORT int signalfd(int fd, const sigset_t *set, int flags) {
    sigset_t copy;
    return lm_libc()->signalfd(fd, lm_world_mask(set, &copy), flags);
}
