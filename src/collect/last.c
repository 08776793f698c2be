// SPDX-License-Identifier: MIT
// last.c: the steps before an allocation fails, in the order of what they cost
// the program.
//
//   what is softly held and what pools keep goes       lm_last_listen
//   objects are moved together, where that may be      LOAM_COMPACT=auto
//   the program's handler lets go of what it can       loam_oom_handler_set
//
// each with a full collection behind it, and as soon as there is room that is
// the end. Before all that comes another collection, if the last one has left
// room: then other threads have been quicker. One thread at a time takes these
// steps: who waits for its turn may find that it need not.
//
// What died has no place yet while a collection is under way, and the figures
// are those of the one before. So who is about to be refused tries with
// collections held off.
//
// The handler may leave by longjmp, and nobody tells us. So a turn remembers
// where on the stack it began: when its thread allocates from above that place,
// or when what was written there is gone, it has left (last_has_left). A thread
// that ended is asked of the system. Until then others wait, but not for ever:
// when one handler has run for LAST_WAIT_NS they are refused.

#include "collect/last.h"

#include "base/check.h"
#include "base/config.h"
#include "collect/compact.h"
#include "collect/cycle.h"
#include "heap/run.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/thread.h"

#include <stdint.h>

// How long the handler of another is waited for, and how often it is asked
// whether that thread is still there.
#define LAST_WAIT_NS UINT64_C(2000000000)
#define LAST_LOOK_NS UINT64_C(10000000)

// A handler that says "again" is believed so often for one allocation.
#define LAST_TRIES 64

// Collections for one allocation whose room other threads have taken.
#define LAST_ROUNDS 4

// Words on the stack that show whether the frame is still there.
#define LAST_MARK_WORDS 16

struct turn {
    volatile uintptr_t mark[LAST_MARK_WORDS];
};

static struct {
    lm_last_listener *listener[LM_LAST_LISTENERS];
    unsigned listener_count;
    struct lm_lock lock; // guards the handler
    lm_last_handler *handler;
    void *argument; // kept alive by standing here
    // The turn: 4 n when it is nobody's, 4 n + 1 when it is somebody's, and 4 n + 2
    // while it is given up; so a turn's word is never that of another. Atomic,
    // waited on. All below belongs to the turn, and is nothing between two.
    uint32_t word;
    const struct lm_member *owner; // atomic
    pid_t thread;                  // the owner's; atomic
    // Hidden, so that a frame's address is no pointer to what lies there later.
    uintptr_t hidden_turn; // atomic
    bool is_asking;        // the handler runs, or has left; atomic
} last;

void lm_last_listen(lm_last_listener *listener) {
    for (unsigned i = 0; i < last.listener_count; i++) {
        if (last.listener[i] == listener) {
            return; // from a heap before this one
        }
    }
    if (last.listener_count < LM_LAST_LISTENERS) {
        last.listener[last.listener_count++] = listener;
    }
}

void lm_last_set_handler(lm_last_handler *handler, void *argument) {
    lm_lock_acquire(&last.lock);
    last.handler = handler;
    last.argument = argument;
    lm_lock_release(&last.lock);
}

// ---- Turns ---------------------------------------------------------------------

bool lm_last_is_turn_of(const struct lm_member *self) {
    // Relaxed: a thread knows what it wrote itself.
    return __atomic_load_n(&last.owner, __ATOMIC_RELAXED) == self;
}

static uint32_t turn_word(void) {
    // Acquire: what belonged to the turns before is gone.
    return __atomic_load_n(&last.word, __ATOMIC_ACQUIRE);
}

static bool word_is_taken(uint32_t word) {
    return word % 4 == 1;
}

static void turn_clear(uint32_t word) {
    __atomic_store_n(&last.owner, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&last.thread, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&last.hidden_turn, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&last.is_asking, false, __ATOMIC_RELAXED);
    __atomic_store_n(&last.word, (word | 3) + 1, __ATOMIC_RELEASE);
}

// Gives up the turn of that word, unless somebody else has.
static void turn_free(uint32_t word) {
    if (!word_is_taken(word) ||
        !__atomic_compare_exchange_n(&last.word, &word, word + 1, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
    }
    turn_clear(word);
    lm_futex_wake(&last.word, 1);
}

static bool turn_try(struct lm_member *self, struct turn *turn) {
    uint32_t word = turn_word();
    if (word % 4 != 0 ||
        !__atomic_compare_exchange_n(&last.word, &word, word + 1, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return false;
    }
    for (unsigned i = 0; i < LAST_MARK_WORDS; i++) {
        turn->mark[i] = word + 1;
    }
    __atomic_store_n(&last.thread, self->id, __ATOMIC_RELAXED);
    __atomic_store_n(&last.hidden_turn, ~(uintptr_t)turn, __ATOMIC_RELAXED);
    __atomic_store_n(&last.owner, self, __ATOMIC_RELEASE);
    return true;
}

// The thread that had it may be gone with it.
static void turn_look(uint32_t word) {
    pid_t thread = __atomic_load_n(&last.thread, __ATOMIC_RELAXED);
    if (thread && lm_thread_signal(thread, 0) == LM_SIGNAL_GONE) {
        turn_free(word);
    }
}

// Until it is ours, or one handler has run for too long.
static bool turn_wait(struct lm_member *self, struct turn *turn) {
    uint64_t since = lm_clock_ns();
    uint32_t before = 0;
    while (lm_clock_ns() - since < LAST_WAIT_NS) {
        if (turn_try(self, turn)) {
            return true;
        }
        uint32_t word = turn_word();
        if (word != before ||
            !__atomic_load_n(&last.is_asking, __ATOMIC_RELAXED)) {
            since = lm_clock_ns();
            before = word;
        }
        if (word % 4 != 0) {
            turn_look(word);
            lm_futex_wait(&last.word, word, LAST_LOOK_NS);
        }
    }
    return false;
}

// False when another has had it for too long.
static bool turn_take(struct lm_member *self, struct turn *turn) {
    bool ok = turn_try(self, turn);
    if (!ok) {
        lm_member_retreat(self);
        ok = turn_wait(self, turn);
        lm_member_resume(self);
    }
    return ok;
}

static void turn_give(const struct lm_member *self, struct turn *turn) {
    // It may have been ended meanwhile, and be another's.
    uint32_t word = turn_word();
    if (lm_last_is_turn_of(self) &&
        __atomic_load_n(&last.hidden_turn, __ATOMIC_RELAXED) ==
            ~(uintptr_t)turn) {
        turn_free(word);
    }
    for (unsigned i = 0; i < LAST_MARK_WORDS; i++) {
        turn->mark[i] = 0;
    }
}

LM_NO_SANITIZE __attribute__((noinline)) static bool last_has_left(
    const struct lm_member *self, uint32_t word) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t there = ~__atomic_load_n(&last.hidden_turn, __ATOMIC_RELAXED);
    const struct turn *turn = (const struct turn *)there; // NOLINT
    // Another thread with the record of one that ended; above; or on a stack
    // that is no more.
    if (__atomic_load_n(&last.thread, __ATOMIC_RELAXED) != self->id ||
        here > there || !lm_thread_is_mapped(there, there + sizeof *turn)) {
        return true;
    }
    for (unsigned i = 0; i < LAST_MARK_WORDS; i++) {
        if (turn->mark[i] != word) {
            return true;
        }
    }
    return false;
}

void lm_last_notice_left(const struct lm_member *self) {
    uint32_t word = turn_word();
    if (lm_last_is_turn_of(self) && last_has_left(self, word)) {
        lm_run_let_spare(false);
        turn_free(word);
    }
}

// ---- The steps -------------------------------------------------------------------

static bool last_attempt(const struct lm_last *wish) {
    lm_cycle_hold();
    bool ok = wish->attempt(wish->argument);
    lm_cycle_let();
    return ok;
}

static bool last_collect(struct lm_member *self, const struct lm_last *wish) {
    lm_member_outside(self);
    lm_cycle_collect(LM_CYCLE_FULL, LM_CAUSE_LIMIT, lm_cycle_begun());
    lm_member_inside(self);
    return last_attempt(wish);
}

// Whether a small object should have found room after the last collection.
static bool last_had_room(const struct lm_last *wish) {
    size_t max = __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    struct lm_cycle_figures f;
    lm_cycle_figures_get(&f);
    return wish->bytes <= LM_BLOCK_BYTES && max &&
           f.live_bytes < max - max / 32;
}

static bool last_again(struct lm_member *self, const struct lm_last *wish) {
    for (unsigned i = 0; i < LAST_ROUNDS && last_had_room(wish); i++) {
        if (last_collect(self, wish)) {
            return true;
        }
    }
    return false;
}

static bool last_listeners(struct lm_member *self, const struct lm_last *wish) {
    for (unsigned i = 0; i < last.listener_count; i++) {
        lm_member_outside(self);
        bool has_let_go = last.listener[i]();
        lm_member_inside(self);
        if (has_let_go && last_collect(self, wish)) {
            return true;
        }
    }
    return false;
}

static bool last_compact(struct lm_member *self, const struct lm_last *wish) {
    if (lm_settings.compact != LM_COMPACT_AUTO) {
        return false;
    }
    lm_member_outside(self);
    lm_compact_run();
    lm_member_inside(self);
    return last_attempt(wish);
}

static bool last_ask(struct lm_member *self, size_t bytes) {
    lm_lock_acquire(&last.lock);
    lm_last_handler *handler = last.handler;
    void *argument = last.argument;
    lm_lock_release(&last.lock);
    if (handler == NULL) {
        return false;
    }
    lm_run_let_spare(true);
    __atomic_store_n(&last.is_asking, true, __ATOMIC_RELAXED);
    lm_member_outside(self);
    bool is_again = handler(bytes, argument) != 0;
    lm_member_inside(self);
    __atomic_store_n(&last.is_asking, false, __ATOMIC_RELAXED);
    lm_run_let_spare(false);
    return is_again;
}

static bool last_handler(struct lm_member *self, const struct lm_last *wish) {
    for (unsigned i = 0; i < LAST_TRIES && last_ask(self, wish->bytes); i++) {
        if (last_collect(self, wish)) {
            return true;
        }
    }
    return false;
}

bool lm_last_resort(struct lm_member *self, const struct lm_last *wish) {
    struct turn turn;
    if (lm_last_is_turn_of(self)) {
        return false; // the handler itself: not even the spare was enough
    }
    bool has_turn = turn_take(self, &turn);
    bool ok = last_attempt(wish);
    if (has_turn) {
        ok = ok || last_again(self, wish) || last_listeners(self, wish) ||
             last_compact(self, wish) || last_handler(self, wish);
        turn_give(self, &turn);
    }
    return ok;
}

// Of the threads only this one is left.
void lm_last_fork_child(void) {
    lm_lock_reset(&last.lock);
    if (lm_self && lm_last_is_turn_of(lm_self)) {
        last.thread = lm_self->id;
    } else {
        turn_clear(turn_word());
    }
}
