// SPDX-License-Identifier: MIT
// interpose.c: functions of libc that libloam stands in front of: threads and
// signal masks. More are in handler.c and wait.c.
//
// Two things cannot be had otherwise: to know every thread from birth, and to
// be sure that each can be stopped. Each function does what libc's does, by
// calling it; nothing else changes for the program.

#include "api/runtime.h"
#include "os/libc.h"
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
    // They are, unless the attributes let some in. Then a handler may have run
    // here, and made the thread a member with a record of its own.
    lm_thread_block_signals();
    if (lm_self) {
        lm_roll_drop(member);
    } else if (lm_roll_attach(member)) {
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

// The mask that a thread is to have: its creator's, or its attributes'.
static sigset_t thread_mask(const pthread_attr_t *attributes, sigset_t mine) {
    sigset_t mask, copy;
    bool is_given = attributes && lm_libc()->attr_getsigmask &&
                    lm_libc()->attr_getsigmask(attributes, &mask) == 0;
    return *lm_world_mask(is_given ? &mask : &mine, &copy);
}

// With all signals blocked it cannot stop, and it may wait for a lock of the
// loader's that a thread stopped within dlopen holds: nobody waits for it.
static int thread_create_safely(pthread_t *thread,
                                const pthread_attr_t *attributes,
                                void *(*begin)(void *),
                                struct lm_member *member) {
    struct lm_member *self = lm_self;
    bool is_running = lm_member_is_running(self);
    if (is_running) {
        lm_member_retreat(self);
    }
    int rc = lm_libc()->pthread_create(thread, attributes, begin, member);
    if (is_running) {
        lm_member_resume(self);
    }
    return rc;
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
        member->signal_mask = thread_mask(attributes, before);
        rc = thread_create_safely(thread, attributes, begin, member);
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
static const sigset_t *mask_of(int how, const sigset_t *set, sigset_t *copy) {
    return how == SIG_UNBLOCK ? set : lm_world_mask(set, copy);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    sigset_t copy;
    return lm_libc()->pthread_sigmask(how, mask_of(how, set, &copy), old);
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    sigset_t copy;
    return lm_libc()->sigprocmask(how, mask_of(how, set, &copy), old);
}
