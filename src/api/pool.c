// SPDX-License-Identifier: MIT
// pool.c: loam/pool.h, its pools.

#include <loam/pool.h>

#include <loam/collect.h>
#include <loam/heap.h>
#include <loam/root.h>

#include "api/pool.h"
#include "api/status.h"
#include "base/check.h"
#include "heap/space.h"
#include "os/clock.h"
#include "os/lock.h"
#include "pool/bounded.h"

LOAM_TYPE(struct lm_place, object)
LOAM_TYPE(struct loam_pool, places, idle, entries, argument)

#define POOL_PLACES_MAX 1000000

// How long a waiter sleeps at a time: signal handlers may have to wait for
// that, and so may everybody where a handler jumps out of a wait that it was
// woken from. After the first time it has lost objects looked for.
#define POOL_SLICE_NS 100000000u

// Inside, so that no handler jumps away with a place; unless this is a handler
// of a fault that interrupted the allocator, and inside already.
static inline bool pool_enter(struct lm_member *self) {
    bool is_outside = self->inside == 0;
    if (lm_likely(is_outside)) {
        lm_member_enter(self);
    }
    return is_outside;
}

static inline void pool_leave(struct lm_member *self, bool has_entered) {
    if (lm_likely(has_entered)) {
        lm_member_leave(self);
    }
}

// ---- Making a pool ---------------------------------------------------------

static uint64_t pool_now(const struct loam_pool *pool) {
    return pool->clock ? pool->clock(pool->argument) : lm_clock_ns();
}

__attribute__((noreturn)) static void make_error(const struct loam_pool *pool,
                                                 const void *object,
                                                 const char *what) {
    lm_caller_error("a pool's `make` returns a new object, and objects of a "
                    "pool are released, not freed",
                    "make another one in each call, and call loam_free for "
                    "none of them",
                    "the function `make` of the pool at %p returned %p, %s",
                    (const void *)pool, object, what);
}

// Takes a blank place and makes an object for it, to be idle or lent. False
// when no place is blank; NULL when there is no object for it.
static bool pool_make(struct lm_member *self, struct loam_pool *pool,
                      bool is_lent, void **made) {
    *made = NULL;
    bool has_entered = pool_enter(self);
    uint32_t place = lm_bounded_take_blank(pool);
    if (place != LM_BOUNDED_NONE) {
        pool->places[place].since_ns = (uintptr_t)self;
    }
    pool_leave(self, has_entered);
    if (place == LM_BOUNDED_NONE) {
        return false;
    }
    void *object = lm_pool_make(pool->type, pool->make, pool->argument);
    // Its place is found by its address, which must not change.
    if (lm_space_has((uintptr_t)object) && loam_address(object) == 0) {
        make_error(pool, object, "which is no object");
    }
    uint64_t now = pool->idle_ns && !is_lent ? pool_now(pool) : 0;
    has_entered = pool_enter(self);
    pool->places[place].since_ns = now;
    if (object == NULL) {
        lm_bounded_vacate(pool, place);
    } else if (!lm_bounded_fill(pool, place, object)) {
        make_error(pool, object, "which the pool has already");
    } else if (is_lent) {
        lm_bounded_lend(pool, place);
    } else {
        lm_bounded_give(pool, place, object);
    }
    pool_leave(self, has_entered);
    *made = object;
    return true;
}

static bool options_check(const struct loam_pool_options *options) {
    size_t max = options->max_count;
    if (max == 0 || max > POOL_PLACES_MAX) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: a pool of at most %zu objects; it must be "
                      "1 to %u",
                      max, POOL_PLACES_MAX);
        return false;
    }
    if (options->ready_count > max) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: a pool with %zu objects ready of at most "
                      "%zu",
                      options->ready_count, max);
        return false;
    }
    if (options->make == NULL && options->type == NULL) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: a pool without `make` and without `type`; "
                      "it needs one of them to make objects");
        return false;
    }
    return true;
}

// The pool and its tables, all of which stay where they are.
static struct loam_pool *pool_alloc(const struct loam_pool_options *options) {
    size_t words, entries;
    size_t count = options->max_count;
    lm_bounded_sizes(count, &words, &entries);
    struct loam_pool *pool = loam_new(struct loam_pool);
    struct lm_place *places = loam_new_array(struct lm_place, count);
    uint64_t *idle = loam_alloc_leaf_zeroed(words * 2 * sizeof *idle);
    uint32_t *table = loam_alloc_leaf_zeroed(entries * sizeof *table);
    if (pool == NULL || places == NULL || idle == NULL || table == NULL ||
        !loam_address(pool) || !loam_address(places) || !loam_address(idle) ||
        !loam_address(table)) {
        return NULL;
    }
    *pool = (struct loam_pool){
        .places = places,
        .idle = idle,
        .entries = table,
        .argument = options->argument,
        .type = options->type,
        .make = options->make,
        .reset = options->reset,
        .drop = options->drop,
        .clock = options->clock,
        .idle_ns = options->idle_ns,
        .place_count = (uint32_t)count,
        .ready_count = (uint32_t)options->ready_count,
        .word_count = (uint32_t)words,
        .entry_count = (uint32_t)entries,
    };
    return pool;
}

// Takes the object out of a place that has been idle since then or longer.
static void *pool_take_old(struct lm_member *self, struct loam_pool *pool,
                           uint64_t since_ns, uint32_t *place) {
    void *object = NULL;
    bool has_entered = pool_enter(self);
    uint32_t taken = lm_bounded_take_old(pool, since_ns, place);
    if (taken != LM_BOUNDED_NONE) {
        pool->places[taken].since_ns = (uintptr_t)self;
        object = lm_bounded_clear(pool, taken);
    }
    pool_leave(self, has_entered);
    return object;
}

// Lets go of all but `keep` of those.
static size_t pool_let_go(struct lm_member *self, struct loam_pool *pool,
                          uint64_t since_ns, size_t keep) {
    size_t count = 0;
    uint32_t place = pool->place_count;
    for (size_t idle = lm_bounded_count(pool); idle > keep; idle--) {
        void *object = pool_take_old(self, pool, since_ns, &place);
        if (object == NULL) {
            break;
        }
        __atomic_fetch_add(&pool->dropped_count, 1, __ATOMIC_RELAXED);
        if (pool->drop) {
            pool->drop(object, pool->argument);
        }
        bool has_entered = pool_enter(self);
        pool->places[place].since_ns = 0;
        lm_bounded_vacate(pool, place);
        pool_leave(self, has_entered);
        count++;
    }
    return count;
}

static bool pool_make_ready(struct lm_member *self, struct loam_pool *pool) {
    void *object = NULL;
    for (uint32_t i = 0; i < pool->ready_count; i++) {
        pool_make(self, pool, false, &object);
        if (object == NULL) {
            pool_let_go(self, pool, UINT64_MAX, 0);
            return false;
        }
    }
    return true;
}

struct loam_pool *loam_pool_new(const struct loam_pool_options *options) {
    struct lm_member *self = lm_pool_self("loam_pool_new");
    if (self == NULL || !options_check(options)) {
        return NULL;
    }
    struct loam_pool *pool = pool_alloc(options);
    if (pool == NULL) {
        return NULL;
    }
    lm_member_inside(self);
    bool ok = lm_bounded_begin(pool);
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(LOAM_NO_MEMORY,
                      "no memory: the system gave none for the table of pools");
        return NULL;
    }
    return pool_make_ready(self, pool) ? pool : NULL;
}

// ---- Lending ---------------------------------------------------------------

static inline void *pool_take(struct lm_member *self, struct loam_pool *pool) {
    void *object = NULL;
    bool has_entered = pool_enter(self);
    uint32_t place = lm_bounded_take(pool);
    if (lm_likely(place != LM_BOUNDED_NONE)) {
        object = lm_bounded_lend(pool, place);
    }
    pool_leave(self, has_entered);
    return object;
}

// Whether there is an answer: an object, or NULL for one that could not be
// made.
static bool pool_get(struct lm_member *self, struct loam_pool *pool,
                     void **object) {
    *object = pool_take(self, pool);
    return *object || pool_make(self, pool, true, object);
}

// As loam_blocking_begin and end do it. Inside, so that a handler runs when
// this thread is no longer safe, for it may allocate; it cuts the wait short.
static void pool_sleep(struct lm_member *self, const struct loam_pool *pool,
                       uint32_t turn, uint64_t ns) {
    lm_member_inside(self);
    lm_member_retreat(self);
    lm_futex_wait(&pool->turn, turn, ns);
    lm_member_resume(self);
    lm_member_outside(self);
}

// One of all that wait for this pool collects, and what has died on loan comes
// back.
static void pool_look(struct loam_pool *pool, uint64_t now) {
    uint64_t looked = __atomic_load_n(&pool->looked_ns, __ATOMIC_RELAXED);
    if (now - looked >= POOL_SLICE_NS &&
        __atomic_compare_exchange_n(&pool->looked_ns, &looked, now, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        loam_collect();
    }
}

static void pool_count_wait(struct loam_pool *pool, uint64_t ns,
                            bool has_answer) {
    __atomic_fetch_add(&pool->wait_count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&pool->timeout_count, !has_answer, __ATOMIC_RELAXED);
    uint64_t max = __atomic_load_n(&pool->wait_max_ns, __ATOMIC_RELAXED);
    while (ns > max &&
           !__atomic_compare_exchange_n(&pool->wait_max_ns, &max, ns, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

// Waits until there is an answer, at most so long. The second look of each
// round is before the thread sleeps and after it has counted itself.
// (bounded.3)
static bool pool_wait(struct lm_member *self, struct loam_pool *pool,
                      uint64_t timeout_ns, void **object) {
    uint64_t began = lm_clock_ns();
    uint64_t waited = 0;
    uint64_t look_ns = POOL_SLICE_NS;
    bool has_answer;
    __atomic_fetch_add(&pool->waiter_count, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        uint32_t turn = __atomic_load_n(&pool->turn, __ATOMIC_SEQ_CST);
        has_answer = pool_get(self, pool, object);
        if (has_answer || waited >= timeout_ns) {
            break;
        }
        uint64_t left = timeout_ns - waited;
        pool_sleep(self, pool, turn,
                   left < POOL_SLICE_NS ? left : POOL_SLICE_NS);
        waited = lm_clock_ns() - began;
        if (waited >= look_ns) {
            look_ns = waited * 2;
            pool_look(pool, began + waited);
        }
    }
    __atomic_fetch_sub(&pool->waiter_count, 1, __ATOMIC_SEQ_CST);
    pool_count_wait(pool, waited, has_answer);
    return has_answer;
}

static void *pool_busy(const struct loam_pool *pool, uint64_t timeout_ns) {
    lm_status_set(LOAM_BUSY,
                  "busy: all %u objects of the pool at %p are lent, and none "
                  "was released within %zu ns; release them sooner, or raise "
                  "max_count",
                  pool->place_count, (const void *)pool, (size_t)timeout_ns);
    return NULL;
}

__attribute__((noinline)) static void *pool_acquire_slow(struct lm_member *self,
                                                         struct loam_pool *pool,
                                                         uint64_t timeout_ns) {
    void *object = NULL;
    if (self == NULL || pool_make(self, pool, true, &object)) {
        return object;
    }
    // A handler of a fault in the allocator cannot wait.
    bool can_wait = timeout_ns && self->inside == 0;
    return can_wait && pool_wait(self, pool, timeout_ns, &object)
               ? object
               : pool_busy(pool, timeout_ns);
}

static inline void *pool_acquire(struct loam_pool *pool, uint64_t timeout_ns,
                                 const char *call) {
    struct lm_member *self = lm_pool_self(call);
    void *object = self ? pool_take(self, pool) : NULL;
    return lm_likely(object != NULL)
               ? object
               : pool_acquire_slow(self, pool, timeout_ns);
}

void *loam_pool_acquire(struct loam_pool *pool) {
    return pool_acquire(pool, UINT64_MAX, "loam_pool_acquire");
}

void *loam_pool_try(struct loam_pool *pool) {
    return pool_acquire(pool, 0, "loam_pool_try");
}

void *loam_pool_acquire_within(struct loam_pool *pool, uint64_t timeout_ns) {
    return pool_acquire(pool, timeout_ns, "loam_pool_acquire_within");
}

// ---- Giving back -----------------------------------------------------------

__attribute__((noreturn)) static void release_error(
    const struct loam_pool *pool, const void *object, bool is_ours) {
    static const char rule[] =
        "what a pool has lent is given back to that pool, once";
    if (is_ours) {
        lm_caller_error(rule, "look for the call that released it before",
                        "loam_pool_release(%p, %p), an object that is not "
                        "lent: it was released already",
                        (const void *)pool, object);
    }
    lm_caller_error(rule, "release what loam_pool_acquire returned",
                    "loam_pool_release(%p, %p), a foreign object: it is none "
                    "of this pool's",
                    (const void *)pool, object);
}

static uint64_t pool_since(const struct loam_pool *pool, uint64_t now) {
    return now > pool->idle_ns ? now - pool->idle_ns : 0;
}

// Once in idle_ns a release looks for what nobody wants any more.
static void pool_trim_at_times(struct lm_member *self, struct loam_pool *pool,
                               uint64_t now) {
    uint64_t trimmed = __atomic_load_n(&pool->trimmed_ns, __ATOMIC_RELAXED);
    if (now - trimmed > pool->idle_ns &&
        __atomic_compare_exchange_n(&pool->trimmed_ns, &trimmed, now, false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        pool_let_go(self, pool, pool_since(pool, now), pool->ready_count);
    }
}

void loam_pool_release(struct loam_pool *pool, void *object) {
    struct lm_member *self = lm_pool_self("loam_pool_release");
    if (self == NULL) {
        return; // then nothing was ever lent
    }
    uint32_t place = lm_bounded_find(pool, object);
    if (lm_unlikely(place == LM_BOUNDED_NONE)) {
        release_error(pool, object, false);
    }
    struct lm_place *p = &pool->places[place];
    if (lm_unlikely(!__atomic_load_n(&p->is_lent, __ATOMIC_RELAXED))) {
        release_error(pool, object, true);
    }
    if (pool->reset) {
        pool->reset(object, pool->argument);
    }
    uint64_t now = 0;
    if (pool->idle_ns) {
        p->since_ns = now = pool_now(pool);
    }
    bool has_entered = pool_enter(self);
    if (lm_unlikely(!lm_bounded_give(pool, place, object))) {
        release_error(pool, object, true); // by two threads at once
    }
    pool_leave(self, has_entered);
    if (pool->idle_ns) {
        pool_trim_at_times(self, pool, now);
    }
}

size_t loam_pool_trim(struct loam_pool *pool) {
    struct lm_member *self = lm_pool_self("loam_pool_trim");
    return self && pool->idle_ns
               ? pool_let_go(self, pool, pool_since(pool, pool_now(pool)),
                             pool->ready_count)
               : 0;
}

size_t loam_pool_drain(struct loam_pool *pool) {
    struct lm_member *self = lm_pool_self("loam_pool_drain");
    return self ? pool_let_go(self, pool, UINT64_MAX, 0) : 0;
}

void loam_pool_stats_get(const struct loam_pool *pool,
                         struct loam_pool_stats *stats) {
    size_t blank = lm_bounded_count_blank(pool);
    size_t idle = lm_bounded_count(pool);
    size_t max = pool->place_count;
    *stats = (struct loam_pool_stats){
        .max_count = max,
        .idle_count = idle,
        .waiting_count = __atomic_load_n(&pool->waiter_count, __ATOMIC_RELAXED),
        // Places that moved between the two looks count twice.
        .lent_count = blank + idle < max ? max - blank - idle : 0,
        .made_count = __atomic_load_n(&pool->made_count, __ATOMIC_RELAXED),
        .dropped_count =
            __atomic_load_n(&pool->dropped_count, __ATOMIC_RELAXED),
        .lost_count = __atomic_load_n(&pool->lost_count, __ATOMIC_RELAXED),
        .wait_count = __atomic_load_n(&pool->wait_count, __ATOMIC_RELAXED),
        .timeout_count =
            __atomic_load_n(&pool->timeout_count, __ATOMIC_RELAXED),
        .wait_max_ns = __atomic_load_n(&pool->wait_max_ns, __ATOMIC_RELAXED),
    };
}
