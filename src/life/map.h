// SPDX-License-Identifier: MIT
// life/map.h: weak maps, as the collector and as a program see them.
//
// An entry is two words: if what the first leads to is alive, the second is kept.
// For weak keys the first is the key, for weak values the value. Both are hidden
// from the marker, in memory without pointers.
//
// A table grows by the side: entries go over to the larger one a few at a time,
// with each that is set, and until then there are two to look into.

#ifndef LIFE_MAP_H
#define LIFE_MAP_H

#include "heap/find.h"
#include "mark/marker.h"
#include "os/lock.h"

#include <loam/weak_map.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lm_map_slot {
    uintptr_t watched; // 0: never used, 1: not any more
    uintptr_t carried;
};

struct lm_map_table {
    struct lm_map_slot *slots; // a leaf object, or NULL
    uint64_t *hashes;          // another, in a map that compares its keys
    size_t room;               // a power of two, or 0
    size_t used;               // slots that are or were
};

#define LM_MAP_FRESH 32

// The public, opaque struct loam_weak_map. Guarded by its lock.
struct loam_weak_map {
    struct lm_map_table now;
    struct lm_map_table old; // entries still to be moved
    void *argument;          // of the two functions
    loam_hash_fn *hash;
    loam_equal_fn *equal;
    struct lm_lock lock;
    uint32_t record;
    size_t moved;     // slots of the old table that have been moved
    size_t count;     // entries; atomic
    uint32_t changes; // odd while entries are being changed; atomic
    uint64_t version; // changes when an entry may have moved
    uint64_t refills; // entries that were put where another had been
    uint64_t grown;   // times that there was a new table
    bool is_by_value; // the value is what is watched
    // Slots of now set since the last collection; more than fit: any.
    uint32_t fresh_count;
    uint32_t fresh[LM_MAP_FRESH];
    // Of the settling under way; by who settles.
    uint64_t round; // in which it was looked at
};

// Where a search of a map is, between two candidates.
struct lm_map_search {
    uint64_t hash;
    uint64_t version;
    uint64_t refills;
    size_t place; // in the new table, where the entry could go
    size_t at;
    size_t left;
    bool is_old; // in the old table
};

// Where a walk of a map is; all zeroes at its beginning.
struct lm_map_place {
    uint64_t grown;
    size_t at;
    bool is_now; // in the new table
};

// lm_map_add begins to know a map, whose fields are set; false without memory.
bool lm_map_add(struct loam_weak_map *map);

// lm_map_begin_search begins a search, and lm_map_search goes on to the next entry
// of that hash; NULL when there is none. The caller holds the map's lock
// throughout, or begins anew if the version has changed, or the refills: then what
// it looks for may have been put where it was already.
struct lm_map_search lm_map_begin_search(const struct loam_weak_map *map,
                                         uint64_t hash);
struct lm_map_slot *lm_map_search(struct loam_weak_map *map,
                                  struct lm_map_search *search);

// lm_map_next returns the next slots of a walk, used or not, at most *count of them,
// and how many they are; 0 at the end. With the lock. Between two calls the map may
// change: what is there throughout is met, and more than once if a table grows.
struct lm_map_slot *lm_map_next(const struct loam_weak_map *map,
                                struct lm_map_place *place, size_t *count);

// lm_map_peek looks, without the lock, for the entry of an address in a map that
// compares those. Its watched half is 0 where there is none, LM_MAP_CHANGING where
// the map was being changed. By a member that is inside.
#define LM_MAP_CHANGING ((uintptr_t)1)
struct lm_map_slot lm_map_peek(const struct loam_weak_map *map, uintptr_t key);

// lm_map_expect says that an address is about to be looked up, for the processor to
// fetch its place meanwhile.
void lm_map_expect(const struct loam_weak_map *map, uintptr_t key);

// lm_map_wants_room returns how many slots a new table should have before another
// entry is set; 0: there is room. lm_map_grow gives it one of that room.
size_t lm_map_wants_room(const struct loam_weak_map *map);
void lm_map_grow(struct loam_weak_map *map, struct lm_map_slot *slots,
                 uint64_t *hashes, size_t room);

// lm_map_key returns an entry's key, and lm_map_identity what an address hashes to.
static inline uintptr_t lm_map_key(const struct loam_weak_map *map,
                                   const struct lm_map_slot *slot) {
    return map->is_by_value ? slot->carried : slot->watched;
}

static inline uint64_t lm_map_identity(uintptr_t key) {
    return key >> 4;
}

// lm_map_insert adds an entry, which a search that is still good has not found, and
// moves a few others.
void lm_map_insert(struct loam_weak_map *map, const struct lm_map_slot *slot,
                   const struct lm_map_search *search);

// lm_map_watch_again is due when an entry was set while a collection settles: what
// is watched may just have been noted anew.
void lm_map_watch_again(const struct lm_object *watched);

// lm_map_replace gives an entry another value, and lm_map_delete ends one.
void lm_map_replace(struct loam_weak_map *map, struct lm_map_slot *slot,
                    uintptr_t value);
void lm_map_delete(struct loam_weak_map *map, struct lm_map_slot *slot);

// For settle.c; see there. lm_map_allows_stop says whether there is so little that
// it can be looked at in a stop.
bool lm_map_allows_stop(void);
void lm_map_mark_ahead(struct loam_marker *m);
void lm_map_begin(void);
bool lm_map_mark_some(struct loam_marker *m); // whether there is more
lm_marker_fn *lm_map_on_mark(void);           // for the marker that settles
bool lm_map_sweep_some(void);
bool lm_map_allows_minor(void);
void lm_map_mark_minor(struct loam_marker *m);
void lm_map_sweep_minor(struct loam_marker *m);

void lm_map_fini(void);

#endif // LIFE_MAP_H
