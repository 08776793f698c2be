// SPDX-License-Identifier: MIT
// os/lock.h: locks and waiting, on futexes.
//
// The library's locks cannot be libc's: after a stop another thread may hold
// any of those, and ours must be put right in the child of a fork.

#ifndef OS_LOCK_H
#define OS_LOCK_H

#include <stdbool.h>
#include <stdint.h>

// struct lm_lock is a mutex of one word; all zeroes is unlocked.
struct lm_lock {
    uint32_t state; // 0 free, 1 held, 2 held and somebody waits; atomic
};

void lm_lock_acquire(struct lm_lock *lock);
bool lm_lock_try(struct lm_lock *lock);
void lm_lock_release(struct lm_lock *lock);

// lm_lock_reset makes a lock free in the child of a fork.
void lm_lock_reset(struct lm_lock *lock);

// struct lm_queue is a lock that is given to those who wait in the order in which
// they came, for what is held long and often: who asks again at once would keep a
// plain one for ever. All zeroes is free.
struct lm_queue {
    uint32_t next;   // the ticket of who comes next; atomic
    uint32_t served; // the ticket whose turn it is; atomic, waited on
};

void lm_queue_acquire(struct lm_queue *queue);
bool lm_queue_try(struct lm_queue *queue);
void lm_queue_release(struct lm_queue *queue);

// lm_queue_reset makes a lock free in the child of a fork, or the caller's:
// whoever waited for it is not here.
void lm_queue_reset(struct lm_queue *queue, bool is_held);

// lm_futex_wait sleeps while *word is value, at most timeout_ns (0: forever).
// It may return early; callers look again. errno is left as it was.
void lm_futex_wait(const uint32_t *word, uint32_t value, uint64_t timeout_ns);

// lm_futex_wake wakes at most count sleepers of the word.
void lm_futex_wake(const uint32_t *word, unsigned count);

#endif // OS_LOCK_H
