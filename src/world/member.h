// SPDX-License-Identifier: MIT
// world/member.h: what is known of a thread that uses the heap, and its part in
// being stopped.
//
//              stop signal, handler              restart
//   running ------------------------> stopped ------------> running
//      |  lm_member_inside                ^
//      |    stop signal: noted            |
//      |  lm_member_outside --------------+  (parks itself)
//      |
//      |  lm_member_retreat
//      +------------------------> safe: needs no signal
//      ^                            |
//      +----------------------------+
//         lm_member_resume (waits while the program is stopped)

#ifndef WORLD_MEMBER_H
#define WORLD_MEMBER_H

#include "alloc/cache.h"
#include "os/lock.h"
#include "os/machine.h"

#include <loam/status.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Where a member is, as a collection sees it.
enum lm_member_state {
    LM_MEMBER_RUNNING = 0, // must be stopped by a signal
    LM_MEMBER_SAFE = 1,    // does not touch the heap until a collection ends
};

// Room for the sentence on a thread's last failure.
#define LM_MESSAGE_BYTES 640

// How many signals can be kept that come at the same moment: one of each.
#define LM_MEMBER_SIGNALS 64

// struct lm_stack is a stack that is not running now: what lies between sp and
// high is scanned, and the registers saved with it.
struct lm_stack {
    uintptr_t low;
    uintptr_t high;
    uintptr_t sp;
    uintptr_t registers[LM_MACHINE_REGISTERS];
};

// The public, opaque struct loam_stack: a coroutine's.
struct loam_stack {
    struct lm_stack stack;
    struct lm_member *owner; // who runs on it, or NULL
    struct loam_stack *next;
    struct loam_stack *before;
};

struct lm_member {
    struct lm_member *next; // in the list of all; guarded by the world's lock
    struct lm_member *before;
    pid_t id;
    uint32_t state;         // enum lm_member_state; atomic
    uint32_t stopped_phase; // of the world, in which it was stopped; atomic
    bool is_born;           // its thread runs; else only the argument counts
    bool is_main;           // its own stack may grow below home.low
    bool is_noted;          // lm_member_note_keep: home.sp stays as it is
    struct lm_stack home;   // its own stack; sp as of the last stop or region
    struct loam_stack *coroutine; // that it runs on, or NULL
    uintptr_t left_sp; // of its own stack, when it went onto a coroutine's
    uintptr_t left_registers[LM_MACHINE_REGISTERS];
    uintptr_t alternate_low; // sigaltstack in use at the last stop
    uintptr_t alternate_high;
    void *const *const *dtv; // see os/machine.h
    uintptr_t thread_pointer;
    struct lm_cache *cache;
    // Set by the thread itself, read by its own signal handlers.
    volatile uint32_t inside; // it is within the allocator: cannot stop here,
                              // nor run the program's signal handlers
    volatile uint32_t is_due; // a stop, or a handler, has been put off
    // The signals that were put off; all are blocked until these are let in.
    // More than one only if they came at the same moment.
    volatile uint32_t signal_count;
    siginfo_t signal_info[LM_MEMBER_SIGNALS];
    sigset_t signal_mask; // as the thread had it
    uint32_t blocking_depth;
    // Where a wrapper of a blocking call waits, and whether nothing but a stop
    // interrupted the call; see api/wait.c.
    volatile uintptr_t wait_sp;
    volatile uint32_t is_wait_ours;
    // What it will run: a root until it has picked it up.
    void *(*start)(void *);
    void *argument;
    void *kept;       // at its end, its result
    bool is_ended;    // it has a result that nobody has joined yet
    pthread_t thread; // then
    // Why its last call failed.
    enum loam_status status;
    char message[LM_MESSAGE_BYTES];
};

// lm_self is the calling thread's record, NULL for a thread that is no member.
extern __thread struct lm_member *lm_self
    __attribute__((tls_model("initial-exec")));

// The world's lock guards the roll of members and the coroutine stacks. A
// member waits for it in state SAFE, so no collection waits for that member.
void lm_world_lock(void);
void lm_world_unlock(void);
void lm_world_unlock_child(void); // in the child of a fork

// The phase counts stops and starts: it is odd while the program is stopped.
uint32_t lm_world_phase(void);
uint32_t lm_world_next_phase(void);       // for who stops and starts
void lm_world_wait_phase(uint32_t phase); // until it has changed
void lm_world_acknowledge(void);          // "I have stopped"
uint32_t lm_world_acks(void);             // changes with each of those
void lm_world_wait_acks(uint32_t acks, uint64_t ns);

// lm_member_inside and outside bracket what must not be interrupted by a stop
// or by a handler of the program's, which may jump away: the allocator's slow
// paths. They nest. Outside sees to what has been put off.
static inline void lm_member_inside(struct lm_member *self) {
    self->inside++;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
// lm_member_enter is lm_member_inside, and lm_member_leave lm_member_outside, for
// a thread that is known to be outside: stores, that wait for no store before.
static inline void lm_member_enter(struct lm_member *self) {
    self->inside = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
void lm_member_catch_up(struct lm_member *self);
static inline void lm_member_leave(struct lm_member *self) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self->inside = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(self->is_due, 0)) {
        lm_member_catch_up(self);
    }
}
static inline void lm_member_outside(struct lm_member *self) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    self->inside--;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(self->is_due && self->inside == 0, 0)) {
        lm_member_catch_up(self);
    }
}

// lm_member_put_off keeps a signal that came while inside: its handler will run
// when the thread is outside. Called by the handler that the program's is
// behind; the mask is the interrupted code's.
void lm_member_put_off(struct lm_member *self, int signal,
                       const siginfo_t *info, sigset_t *mask);

// lm_member_note keeps the calling member's stack as of now and the registers
// its callers rely on, for scanning; lm_member_note_at, the stack from sp on.
void lm_member_note(struct lm_member *self);
void lm_member_note_at(struct lm_member *self, uintptr_t sp);

// lm_member_note_keep makes the calling function's frame the last one of the member's
// that is scanned, until lm_member_note_drop in the same function: what lies below
// is the collector's, and what its frames hold, or have left behind, is no reference
// of the program's. Nothing of the program's may run meanwhile. For no member,
// nothing.
static inline __attribute__((always_inline)) void lm_member_note_keep(
    struct lm_member *self) {
    if (self) {
        // What the caller has changed of these its own frame keeps.
        lm_machine_registers(self->home.registers);
        lm_member_note_at(self, lm_machine_sp());
        self->is_noted = true;
    }
}
static inline void lm_member_note_drop(struct lm_member *self) {
    if (self) {
        self->is_noted = false;
    }
}

// lm_member_acquire waits in a safe state for a lock that is held while the program
// is stopped, also for a thread that is no member; none of the program's handlers
// runs until lm_member_release.
void lm_member_acquire(struct lm_queue *lock);
void lm_member_release(struct lm_queue *lock);

// lm_member_retreat makes the calling member safe, and notes its stack.
void lm_member_retreat(struct lm_member *self);

// lm_member_resume makes it running again, after any stop under way.
void lm_member_resume(struct lm_member *self);

// lm_member_is_running says whether a member, if any, must be stopped.
static inline bool lm_member_is_running(const struct lm_member *member) {
    return member && __atomic_load_n(&member->state, __ATOMIC_SEQ_CST) ==
                         LM_MEMBER_RUNNING;
}

#endif // WORLD_MEMBER_H
