// SPDX-License-Identifier: MIT
// handler.c: the program's signal handlers stand behind one of ours.
//
// It puts a signal off while the thread is inside the allocator: so a handler
// may allocate, and may jump away, wherever it interrupts the program. And where
// stores are tracked by faults it sees each SIGSEGV first, whether the program
// has a handler or not.

#include "api/handler.h"

#include "base/format.h"
#include "os/libc.h"
#include "os/lock.h"
#include "os/thread.h"
#include "os/track.h"
#include "world/member.h"
#include "world/stop.h"

#include <errno.h>
#include <signal.h>

#define EXPORT __attribute__((visibility("default")))

// ---- Delivery --------------------------------------------------------------

static struct {
    struct lm_lock lock;           // taken with all signals blocked
    struct sigaction action[NSIG]; // as the program gave them
    // The same handlers for delivery; atomic. They are called with three
    // arguments whether they take them or not, as the kernel does.
    void (*handler[NSIG])(int, siginfo_t *, void *);
    bool is_guarding; // SIGSEGV is ours first; set once
} handlers;

static bool signal_is_guarded(int signal) {
    return signal == SIGSEGV && handlers.is_guarding;
}

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

// What the kernel would have done, had we not been there: a fault comes again
// as soon as we return, and a signal that somebody has sent is sent again.
static void signal_default(int signal, siginfo_t *info) {
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    bool is_fault = signal_is_fault(signal, info);
    if (!is_fault && handlers.action[signal].sa_handler == SIG_IGN) {
        return;
    }
    lm_libc()->sigaction(signal, &fresh, NULL);
    if (!is_fault) {
        lm_thread_requeue(signal, info);
    }
}

// A call that a handler has run in is interrupted by that, whatever else came
// before or comes after: its wrapper must not begin it again.
static void handler_call(int signal, siginfo_t *info, void *context) {
    struct lm_member *self = lm_self;
    void (*handler)(int, siginfo_t *, void *) =
        __atomic_load_n(&handlers.handler[signal], __ATOMIC_ACQUIRE);
    handler_reset(signal);
    if (handler) {
        handler(signal, info, context);
    } else if (signal_is_guarded(signal)) {
        signal_default(signal, info);
    }
    if (self) {
        self->wait_sp = 0;
        self->is_wait_ours = 0;
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
    if (signal == SIGSEGV && lm_track_fault(info, context)) {
        return; // a store that can be done now
    }
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
    bool is_handler = action_is_handler(action);
    sigdelset(&real.sa_mask, lm_world_signal()); // a handler can be stopped
    lm_thread_let_faults_in(&real.sa_mask);
    if (!is_handler && !signal_is_guarded(signal)) {
        return lm_libc()->sigaction(signal, &real, NULL);
    }
    // sa_sigaction and sa_handler are one word.
    __atomic_store_n(&handlers.handler[signal],
                     is_handler ? action->sa_sigaction : NULL,
                     __ATOMIC_RELEASE);
    real.sa_sigaction = handler_begin;
    real.sa_flags = (action->sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
    if (signal_is_guarded(signal)) {
        // The program's handler may store to an armed page, too.
        real.sa_flags |= SA_NODEFER | (is_handler ? 0 : SA_ONSTACK);
    }
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

static sighandler_t signal_set(int number, sighandler_t handler, int flags) {
    struct sigaction action, old;
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    if (handler == SIG_ERR || number <= 0 || number >= NSIG) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (!(flags & SA_NODEFER)) {
        sigaddset(&action.sa_mask, number);
    }
    return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

// As BSD and glibc mean it: the handler stays, and calls are restarted.
EXPORT sighandler_t signal(int number, sighandler_t handler) {
    return signal_set(number, handler, SA_RESTART);
}

EXPORT sighandler_t ssignal(int number, sighandler_t handler) {
    return signal_set(number, handler, SA_RESTART);
}

// As System V means it. What programs get that are compiled with -std=c11 and
// call `signal`.
EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler) { // NOLINT
    return signal_set(number, handler, (int)SA_RESETHAND | SA_NODEFER);
}

EXPORT sighandler_t sysv_signal(int number, sighandler_t handler) {
    return signal_set(number, handler, (int)SA_RESETHAND | SA_NODEFER);
}

void lm_handler_guard(void) {
    struct sigaction had;
    if (handlers.is_guarding || lm_libc()->sigaction(SIGSEGV, NULL, &had)) {
        return;
    }
    handlers.is_guarding = true;
    handlers.action[SIGSEGV] = had;
    action_set(SIGSEGV, &had);
}

// ---- Fork ------------------------------------------------------------------

void lm_handler_fork_prepare(void) {
    lm_lock_acquire(&handlers.lock);
}

void lm_handler_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&handlers.lock);
    } else {
        lm_lock_release(&handlers.lock);
    }
}
