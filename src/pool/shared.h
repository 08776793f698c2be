// SPDX-License-Identifier: MIT
// pool/shared.h: a cache of objects that threads share.
//
//   handle (heap) --> struct lm_shared --> seats, one a thread that came by
//                                            object           the thread's own
//                                            packs (heap)     for all
//                                            old_object, old_packs
//
// A seat belongs to the allocator's cache of a thread (alloc/cache.h), which a
// later thread inherits; its tenancy says whether it is still the same thread.

#ifndef POOL_SHARED_H
#define POOL_SHARED_H

#include "alloc/cache.h"
#include "base/config.h"

#include <loam/pool.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct loam_cache is the program's handle. Its address is given away, so it
// stays where it is.
struct loam_cache {
    void *argument;
    // Up to here the fields are described.
    struct lm_shared *shared;
    uint32_t id;
    const struct loam_type *type;
    loam_make_fn *make;
};

// struct lm_pack is an object on the heap, with some objects of a cache.
struct lm_pack {
    struct lm_pack *next;
    void *objects[LM_PACK_OBJECTS];
    // Up to here the fields are described.
    size_t count;
};

// struct lm_seat is a thread's part of a cache. It is a root, for as long as
// the process.
//
//   shared.1  `object` is its tenant's alone, while that lives; and a stop's.
//   shared.2  Who has set is_busy has packs, old_object and old_packs.
struct __attribute__((aligned(2 * LM_LINE_BYTES))) lm_seat {
    void *object;
    struct lm_shared *shared; // NULL: of no cache
    uint64_t tenancy;         // its tenant's; atomic
    uint64_t get_count;       // written by the tenant; atomic, as all counts
    uint64_t put_count;
    uint32_t is_busy;    // a lock that is given back by a plain store; atomic
    uint32_t pack_count; // objects in packs
    struct lm_pack *packs;
    void *old_object; // what was in `object` at the last full collection
    struct lm_pack *old_packs;
    uint32_t old_count;   // objects in these two
    struct lm_seat *next; // of its cache, or unused
    struct lm_cache *owner;
};

// lm_shared_new gives a handle what it refers to; false when there is no
// memory.
bool lm_shared_new(struct loam_cache *handle);

// lm_shared_seat returns the calling thread's seat, or NULL if it has none yet;
// lm_shared_sit gives it one, or NULL when there is no memory. All calls from
// here on are made inside (see world/member.h), so no stop comes between.
static inline struct lm_seat *lm_shared_seat(const struct loam_cache *handle,
                                             const struct lm_cache *mine) {
    if (__builtin_expect(handle->id < mine->seat_room, 1)) {
        struct lm_seat *seat = mine->seats[handle->id];
        // Both may have changed since: seats are used again.
        if (__builtin_expect(
                seat && seat->shared == handle->shared &&
                    __atomic_load_n(&seat->tenancy, __ATOMIC_RELAXED) ==
                        mine->tenancy,
                1)) {
            return seat;
        }
    }
    return NULL;
}
struct lm_seat *lm_shared_sit(const struct loam_cache *handle,
                              struct lm_cache *mine);

// lm_shared_count adds one to a count that only this thread writes.
static inline void lm_shared_count(uint64_t *count) {
    // Relaxed: readers want a recent figure.
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
}

// lm_shared_find returns an object of the cache that is not the tenant's own
// one, or NULL.
void *lm_shared_find(const struct loam_cache *handle, struct lm_seat *seat);

// lm_shared_push adds an object to a seat's packs, to which it adds the given
// pack, if any, if that is needed. False when there is no room: a pack is.
bool lm_shared_push(struct lm_seat *seat, void *object, struct lm_pack *pack);

// lm_shared_made counts an object that the cache did not have.
void lm_shared_made(const struct loam_cache *handle);

void lm_shared_stats(const struct loam_cache *handle,
                     struct loam_cache_stats *stats);

// lm_shared_before is called in the first stop of a collection of everything,
// before it marks: what was old is let go, and what is there becomes old.
void lm_shared_before(void);

// lm_shared_after is called in the last stop of each collection, when what is
// allocated is what is alive: what belongs to dead handles is used again.
void lm_shared_after(void);

// lm_shared_is_any says whether there is, or was, a cache; a hint.
bool lm_shared_is_any(void);

void lm_shared_fini(void);
void lm_shared_fork_prepare(void);
void lm_shared_fork_done(bool in_child);

#endif // POOL_SHARED_H
