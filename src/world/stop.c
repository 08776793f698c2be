// SPDX-License-Identifier: MIT
// stop.c: a signal to each running thread, and a futex to hold it.
//
//   stop.1  While the phase is odd every member but the collector is safe, or
//           waits in the handler with stopped_phase equal to the phase.
//   stop.2  No member stops while it is inside the allocator.

#include "world/stop.h"

#include "base/check.h"
#include "base/format.h"
#include "os/clock.h"
#include "os/libc.h"
#include "os/memory.h"
#include "os/thread.h"
#include "world/roll.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

// How long the collector waits for a thread before it looks what is wrong,
// and before it says so.
#define STOP_LOOK_NS 20000000u
#define STOP_COMPLAIN_NS 2000000000u

static struct {
    int signal;
    struct lm_member *collector; // atomic
} stop;

// ---- The stopped side --------------------------------------------------------

// The frames between a wrapper in api/wait.c and its system call. A signal
// frame is larger than this on every machine (it holds the vector registers).
#define STOP_CALL_BYTES 512

// Whether another signal is about to be delivered as soon as we return.
static bool stop_has_other_signals(const ucontext_t *context) {
    sigset_t pending;
    if (sigpending(&pending) != 0) {
        return true;
    }
    for (int s = 1; s <= SIGRTMAX; s++) {
        if (s != stop.signal && sigismember(&pending, s) == 1 &&
            sigismember(&context->uc_sigmask, s) == 0) {
            return true;
        }
    }
    return false;
}

// A blocking call that this stop interrupts, and nothing else does, is begun
// again by its wrapper; the program does not see the EINTR.
static void stop_note_wait(struct lm_member *self, const ucontext_t *context) {
    uintptr_t sp = lm_machine_context_sp(context);
    if (self->wait_sp && self->wait_sp - sp < STOP_CALL_BYTES &&
        !stop_has_other_signals(context)) {
        self->is_wait_ours = 1;
    }
}

// In the handler: everything the interrupted code had in registers lies in the
// signal's frame, on this stack above this function's.
static void stop_handler(int signal, siginfo_t *info, void *context) {
    struct lm_member *self = lm_self;
    uint32_t phase = lm_world_phase();
    (void)signal;
    (void)info;
    if (self == NULL || phase % 2 == 0) {
        return; // no longer, or not yet, any of our business
    }
    if (self->inside) {
        self->is_due = 1; // lm_member_outside will see to it (stop.2)
        return;
    }
    if (self == __atomic_load_n(&stop.collector, __ATOMIC_RELAXED) ||
        !lm_member_is_running(self)) {
        return;
    }
    const stack_t *alternate = &((const ucontext_t *)context)->uc_stack;
    uintptr_t sp = lm_machine_sp();
    self->alternate_low = (uintptr_t)alternate->ss_sp;
    self->alternate_high = self->alternate_low + alternate->ss_size;
    self->home.sp = sp;
    // Release: who sees the phase sees the stack pointer.
    __atomic_store_n(&self->stopped_phase, phase, __ATOMIC_RELEASE);
    lm_world_acknowledge();
    lm_world_wait_phase(phase);
    stop_note_wait(self, context);
}

// ---- The stopping side -------------------------------------------------------

static bool member_is_stopped(const struct lm_member *m, uint32_t phase) {
    return __atomic_load_n(&m->stopped_phase, __ATOMIC_ACQUIRE) == phase ||
           !lm_member_is_running(m);
}

// False when the thread is gone.
static bool member_signal(const struct lm_member *m) {
    for (;;) {
        switch (lm_thread_signal(m->id, stop.signal)) {
        case LM_SIGNAL_SENT:
            return true;
        case LM_SIGNAL_GONE:
            return false;
        case LM_SIGNAL_FULL:
            lm_thread_yield();
            break;
        }
    }
}

static void member_complain(const struct lm_member *m) {
    bool is_blocked = lm_thread_blocks(m->id, stop.signal);
    lm_print(2,
             "loam: waiting for thread %d to stop for a collection\n"
             "  what we saw: it has not answered signal %d for 2 seconds%s\n"
             "  the rule: a thread that uses the heap lets that signal in\n"
             "  what to do: %s\n",
             (int)m->id, stop.signal,
             is_blocked ? "; it has the signal blocked" : "",
             is_blocked ? "leave the signal out of the mask, or choose another "
                          "with LOAM_SIGNAL"
                        : "look at what the thread is doing; if it is stopped "
                          "in a debugger, go on there");
}

// Waits for one member; false when its thread has ended.
static bool member_await(struct lm_member *m, uint32_t phase) {
    uint64_t began = lm_clock_ns();
    bool has_complained = false;
    while (!member_is_stopped(m, phase)) {
        uint32_t acks = lm_world_acks();
        if (member_is_stopped(m, phase)) {
            break;
        }
        lm_world_wait_acks(acks, STOP_LOOK_NS);
        if (member_is_stopped(m, phase) ||
            lm_clock_ns() - began < STOP_LOOK_NS) {
            continue;
        }
        if (lm_thread_signal(m->id, 0) == LM_SIGNAL_GONE) {
            return false;
        }
        if (!has_complained && lm_clock_ns() - began > STOP_COMPLAIN_NS) {
            member_complain(m);
            has_complained = true;
        }
    }
    return true;
}

uint64_t lm_world_stop(void) {
    struct lm_member *self = lm_self;
    lm_world_lock();
    uint64_t began = lm_clock_ns();
    __atomic_store_n(&stop.collector, self, __ATOMIC_RELAXED);
    uint32_t phase = lm_world_next_phase();
    struct lm_member *next;
    for (struct lm_member *m = lm_roll_first(); m; m = next) {
        next = m->next;
        if (m != self && lm_member_is_running(m) && !member_signal(m)) {
            lm_roll_bury(m);
        }
    }
    for (struct lm_member *m = lm_roll_first(); m; m = next) {
        next = m->next;
        if (m != self && !member_await(m, phase)) {
            lm_roll_bury(m);
        }
    }
    return lm_clock_ns() - began;
}

void lm_world_go(void) {
    __atomic_store_n(&stop.collector, NULL, __ATOMIC_RELAXED);
    lm_world_next_phase();
}

void lm_world_start(void) {
    lm_world_go();
    lm_world_unlock();
}

// ---- Beginning and fork --------------------------------------------------------

int lm_world_signal(void) {
    return stop.signal;
}

const sigset_t *lm_world_mask(const sigset_t *set, sigset_t *copy) {
    if (set == NULL || !lm_libc_has_runtime) {
        return set;
    }
    *copy = *set;
    sigdelset(copy, stop.signal);
    lm_thread_let_faults_in(copy);
    return copy;
}

void lm_world_let_in(void) {
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, stop.signal);
    if (lm_settings.track == LM_TRACK_MPROTECT) {
        sigaddset(&ours, SIGSEGV);
    }
    lm_libc()->pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

bool lm_world_init(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    memset(&stop, 0, sizeof stop);
    // High among the real-time signals, where few programs look for one.
    stop.signal = lm_settings.signal ? lm_settings.signal : SIGRTMAX - 4;
    action.sa_sigaction = stop_handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask);
    lm_thread_let_faults_in(&action.sa_mask);
    return !lm_memory_is_refused() &&
           lm_libc()->sigaction(stop.signal, &action, NULL) == 0;
}

void lm_world_fork_done(bool in_child) {
    if (in_child) {
        lm_world_unlock_child();
        lm_roll_fork_child();
    } else {
        lm_world_unlock();
    }
}
