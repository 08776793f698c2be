// SPDX-License-Identifier: MIT
// member.c: being safe, being running, and the phase that decides.
//
// A thread that leaves a safe region says that it runs and then looks at the
// phase, while the collector changes the phase and then looks whether the
// thread runs; both in sequential order, so at least one sees the other
// (Dekker's algorithm).

#include "world/member.h"

#include "os/lock.h"
#include "os/thread.h"

#include <limits.h>

__thread struct lm_member *lm_self __attribute__((tls_model("initial-exec")));

static struct {
    struct lm_lock lock;
    uint32_t phase; // atomic
    uint32_t acks;  // atomic
} world;

// ---- The lock ------------------------------------------------------------------

void lm_world_lock(void) {
    struct lm_member *self = lm_self;
    if (self) {
        lm_member_inside(self); // no handler runs, and jumps away with the lock
    }
    if (lm_lock_try(&world.lock)) {
        return;
    }
    if (!lm_member_is_running(self)) {
        lm_lock_acquire(&world.lock);
        return;
    }
    lm_member_retreat(self);
    lm_lock_acquire(&world.lock);
    // Nobody can have stopped the program since: that takes the lock.
    __atomic_store_n(&self->state, LM_MEMBER_RUNNING, __ATOMIC_SEQ_CST);
}

void lm_world_unlock(void) {
    lm_lock_release(&world.lock);
    if (lm_self) {
        lm_member_outside(lm_self);
    }
}

void lm_world_unlock_child(void) {
    lm_lock_reset(&world.lock);
    lm_world_unlock();
}

// ---- The phase -----------------------------------------------------------------

uint32_t lm_world_phase(void) {
    return __atomic_load_n(&world.phase, __ATOMIC_SEQ_CST);
}

uint32_t lm_world_next_phase(void) {
    uint32_t phase = __atomic_add_fetch(&world.phase, 1, __ATOMIC_SEQ_CST);
    if (phase % 2 == 0) {
        lm_futex_wake(&world.phase, UINT_MAX);
    }
    return phase;
}

void lm_world_wait_phase(uint32_t phase) {
    // Acquire: what the collector did is seen by who goes on.
    while (__atomic_load_n(&world.phase, __ATOMIC_ACQUIRE) == phase) {
        lm_futex_wait(&world.phase, phase, 0);
    }
}

void lm_world_acknowledge(void) {
    // Release: who sees the count sees this thread's stack pointer.
    __atomic_add_fetch(&world.acks, 1, __ATOMIC_RELEASE);
    lm_futex_wake(&world.acks, 1);
}

uint32_t lm_world_acks(void) {
    return __atomic_load_n(&world.acks, __ATOMIC_ACQUIRE);
}

void lm_world_wait_acks(uint32_t acks, uint64_t ns) {
    lm_futex_wait(&world.acks, acks, ns);
}

// ---- One's own state -----------------------------------------------------------

void lm_member_note_at(struct lm_member *self, uintptr_t sp) {
    stack_t alternate;
    self->home.sp = sp;
    self->alternate_high = 0;
    if ((sp < self->home.low || sp >= self->home.high) &&
        sigaltstack(NULL, &alternate) == 0 &&
        (alternate.ss_flags & SS_ONSTACK)) {
        self->alternate_low = (uintptr_t)alternate.ss_sp;
        self->alternate_high = self->alternate_low + alternate.ss_size;
    }
}

void lm_member_note(struct lm_member *self) {
    if (!self->is_noted) {
        lm_machine_registers(self->home.registers);
        lm_member_note_at(self, lm_machine_sp());
    }
}

void lm_member_retreat(struct lm_member *self) {
    lm_member_note(self);
    __atomic_store_n(&self->state, LM_MEMBER_SAFE, __ATOMIC_SEQ_CST);
    if (lm_world_phase() % 2) {
        lm_world_acknowledge(); // the collector may be waiting for us
    }
}

void lm_member_resume(struct lm_member *self) {
    // Inside, so that no handler of the program's runs between saying that
    // this thread runs and knowing that it may.
    lm_member_inside(self);
    for (;;) {
        __atomic_store_n(&self->state, LM_MEMBER_RUNNING, __ATOMIC_SEQ_CST);
        uint32_t phase = lm_world_phase();
        if (phase % 2 == 0) {
            break;
        }
        __atomic_store_n(&self->state, LM_MEMBER_SAFE, __ATOMIC_SEQ_CST);
        lm_world_acknowledge();
        lm_world_wait_phase(phase);
    }
    lm_member_outside(self);
}

void lm_member_put_off(struct lm_member *self, int signal,
                       const siginfo_t *info, sigset_t *mask) {
    if (self->signal_count < LM_MEMBER_SIGNALS) {
        self->signal_info[self->signal_count] = *info;
        self->signal_info[self->signal_count].si_signo = signal;
        self->signal_count++;
    }
    // Of several the last to get here is the one that interrupted first, and
    // knows the mask.
    self->signal_mask = *mask;
    self->is_due = 1;
    // In force when the handler returns: no second signal before this one.
    sigfillset(mask);
    lm_thread_let_faults_in(mask);
}

void lm_member_catch_up(struct lm_member *self) {
    self->is_due = 0;
    if (lm_world_phase() % 2) {
        self->inside++;
        lm_member_retreat(self);
        lm_member_resume(self);
        self->inside--;
    }
    if (self->signal_count) {
        sigset_t mask = self->signal_mask;
        while (self->signal_count) {
            siginfo_t *info = &self->signal_info[--self->signal_count];
            lm_thread_requeue(info->si_signo, info);
        }
        lm_thread_restore_signals(&mask); // and here their handlers run
    }
}

void lm_member_acquire(struct lm_queue *lock) {
    struct lm_member *self = lm_self;
    if (self) {
        // A handler that jumped out of here would take the program's restart
        // with it.
        lm_member_inside(self);
    }
    if (lm_queue_try(lock)) {
        return;
    }
    if (!lm_member_is_running(self)) {
        lm_queue_acquire(lock);
        return;
    }
    lm_member_retreat(self);
    lm_queue_acquire(lock);
    lm_member_resume(self);
}

void lm_member_release(struct lm_queue *lock) {
    lm_queue_release(lock);
    if (lm_self) {
        lm_member_outside(lm_self);
    }
}
