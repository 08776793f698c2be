// SPDX-License-Identifier: MIT
// bounded.c: places, and who has them.
//
// Two bits a place say whether it is idle or blank. Taking one clears its bit,
// and who has cleared it owns the place; giving it back sets the bit, and who
// finds it set has given it twice. So one step each is all that lending and
// giving back take, and no step can be in the middle of another.
//
// A table from addresses to places finds the place of what is given back. An
// entry that is no longer used keeps a mark, so that a search goes on past it,
// and is used again by the next object that comes by: objects that are in the
// table are found soon, and only strangers are looked for everywhere.
//
//   bounded.1  A place is idle, or blank, or one thread's, or lent, and only a
//              lent one has is_lent set.
//   bounded.2  What is idle is in the place's `object`; what is lent is not.
//   bounded.3  A waiter counts itself and then looks at the places; who gives
//              looks for waiters afterwards. So one of them sees the other.
//   bounded.4  The address of what is idle or lent is in the table, once.

#include "pool/bounded.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "os/clock.h"
#include "os/lock.h"
#include "world/member.h"
#include "world/table.h"

#include <string.h>

// An entry of the table that held a place.
#define BOUNDED_LEFT UINT32_MAX

static struct {
    struct lm_lock lock;   // guards the table, but in stops
    struct lm_table pools; // by address, to their kind
} bounded;

void lm_bounded_sizes(size_t place_count, size_t *word_count,
                      size_t *entry_count) {
    *word_count = (place_count + 63) / 64;
    *entry_count = 8;
    while (*entry_count < place_count * 2) {
        *entry_count *= 2;
    }
}

static uint64_t *bounded_blank(const struct loam_pool *pool) {
    return pool->idle + pool->word_count;
}

bool lm_bounded_begin(struct loam_pool *pool) {
    struct lm_object o;
    if (!lm_find((uintptr_t)pool, &o)) {
        return false;
    }
    for (uint32_t i = 0; i < pool->place_count; i++) {
        bounded_blank(pool)[i / 64] |= lm_bounded_bit(i);
    }
    lm_lock_acquire(&bounded.lock);
    bool ok = lm_table_set(&bounded.pools, (uintptr_t)pool, o.kind);
    lm_lock_release(&bounded.lock);
    return ok;
}

// ---- Taking ----------------------------------------------------------------

// The first bit of a word that this thread manages to clear.
static uint32_t word_take(uint64_t *word) {
    uint64_t bits;
    while ((bits = __atomic_load_n(word, __ATOMIC_SEQ_CST)) != 0) {
        uint32_t first = lm_bits_first(bits);
        uint64_t bit = (uint64_t)1 << first;
        if (__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST) & bit) {
            return first;
        }
    }
    return LM_BOUNDED_NONE;
}

uint32_t lm_bounded_take_rest(struct loam_pool *pool) {
    for (uint32_t i = 0; i < pool->word_count; i++) {
        uint32_t first = word_take(&pool->idle[i]);
        if (first != LM_BOUNDED_NONE) {
            __atomic_store_n(&pool->word, i, __ATOMIC_RELAXED);
            return i * 64 + first;
        }
    }
    return LM_BOUNDED_NONE;
}

uint32_t lm_bounded_take_blank(struct loam_pool *pool) {
    for (uint32_t i = 0; i < pool->word_count; i++) {
        uint32_t first = word_take(&bounded_blank(pool)[i]);
        if (first != LM_BOUNDED_NONE) {
            return i * 64 + first;
        }
    }
    return LM_BOUNDED_NONE;
}

uint32_t lm_bounded_take_old(struct loam_pool *pool, uint64_t since_ns,
                             uint32_t *end) {
    while (*end > 0) {
        uint32_t i = --*end;
        uint64_t bit = lm_bounded_bit(i);
        if (!lm_bounded_is_idle(pool, i) ||
            (__atomic_fetch_and(&pool->idle[i / 64], ~bit, __ATOMIC_SEQ_CST) &
             bit) == 0) {
            continue;
        }
        if (pool->places[i].since_ns <= since_ns) {
            return i;
        }
        lm_bounded_give(pool, i, pool->places[i].object);
    }
    return LM_BOUNDED_NONE;
}

void lm_bounded_vacate(struct loam_pool *pool, uint32_t place) {
    __atomic_fetch_or(&bounded_blank(pool)[place / 64], lm_bounded_bit(place),
                      __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->waiter_count, __ATOMIC_SEQ_CST)) {
        lm_bounded_wake(pool);
    }
}

void lm_bounded_wake(struct loam_pool *pool) {
    __atomic_fetch_add(&pool->turn, 1, __ATOMIC_SEQ_CST);
    lm_futex_wake(&pool->turn, 1);
}

// ---- The table -------------------------------------------------------------

uint32_t lm_bounded_find_rest(const struct loam_pool *pool,
                              const void *object) {
    uint32_t home = lm_bounded_home(pool, object);
    for (uint32_t i = 0; i < pool->entry_count; i++) {
        uint32_t at = (home + i) & (pool->entry_count - 1);
        uint32_t entry = __atomic_load_n(&pool->entries[at], __ATOMIC_SEQ_CST);
        if (entry == 0) {
            break;
        }
        if (entry != BOUNDED_LEFT &&
            lm_bounded_is_at(pool, entry - 1, object)) {
            return entry - 1;
        }
    }
    return LM_BOUNDED_NONE;
}

bool lm_bounded_fill(struct loam_pool *pool, uint32_t place, void *object) {
    if (lm_bounded_find(pool, object) != LM_BOUNDED_NONE) {
        return false;
    }
    struct lm_place *p = &pool->places[place];
    p->object = object;
    __atomic_store_n(&p->hidden, ~(uintptr_t)object, __ATOMIC_RELAXED);
    // There are twice as many entries as places.
    for (uint32_t at = lm_bounded_home(pool, object);; at++) {
        p->entry = at & (pool->entry_count - 1);
        uint32_t *entry = &pool->entries[p->entry];
        uint32_t was = __atomic_load_n(entry, __ATOMIC_SEQ_CST);
        if ((was == 0 || was == BOUNDED_LEFT) &&
            __atomic_compare_exchange_n(entry, &was, place + 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            break;
        }
    }
    __atomic_fetch_add(&pool->made_count, 1, __ATOMIC_RELAXED);
    return true;
}

void *lm_bounded_clear(struct loam_pool *pool, uint32_t place) {
    struct lm_place *p = &pool->places[place];
    void *object = p->object;
    __atomic_store_n(&pool->entries[p->entry], BOUNDED_LEFT, __ATOMIC_SEQ_CST);
    p->object = NULL;
    __atomic_store_n(&p->hidden, 0, __ATOMIC_RELAXED);
    return object;
}

// ---- Counting --------------------------------------------------------------

static size_t words_count(const uint64_t *words, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (size_t)__builtin_popcountll(
            __atomic_load_n(&words[i], __ATOMIC_SEQ_CST));
    }
    return sum;
}

size_t lm_bounded_count(const struct loam_pool *pool) {
    return words_count(pool->idle, pool->word_count);
}

size_t lm_bounded_count_blank(const struct loam_pool *pool) {
    return words_count(bounded_blank(pool), pool->word_count);
}

// ---- In stops --------------------------------------------------------------
//
// No thread is in the middle of the above, but some may be in a function of the
// program's: what they have taken is neither idle nor blank nor lent, and is
// left alone.

// Calls fn for each pool that is there, and forgets the others.
static void bounded_each(void (*fn)(struct loam_pool *pool)) {
    for (size_t i = 0; i < bounded.pools.room; i++) {
        const struct lm_table_entry *e = &bounded.pools.entries[i];
        struct lm_object o;
        if (e->value == 0) {
            continue;
        }
        // It may have been freed by hand, and its memory be something else's.
        if (lm_find(e->key, &o) && o.start == e->key && o.kind == e->value) {
            fn((struct loam_pool *)e->key); // NOLINT
        } else {
            lm_table_remove(&bounded.pools, e->key);
        }
    }
}

static void pool_expire(struct loam_pool *pool) {
    if (pool->idle_ns == 0 || pool->drop || pool->clock) {
        return; // the program's functions do not run in a stop
    }
    uint64_t now = lm_clock_ns();
    uint64_t since = now > pool->idle_ns ? now - pool->idle_ns : 0;
    uint32_t end = pool->place_count;
    size_t idle = lm_bounded_count(pool);
    for (; idle > pool->ready_count; idle--) {
        uint32_t place = lm_bounded_take_old(pool, since, &end);
        if (place == LM_BOUNDED_NONE) {
            break;
        }
        lm_bounded_clear(pool, place);
        pool->dropped_count++;
        lm_bounded_vacate(pool, place);
    }
}

LM_NO_SANITIZE bool lm_bounded_is_any(void) {
    return bounded.pools.count > 0;
}

void lm_bounded_before(void) {
    bounded_each(pool_expire);
}

static void place_check(const struct loam_pool *pool, uint32_t index) {
    const struct lm_place *p = &pool->places[index];
    bool is_idle = lm_bounded_is_idle(pool, index);
    bool is_blank = bounded_blank(pool)[index / 64] & lm_bounded_bit(index);
    bool is_found = p->hidden && lm_bounded_find(pool, (void *)~p->hidden) ==
                                     index; // NOLINT
    LM_CHECK(3, is_idle + is_blank + (p->is_lent != 0) <= 1,
             "bounded.1 a place is in one state");
    LM_CHECK(3, (p->object != NULL) == is_idle,
             "bounded.2 what is idle is in its place, and nothing else");
    LM_CHECK(3, is_found == (is_idle || p->is_lent),
             "bounded.4 what is idle or lent is in the table");
}

void lm_bounded_check(const struct loam_pool *pool) {
    for (uint32_t i = 0; i < pool->place_count; i++) {
        place_check(pool, i);
    }
}

static bool place_is_lost(const struct lm_place *place) {
    struct lm_object o;
    uintptr_t address = ~place->hidden;
    return place->is_lent && lm_space_has(address) && !lm_find(address, &o);
}

// Calls fn for each place that is neither idle nor blank.
static void pool_each_busy(struct loam_pool *pool,
                           void (*fn)(struct loam_pool *pool, uint32_t place)) {
    for (uint32_t w = 0; w < pool->word_count; w++) {
        uint64_t busy = ~(pool->idle[w] | bounded_blank(pool)[w]);
        for (; busy; busy &= busy - 1) {
            uint32_t place = w * 64 + lm_bits_first(busy);
            if (place < pool->place_count) {
                fn(pool, place);
            }
        }
    }
}

static void place_seek(struct loam_pool *pool, uint32_t place) {
    if (place_is_lost(&pool->places[place])) {
        lm_bounded_clear(pool, place);
        pool->places[place].is_lent = 0;
        pool->lost_count++;
        lm_bounded_vacate(pool, place);
    }
}

static void pool_seek(struct loam_pool *pool) {
    if (lm_settings.check >= 3) {
        lm_bounded_check(pool);
    }
    pool_each_busy(pool, place_seek);
}

void lm_bounded_after(void) {
    bounded_each(pool_seek);
}

// ---- The end, and fork -----------------------------------------------------

void lm_bounded_fini(void) {
    lm_table_fini(&bounded.pools);
}

void lm_bounded_fork_prepare(void) {
    lm_lock_acquire(&bounded.lock);
}

// What a thread had just taken that is not in the child: an object that was
// idle, or about to be, is so; of another nothing is left.
static void place_restore(struct loam_pool *pool, uint32_t index) {
    struct lm_place *p = &pool->places[index];
    if (p->is_lent) {
        p->object = NULL;
    } else if (lm_self && p->since_ns == (uintptr_t)lm_self) {
        return; // this thread forked in the middle of making it, or dropping it
    } else if (p->object && lm_bounded_find(pool, p->object) == index) {
        lm_bounded_give(pool, index, p->object);
    } else {
        p->object = NULL;
        p->hidden = 0;
        lm_bounded_vacate(pool, index);
    }
}

static void pool_restore(struct loam_pool *pool) {
    pool->waiter_count = 0;
    pool_each_busy(pool, place_restore);
}

void lm_bounded_fork_done(bool in_child) {
    if (in_child) {
        bounded_each(pool_restore);
        lm_lock_reset(&bounded.lock);
    } else {
        lm_lock_release(&bounded.lock);
    }
}
