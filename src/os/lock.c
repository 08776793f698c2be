// SPDX-License-Identifier: MIT
// lock.c: the mutex with three states of Drepper's "Futexes are tricky", and the
// ticket lock of Reed and Kanodia ("Synchronization with Eventcounts and
// Sequencers", 1979), whose waiters sleep and are woken one at a time.

#include "os/lock.h"

#include "os/machine.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Looks before sleeping: what these locks protect takes well under the
// microsecond that a futex call costs.
#define LOCK_SPINS 100

void lm_futex_wait(const uint32_t *word, uint32_t value, uint64_t timeout_ns) {
    struct timespec t = {(time_t)(timeout_ns / 1000000000u),
                         (long)(timeout_ns % 1000000000u)};
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns ? &t : NULL,
            NULL, 0);
    errno = saved;
}

void lm_futex_wake(const uint32_t *word, unsigned count) {
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE,
            count > INT_MAX ? INT_MAX : (int)count, NULL, NULL, 0);
    errno = saved;
}

bool lm_lock_try(struct lm_lock *lock) {
    uint32_t free = 0;
    // Acquire: pairs with the release below, so that what the last holder
    // wrote is seen.
    return __atomic_compare_exchange_n(&lock->state, &free, 1, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void lm_lock_acquire(struct lm_lock *lock) {
    for (int i = 0; i < LOCK_SPINS; i++) {
        if (lm_lock_try(lock)) {
            return;
        }
        lm_machine_pause();
    }
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0) {
        lm_futex_wait(&lock->state, 2, 0);
    }
}

void lm_lock_release(struct lm_lock *lock) {
    if (__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2) {
        lm_futex_wake(&lock->state, 1);
    }
}

void lm_lock_reset(struct lm_lock *lock) {
    __atomic_store_n(&lock->state, 0, __ATOMIC_RELEASE);
}

// ---- In turn -------------------------------------------------------------------

// Which sleepers a ticket's turn wakes: one of each 32.
static uint32_t queue_bit(uint32_t ticket) {
    return UINT32_C(1) << (ticket % 32);
}

static void queue_sleep(struct lm_queue *queue, uint32_t served,
                        uint32_t ticket) {
    int saved = errno;
    syscall(SYS_futex, &queue->served, FUTEX_WAIT_BITSET_PRIVATE, served, NULL,
            NULL, queue_bit(ticket));
    errno = saved;
}

static void queue_wake(struct lm_queue *queue, uint32_t ticket) {
    int saved = errno;
    syscall(SYS_futex, &queue->served, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL,
            NULL, queue_bit(ticket));
    errno = saved;
}

bool lm_queue_try(struct lm_queue *queue) {
    // Acquire, both: what the last holder wrote is seen. Nobody has that ticket,
    // so it is the turn's still when it is taken.
    uint32_t served = __atomic_load_n(&queue->served, __ATOMIC_ACQUIRE);
    return __atomic_compare_exchange_n(&queue->next, &served, served + 1, false,
                                       __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void lm_queue_acquire(struct lm_queue *queue) {
    // In one order with the release's two steps: either it sees who waits, or
    // who waits sees that it is served.
    uint32_t ticket = __atomic_fetch_add(&queue->next, 1, __ATOMIC_SEQ_CST);
    uint32_t served;
    for (unsigned i = 0;
         (served = __atomic_load_n(&queue->served, __ATOMIC_SEQ_CST)) != ticket;
         i++) {
        if (i < LOCK_SPINS) {
            lm_machine_pause();
        } else {
            queue_sleep(queue, served, ticket);
        }
    }
}

void lm_queue_release(struct lm_queue *queue) {
    uint32_t ticket = __atomic_add_fetch(&queue->served, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&queue->next, __ATOMIC_SEQ_CST) != ticket) {
        queue_wake(queue, ticket);
    }
}

void lm_queue_reset(struct lm_queue *queue, bool is_held) {
    uint32_t served = __atomic_load_n(&queue->served, __ATOMIC_RELAXED);
    __atomic_store_n(&queue->next, served + is_held, __ATOMIC_RELEASE);
}
