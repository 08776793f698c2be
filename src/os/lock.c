// SPDX-License-Identifier: MIT
// lock.c: the mutex with three states of Drepper's "Futexes are tricky".

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
