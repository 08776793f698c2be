// SPDX-License-Identifier: MIT
// pool/bounded.h: a pool of at most so many objects.
//
// A pool has places, each of which is in one of these states:
//
//               fill                     take
//     BLANK <---------> (the caller's) <---------> IDLE
//       ^     vacate         |    ^       give
//       |                    |lend|give
//       |   lost             v    |
//       +------------------- LENT-+
//
// Who takes a place out of a state by its bit has it for itself. All of this is
// without locks, and all but the program's functions runs inside (see
// world/member.h), so that no handler of a signal jumps away with a place.

#ifndef POOL_BOUNDED_H
#define POOL_BOUNDED_H

#include "base/config.h"

#include <loam/pool.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_place is the place of one object.
struct lm_place {
    void *object;     // while it is idle
    uintptr_t hidden; // its address, turned round: this keeps nothing alive
    // When it was released, with idle_ns; and while a function of the program's
    // makes or drops the object, the address of the member that runs it.
    uint64_t since_ns;
    uint32_t is_lent; // atomic
    uint32_t entry;   // of the table that says where it is
};

// struct loam_pool is an object on the heap, as all that it points to. Its
// address is given away, so it stays where it is.
struct loam_pool {
    struct lm_place *places;
    uint64_t *idle; // a bit a place, then as many words of blank ones; atomic
    uint32_t *entries; // of the table: place + 1; atomic
    void *argument;
    // Up to here the fields are described.
    const struct loam_type *type;
    loam_make_fn *make;
    loam_object_fn *reset;
    loam_object_fn *drop;
    uint64_t (*clock)(void *argument);
    uint64_t idle_ns;
    uint32_t place_count;
    uint32_t ready_count;
    uint32_t word_count;
    uint32_t entry_count; // a power of two
    // All below is atomic.
    uint32_t word; // where something became idle last
    uint32_t turn; // changes when somebody may find something
    uint32_t waiter_count;
    uint64_t trimmed_ns;
    uint64_t looked_ns; // when a waiter last looked for lost objects
    uint64_t made_count;
    uint64_t dropped_count;
    uint64_t lost_count;
    uint64_t wait_count;
    uint64_t timeout_count;
    uint64_t wait_max_ns;
};

#define LM_BOUNDED_NONE UINT32_MAX

// lm_bounded_sizes says how many words and entries so many places need.
void lm_bounded_sizes(size_t place_count, size_t *word_count,
                      size_t *entry_count);

// lm_bounded_begin makes all places of a pool blank, whose memory and options
// are set, and makes it known to the hooks below. False when there is no memory
// for that.
bool lm_bounded_begin(struct loam_pool *pool);

// lm_bounded_take takes a place whose object is idle, or LM_BOUNDED_NONE.
// lm_bounded_take_blank takes one that has no object.
uint32_t lm_bounded_take_rest(struct loam_pool *pool);
uint32_t lm_bounded_take_blank(struct loam_pool *pool);

static inline uint64_t lm_bounded_bit(uint32_t place) {
    return (uint64_t)1 << (place % 64);
}

static inline bool lm_bounded_is_idle(const struct loam_pool *pool,
                                      uint32_t place) {
    return __atomic_load_n(&pool->idle[place / 64], __ATOMIC_SEQ_CST) &
           lm_bounded_bit(place);
}

static inline uint32_t lm_bounded_take(struct loam_pool *pool) {
    // Relaxed: any word will do to begin with.
    uint32_t word = __atomic_load_n(&pool->word, __ATOMIC_RELAXED);
    uint64_t bits = __atomic_load_n(&pool->idle[word], __ATOMIC_SEQ_CST);
    if (__builtin_expect(bits != 0, 1)) {
        uint32_t place = word * 64 + (uint32_t)__builtin_ctzll(bits);
        uint64_t bit = lm_bounded_bit(place);
        if (__atomic_fetch_and(&pool->idle[word], ~bit, __ATOMIC_SEQ_CST) &
            bit) {
            return place;
        }
    }
    return lm_bounded_take_rest(pool);
}

// lm_bounded_lend says that the object of a place that was taken is on loan,
// and returns it.
static inline void *lm_bounded_lend(struct loam_pool *pool, uint32_t index) {
    struct lm_place *place = &pool->places[index];
    void *object = place->object;
    // Relaxed: who looks at it from elsewhere does so in a stop.
    __atomic_store_n(&place->is_lent, 1, __ATOMIC_RELAXED);
    place->object = NULL;
    return object;
}

// lm_bounded_fill puts a new object into a blank place that was taken; false
// when the pool has this object already.
bool lm_bounded_fill(struct loam_pool *pool, uint32_t place, void *object);

// lm_bounded_clear takes it out again.
void *lm_bounded_clear(struct loam_pool *pool, uint32_t place);

// lm_bounded_vacate makes a place blank that has no object.
void lm_bounded_vacate(struct loam_pool *pool, uint32_t place);

static inline uint32_t lm_bounded_home(const struct loam_pool *pool,
                                       const void *object) {
    uint64_t hash = ((uintptr_t)object >> 4) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(hash >> 32) & (pool->entry_count - 1);
}

static inline bool lm_bounded_is_at(const struct loam_pool *pool,
                                    uint32_t place, const void *object) {
    // Relaxed: the place of an object that is lent does not change, and what
    // is read of others makes no difference.
    return __atomic_load_n(&pool->places[place].hidden, __ATOMIC_RELAXED) ==
           ~(uintptr_t)object;
}

// lm_bounded_find returns the place of an object, or LM_BOUNDED_NONE.
uint32_t lm_bounded_find_rest(const struct loam_pool *pool, const void *object);

static inline uint32_t lm_bounded_find(const struct loam_pool *pool,
                                       const void *object) {
    uint32_t entry = __atomic_load_n(
        &pool->entries[lm_bounded_home(pool, object)], __ATOMIC_SEQ_CST);
    if (__builtin_expect(entry - 1 < pool->place_count &&
                             lm_bounded_is_at(pool, entry - 1, object),
                         1)) {
        return entry - 1;
    }
    return lm_bounded_find_rest(pool, object);
}

// lm_bounded_wake wakes somebody who waits for a place to become idle or blank.
void lm_bounded_wake(struct loam_pool *pool);

// lm_bounded_give makes the object of a place idle, whether lent or just taken;
// false when it was so already.
static inline bool lm_bounded_give(struct loam_pool *pool, uint32_t index,
                                   void *object) {
    struct lm_place *place = &pool->places[index];
    uint64_t bit = lm_bounded_bit(index);
    place->object = object;
    __atomic_store_n(&place->is_lent, 0, __ATOMIC_RELAXED);
    // Sequentially consistent, as all that waiters and releasers do: who sees
    // no waiter here has been seen by that waiter. (bounded.3)
    if (__atomic_fetch_or(&pool->idle[index / 64], bit, __ATOMIC_SEQ_CST) &
        bit) {
        return false;
    }
    if (__atomic_load_n(&pool->word, __ATOMIC_RELAXED) != index / 64) {
        __atomic_store_n(&pool->word, index / 64, __ATOMIC_RELAXED);
    }
    if (__builtin_expect(
            __atomic_load_n(&pool->waiter_count, __ATOMIC_SEQ_CST) != 0, 0)) {
        lm_bounded_wake(pool);
    }
    return true;
}

// lm_bounded_count returns how many places are idle, lm_bounded_count_blank how
// many have no object.
size_t lm_bounded_count(const struct loam_pool *pool);
size_t lm_bounded_count_blank(const struct loam_pool *pool);

// lm_bounded_take_old takes a place below *end that has been idle since
// `since_ns` or longer, the last there is, and moves *end to it; else
// LM_BOUNDED_NONE.
uint32_t lm_bounded_take_old(struct loam_pool *pool, uint64_t since_ns,
                             uint32_t *end);

// lm_bounded_before is called in the first stop of a collection of everything,
// before it marks: pools let go of what was idle for too long.
void lm_bounded_before(void);

// lm_bounded_after is called in the last stop of each collection, when what is
// allocated is what is alive: dead pools are forgotten, and places whose
// objects died on loan become blank.
void lm_bounded_after(void);

// lm_bounded_is_any says whether there is a pool; a hint.
bool lm_bounded_is_any(void);

// lm_bounded_check aborts where a pool breaks one of the invariants in
// bounded.c. For stops, and for programs of one thread.
void lm_bounded_check(const struct loam_pool *pool);

void lm_bounded_fini(void);
void lm_bounded_fork_prepare(void);
void lm_bounded_fork_done(bool in_child);

#endif // POOL_BOUNDED_H
