// SPDX-License-Identifier: MIT
// roll.c: joining and leaving.
//
//   roll.1  The list changes only under the world's lock, which a collection
//             holds from before the stop until after the restart.
//   roll.2  A thread waits for that lock in state SAFE, or with no record in
//             the list: so whoever holds it need not wait for that thread.

#include "world/roll.h"

#include <loam/heap.h>

#include "base/check.h"
#include "heap/space.h"
#include "os/memory.h"
#include "os/thread.h"

#include <pthread.h>
#include <string.h>

// What a thread that is no member allocates from: slots that are all empty, so
// that its first allocation takes the slow path. Never scanned.
static struct lm_slot roll_no_slots[LM_KIND_MAX];

__thread struct loam_slot_ *loam_slots_
    __attribute__((tls_model("initial-exec"))) =
        (struct loam_slot_ *)roll_no_slots;

static struct {
    struct lm_member *first; // guarded by the world's lock
    size_t count;
    size_t ended_count;       // records of ended threads; atomic for readers
    struct lm_member *unused; // records for reuse; guarded likewise
    pthread_key_t key;        // whose destructor notices a thread's end
    bool has_key;
} roll;

// Records obtained from the system at a time.
#define ROLL_SLAB 16

// How often POSIX promises to call destructors that set their value again.
#define ROLL_ROUNDS ((uintptr_t)4)

void lm_roll_no_slots(uintptr_t *start, uintptr_t *end) {
    *start = (uintptr_t)roll_no_slots;
    *end = *start + sizeof roll_no_slots;
}

static struct lm_member *roll_take(void) {
    if (roll.unused == NULL) {
        size_t bytes = ROLL_SLAB * sizeof(struct lm_member);
        struct lm_member *slab = lm_memory_map((bytes + 4095) & ~(size_t)4095);
        for (size_t i = 0; slab && i < ROLL_SLAB; i++) {
            slab[i].next = roll.unused;
            roll.unused = &slab[i];
        }
    }
    struct lm_member *member = roll.unused;
    if (member) {
        roll.unused = member->next;
        memset(member, 0, sizeof *member);
    }
    return member;
}

static void roll_link(struct lm_member *member) {
    member->next = roll.first;
    member->before = NULL;
    if (member->next) {
        member->next->before = member;
    }
    roll.first = member;
    roll.count++;
}

static void roll_unlink(struct lm_member *member) {
    if (member->before) {
        member->before->next = member->next;
    } else {
        roll.first = member->next;
    }
    if (member->next) {
        member->next->before = member->before;
    }
    roll.count--;
    member->next = roll.unused;
    roll.unused = member;
}

struct lm_member *lm_roll_new(void *(*start)(void *), void *argument) {
    lm_world_lock();
    struct lm_member *member = roll_take();
    if (member) {
        member->state = LM_MEMBER_SAFE;
        member->start = start;
        member->argument = argument;
        roll_link(member);
    }
    lm_world_unlock();
    return member;
}

void lm_roll_drop(struct lm_member *member) {
    lm_world_lock();
    roll_unlink(member);
    lm_world_unlock();
}

// A record of a thread that ended without a word may have our number.
static void roll_purge(pid_t id, const struct lm_member *but) {
    struct lm_member *next;
    for (struct lm_member *m = roll.first; m; m = next) {
        next = m->next;
        if (m != but && m->is_born && m->id == id) {
            lm_roll_bury(m);
        }
    }
}

bool lm_roll_attach(struct lm_member *member) {
    uintptr_t low, high;
    bool is_new = member == NULL;
    // A handler that joins, too, must not find this thread in the middle of asking
    // for its stack: libc has a lock for that.
    sigset_t before = lm_thread_block_signals();
    bool is_main = lm_thread_stack(&low, &high);
    if (lm_self) {
        // A handler came just before, and allocated.
        LM_CHECK(1, is_new, "roll.3 a thread joins once");
        lm_thread_restore_signals(&before);
        return true;
    }
    struct lm_cache *cache = lm_cache_new();
    if (cache) {
        lm_world_lock();
        if (is_new) {
            member = roll_take();
        }
        if (member) {
            member->id = lm_thread_id();
            member->home.low = low;
            member->home.high = high;
            member->is_main = is_main;
            member->dtv = lm_machine_dtv();
            member->thread_pointer = lm_machine_thread_pointer();
            member->cache = cache;
            __atomic_store_n(&member->state, LM_MEMBER_SAFE, __ATOMIC_RELAXED);
            member->home.sp = lm_machine_sp();
            member->is_born = true;
            if (is_new) {
                roll_link(member);
            }
            roll_purge(member->id, member);
        }
        lm_world_unlock();
    }
    bool ok = cache && member;
    if (ok) {
        lm_self = member;
        loam_slots_ = (struct loam_slot_ *)cache->slots;
        // While it counts as safe, for libc may take malloc's lock here, which
        // a thread that is stopped already may hold.
        pthread_setspecific(roll.key, (void *)ROLL_ROUNDS); // NOLINT
        lm_member_resume(member);
    } else if (cache) {
        lm_cache_idle(cache);
    }
    lm_thread_restore_signals(&before);
    return ok;
}

// Whether the calling thread's result may be asked for.
static bool roll_is_joinable(void) {
    pthread_attr_t attributes;
    int state = PTHREAD_CREATE_DETACHED;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getdetachstate(&attributes, &state);
        pthread_attr_destroy(&attributes);
    }
    return state == PTHREAD_CREATE_JOINABLE;
}

// Whether the calling thread's record must keep its result. To be asked while
// the thread can be stopped: libc takes malloc's lock for the answer, which a
// thread that is stopped already may hold.
static bool roll_has_result(const struct lm_member *self) {
    return lm_space_has((uintptr_t)self->kept) && roll_is_joinable();
}

static void roll_detach(bool has_result) {
    struct lm_member *member = lm_self;
    sigset_t before = lm_thread_block_signals();
    loam_slots_ = (struct loam_slot_ *)roll_no_slots;
    lm_cache_idle(member->cache);
    lm_world_lock();
    lm_self = NULL;
    if (member->coroutine) {
        member->coroutine->owner = NULL;
    }
    if (has_result) {
        // The record stays, and keeps the result, until the thread is joined.
        member->cache = NULL;
        member->is_born = false;
        member->is_ended = true;
        member->thread = pthread_self();
        __atomic_store_n(&member->state, LM_MEMBER_SAFE, __ATOMIC_SEQ_CST);
        roll.ended_count++;
    } else {
        roll_unlink(member);
    }
    lm_world_unlock();
    lm_thread_restore_signals(&before);
    pthread_setspecific(roll.key, NULL);
}

void lm_roll_detach(void) {
    roll_detach(roll_has_result(lm_self));
}

// A thread-specific value outlives the destructors of the others, which may
// still allocate: this one asks to be called again, as often as POSIX lets it.
static void roll_end(void *rounds) {
    uintptr_t left = (uintptr_t)rounds;
    if (left > 1) {
        pthread_setspecific(roll.key, (void *)(left - 1)); // NOLINT
    } else if (lm_self) {
        bool has_result = roll_has_result(lm_self);
        // For good: no handler may make the thread a member again.
        lm_thread_block_signals();
        roll_detach(has_result);
    }
}

bool lm_roll_init(void) {
    memset(&roll, 0, sizeof roll);
    roll.has_key =
        !lm_memory_is_refused() && pthread_key_create(&roll.key, roll_end) == 0;
    return roll.has_key;
}

void lm_roll_forget(pthread_t thread) {
    if (__atomic_load_n(&roll.ended_count, __ATOMIC_RELAXED) == 0) {
        return;
    }
    lm_world_lock();
    for (struct lm_member *m = roll.first; m; m = m->next) {
        if (m->is_ended && pthread_equal(m->thread, thread)) {
            roll.ended_count--;
            roll_unlink(m);
            break;
        }
    }
    lm_world_unlock();
}

struct lm_member *lm_roll_first(void) {
    return roll.first;
}

size_t lm_roll_count(void) {
    return __atomic_load_n(&roll.count, __ATOMIC_RELAXED);
}

void lm_roll_bury(struct lm_member *member) {
    if (member->cache) {
        lm_cache_idle(member->cache);
    }
    roll_unlink(member);
}

void lm_roll_fork_child(void) {
    struct lm_member *next;
    for (struct lm_member *m = roll.first; m; m = next) {
        next = m->next;
        if (m != lm_self) {
            // What it was doing with its cache nobody knows; the cells in it
            // are found by the next collection.
            if (m->cache) {
                lm_cache_abandon(m->cache);
            }
            roll_unlink(m);
        }
    }
    if (lm_self) {
        lm_self->id = lm_thread_id();
    }
}
