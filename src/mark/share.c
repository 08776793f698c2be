// SPDX-License-Identifier: MIT
// share.c: a list of chunks, a count of the busy, and a bell.
//
//   share.1  `busy` counts the markers that hold entries or may make some. It
//            changes only under the lock, together with the list.
//   share.2  When the list is empty and nobody is busy, all is marked: only a
//            busy marker can offer.
//   share.3  A phase that one marker has quit ends for all: nobody joins it any
//            more, nor gets work, though there are chunks for the next.

#include "mark/share.h"

#include "base/check.h"
#include "os/lock.h"
#include "os/machine.h"

#include <limits.h>

// Looks before sleeping: about 20 us, the cost of waking somebody up.
#define SHARE_SPINS 400

static struct {
    struct lm_lock lock;    // guards all below but the atomics' readers
    struct lm_chunk *offer; // newest first; atomic for lookers
    uint32_t busy;
    uint32_t helpers; // that may take part in this phase
    uint32_t joined;  // that do
    uint32_t hungry;  // that wait for work; atomic, a hint
    uint32_t sleepers;
    uint32_t bell; // changes when something happens; atomic
    bool is_open;  // a phase is under way, and nobody has left it early
    bool is_dismissed;
} share;

static void share_ring(unsigned count) {
    // Under the lock, so that a sleeper that has not yet gone to sleep sees
    // the change and does not.
    __atomic_add_fetch(&share.bell, 1, __ATOMIC_RELEASE);
    if (share.sleepers) {
        lm_futex_wake(&share.bell, count);
    }
}

void lm_share_begin(unsigned helpers) {
    lm_lock_acquire(&share.lock);
    share.busy = 1;
    share.helpers = helpers;
    share.is_open = true;
    __atomic_store_n(&share.hungry, helpers, __ATOMIC_RELAXED);
    if (helpers > 0 && share.offer) {
        share_ring(helpers); // there is work from the phase before
    }
    lm_lock_release(&share.lock);
}

void lm_share_widen(unsigned helpers) {
    lm_lock_acquire(&share.lock);
    if (share.is_open && helpers > share.helpers) {
        __atomic_add_fetch(&share.hungry, helpers - share.helpers,
                           __ATOMIC_RELAXED);
        share.helpers = helpers;
        if (share.offer) {
            share_ring(UINT_MAX);
        }
    }
    lm_lock_release(&share.lock);
}

void lm_share_offer(struct lm_chunk *chunk) {
    lm_lock_acquire(&share.lock);
    chunk->next = share.offer;
    __atomic_store_n(&share.offer, chunk, __ATOMIC_RELAXED);
    if (__atomic_load_n(&share.hungry, __ATOMIC_RELAXED)) {
        share_ring(1);
    }
    lm_lock_release(&share.lock);
}

static struct lm_chunk *share_pop(void) {
    struct lm_chunk *chunk = share.offer;
    if (chunk) {
        __atomic_store_n(&share.offer, chunk->next, __ATOMIC_RELAXED);
        chunk->next = NULL;
    }
    return chunk;
}

// For who takes part in a phase.
static struct lm_chunk *share_pop_open(void) {
    return share.is_open ? share_pop() : NULL;
}

// Whether work may still come.
static bool share_may_bring(void) {
    return share.is_open && share.busy > 0;
}

struct lm_chunk *lm_share_take(void) {
    if (__atomic_load_n(&share.offer, __ATOMIC_RELAXED) == NULL) {
        return NULL;
    }
    lm_lock_acquire(&share.lock);
    struct lm_chunk *chunk = share_pop();
    lm_lock_release(&share.lock);
    return chunk;
}

bool lm_share_has_offer(void) {
    return __atomic_load_n(&share.offer, __ATOMIC_RELAXED) != NULL;
}

bool lm_share_is_hungry(void) {
    return __atomic_load_n(&share.hungry, __ATOMIC_RELAXED) &&
           __atomic_load_n(&share.offer, __ATOMIC_RELAXED) == NULL;
}

// With the lock held; sleeps until the bell has rung since `bell`.
static void share_sleep(uint32_t bell) {
    share.sleepers++;
    lm_lock_release(&share.lock);
    lm_futex_wait(&share.bell, bell, 0);
    lm_lock_acquire(&share.lock);
    share.sleepers--;
}

static void share_spin(uint32_t bell) {
    for (int i = 0; i < SHARE_SPINS; i++) {
        if (__atomic_load_n(&share.bell, __ATOMIC_RELAXED) != bell) {
            return;
        }
        lm_machine_pause();
    }
}

struct lm_chunk *lm_share_steal(void) {
    lm_lock_acquire(&share.lock);
    struct lm_chunk *chunk = share_pop_open();
    if (chunk == NULL) {
        share.busy--;
        __atomic_add_fetch(&share.hungry, 1, __ATOMIC_RELAXED);
        if (share.busy == 0) {
            share_ring(UINT_MAX); // all is done (share.2)
        }
        while ((chunk = share_pop_open()) == NULL && share_may_bring()) {
            uint32_t bell = __atomic_load_n(&share.bell, __ATOMIC_RELAXED);
            lm_lock_release(&share.lock);
            share_spin(bell);
            lm_lock_acquire(&share.lock);
            if (share.bell == bell && share.offer == NULL &&
                share_may_bring()) {
                share_sleep(bell);
            }
        }
        __atomic_sub_fetch(&share.hungry, 1, __ATOMIC_RELAXED);
        share.busy += chunk != NULL;
    }
    lm_lock_release(&share.lock);
    return chunk;
}

void lm_share_quit(void) {
    lm_lock_acquire(&share.lock);
    share.busy--;
    share.is_open = false;
    share_ring(UINT_MAX); // whoever waits for work
    lm_lock_release(&share.lock);
}

struct lm_chunk *lm_share_join(void) {
    struct lm_chunk *chunk = NULL;
    lm_lock_acquire(&share.lock);
    while (!share.is_dismissed) {
        if (share.joined < share.helpers &&
            (chunk = share_pop_open()) != NULL) {
            share.joined++;
            share.busy++;
            __atomic_sub_fetch(&share.hungry, 1, __ATOMIC_RELAXED);
            break;
        }
        share_sleep(__atomic_load_n(&share.bell, __ATOMIC_RELAXED));
    }
    lm_lock_release(&share.lock);
    return chunk;
}

void lm_share_leave(void) {
    lm_lock_acquire(&share.lock);
    share.joined--;
    share_ring(UINT_MAX);
    lm_lock_release(&share.lock);
}

void lm_share_end(void) {
    lm_lock_acquire(&share.lock);
    share.is_open = false;
    while (share.joined > 0) {
        share_sleep(__atomic_load_n(&share.bell, __ATOMIC_RELAXED));
    }
    __atomic_store_n(&share.hungry, 0, __ATOMIC_RELAXED);
    lm_lock_release(&share.lock);
}

void lm_share_dismiss(void) {
    lm_lock_acquire(&share.lock);
    share.is_dismissed = true;
    share_ring(UINT_MAX);
    lm_lock_release(&share.lock);
}

void lm_share_fork_child(void) {
    lm_lock_reset(&share.lock);
    share.offer = NULL;
    share.busy = share.joined = share.hungry = share.sleepers = 0;
    share.is_open = share.is_dismissed = false;
}
