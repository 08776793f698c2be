// SPDX-License-Identifier: MIT
// weak_map.c: loam/weak_map.h.
//
// The program's functions that compare keys are called without the map's lock:
// the search goes on from where it was, or begins anew if the map has changed.

#include <loam/weak_map.h>

#include <loam/heap.h>
#include <loam/root.h>
#include <loam/type.h>

#include "api/life.h"
#include "api/runtime.h"
#include "api/status.h"
#include "life/map.h"
#include "life/record.h"
#include "life/settle.h"

#include <stdbool.h>

static const struct loam_type *map_type(void) {
    static const struct loam_field fields[] = {
        {offsetof(struct loam_weak_map, now.slots), sizeof(void *),
         LOAM_FIELD_POINTERS, NULL, NULL},
        {offsetof(struct loam_weak_map, now.hashes), sizeof(void *),
         LOAM_FIELD_POINTERS, NULL, NULL},
        {offsetof(struct loam_weak_map, old.slots), sizeof(void *),
         LOAM_FIELD_POINTERS, NULL, NULL},
        {offsetof(struct loam_weak_map, old.hashes), sizeof(void *),
         LOAM_FIELD_POINTERS, NULL, NULL},
        {offsetof(struct loam_weak_map, argument), sizeof(void *),
         LOAM_FIELD_POINTERS, NULL, NULL}};
    static const struct loam_type_spec spec = {
        .name = "struct loam_weak_map",
        .size_bytes = sizeof(struct loam_weak_map),
        .scan = LOAM_SCAN_FIELDS,
        .fields = fields,
        .field_count = sizeof fields / sizeof fields[0]};
    return loam_type_define(&spec);
}

static const struct loam_type *slot_type(void) {
    static const struct loam_type_spec spec = {.name = "(slots of a weak map)",
                                               .size_bytes =
                                                   sizeof(struct lm_map_slot),
                                               .scan = LOAM_SCAN_LEAF};
    return loam_type_define(&spec);
}

// ---- New -------------------------------------------------------------------------------

static struct loam_weak_map *map_new(bool is_by_value, loam_hash_fn *hash,
                                     loam_equal_fn *equal, void *argument) {
    struct lm_member *self = lm_runtime_self();
    const struct loam_type *type = self ? map_type() : NULL;
    struct loam_weak_map *map = type ? loam_new_of(type, 0) : NULL;
    if (map == NULL) {
        return NULL;
    }
    map->is_by_value = is_by_value;
    map->hash = hash;
    map->equal = equal;
    map->argument = argument;
    lm_member_inside(self);
    lm_find_fix((uintptr_t)map);
    bool ok = lm_map_add(map);
    lm_member_outside(self);
    return ok ? map : lm_life_fail("a weak map");
}

static struct loam_weak_map *map_new_comparing(loam_hash_fn *hash,
                                               loam_equal_fn *equal,
                                               void *argument,
                                               const char *call) {
    if (hash == NULL || equal == NULL) {
        lm_status_set(
            LOAM_BAD_ARGUMENT,
            "bad argument: %s with %s function; it must have both, to "
            "hash and to compare",
            call, hash || equal ? "only one" : "no");
        return NULL;
    }
    return map_new(true, hash, equal, argument);
}

struct loam_weak_map *loam_weak_map_new(void) {
    return map_new(false, NULL, NULL, NULL);
}

struct loam_weak_map *loam_weak_values_new(loam_hash_fn *hash,
                                           loam_equal_fn *equal,
                                           void *argument) {
    if (hash == NULL && equal == NULL) {
        return map_new(true, NULL, NULL, NULL);
    }
    return map_new_comparing(hash, equal, argument, "loam_weak_values_new");
}

struct loam_weak_map *loam_intern_new(loam_hash_fn *hash, loam_equal_fn *equal,
                                      void *argument) {
    return map_new_comparing(hash, equal, argument, "loam_intern_new");
}

// ---- Searching ---------------------------------------------------------------------------

static uint64_t key_hash(const struct loam_weak_map *map, const void *key) {
    return map->hash ? map->hash(key, map->argument)
                     : lm_map_identity((uintptr_t)key);
}

static uintptr_t slot_value(const struct loam_weak_map *map,
                            const struct lm_map_slot *slot) {
    return map->is_by_value ? slot->watched : slot->carried;
}

static void map_lock(struct lm_member *self, struct loam_weak_map *map) {
    lm_member_inside(self);
    lm_lock_acquire(&map->lock);
}

static void map_unlock(struct lm_member *self, struct loam_weak_map *map) {
    lm_lock_release(&map->lock);
    lm_member_outside(self);
}

// What may be done with an entry that was found. While a collection is being
// settled, one whose watched half is not marked may be dead, and a carried half
// that is not marked yet must not be given out: see life/settle.h.
enum found { FOUND_LIVE, FOUND_DEAD, FOUND_WAIT };

static bool word_is_marked(uintptr_t word) {
    struct lm_object object;
    return !lm_space_has(word) || lm_find(word, &object);
}

static enum found slot_state(const struct lm_map_slot *slot) {
    if (!lm_settle_is_under_way()) {
        return FOUND_LIVE;
    }
    if (!word_is_marked(slot->watched)) {
        return lm_settle_is_open() ? FOUND_WAIT : FOUND_DEAD;
    }
    return word_is_marked(slot->carried) ? FOUND_LIVE : FOUND_WAIT;
}

// A copy of the next entry that may be the key's; false at the end.
static bool search_next(struct loam_weak_map *map, const void *key,
                        struct lm_map_search *search, struct lm_map_slot **slot,
                        enum found *found) {
    while ((*slot = lm_map_search(map, search)) != NULL) {
        if (map->hash == NULL && lm_map_key(map, *slot) != (uintptr_t)key) {
            continue;
        }
        *found = slot_state(*slot);
        if (*found != FOUND_DEAD) {
            return true;
        }
    }
    return false;
}

// Compares outside; true when it is the key's and still there, with the lock.
static bool slot_is_key(struct lm_member *self, struct loam_weak_map *map,
                        const void *key, const struct lm_map_search *search,
                        struct lm_map_slot **slot, bool *is_stale) {
    if (map->hash == NULL) {
        return true;
    }
    // On the stack both halves stay alive.
    volatile struct lm_map_slot copy = **slot;
    uintptr_t other = map->is_by_value ? copy.carried : copy.watched;
    map_unlock(self, map);
    bool is_equal = map->equal((const void *)other, key, // NOLINT
                               map->argument) != 0;
    map_lock(self, map);
    *is_stale = map->version != search->version ||
                (*slot)->watched != copy.watched ||
                (*slot)->carried != copy.carried;
    return is_equal && !*is_stale;
}

// The entry of a key, or NULL; with the lock in any case.
static struct lm_map_slot *map_find(struct lm_member *self,
                                    struct loam_weak_map *map, const void *key,
                                    uint64_t hash) {
    map_lock(self, map);
    struct lm_map_search search = lm_map_begin_search(map, hash);
    struct lm_map_slot *slot;
    enum found found;
    while (search_next(map, key, &search, &slot, &found)) {
        bool is_stale = false;
        if (found == FOUND_LIVE &&
            slot_is_key(self, map, key, &search, &slot, &is_stale)) {
            return slot;
        }
        if (found == FOUND_WAIT) {
            map_unlock(self, map);
            lm_settle_wait();
            map_lock(self, map);
            is_stale = true;
        }
        if (is_stale) {
            search = lm_map_begin_search(map, hash);
        }
    }
    return NULL;
}

void *loam_weak_map_get(struct loam_weak_map *map, const void *key) {
    struct lm_member *self = lm_runtime_self();
    uint64_t hash = key_hash(map, key);
    struct lm_map_slot *slot = map_find(self, map, key, hash);
    uintptr_t value = slot ? slot_value(map, slot) : 0;
    map_unlock(self, map);
    return (void *)value; // NOLINT
}

int loam_weak_map_has(struct loam_weak_map *map, const void *key) {
    struct lm_member *self = lm_runtime_self();
    uint64_t hash = key_hash(map, key);
    bool has = map_find(self, map, key, hash) != NULL;
    map_unlock(self, map);
    return has;
}

int loam_weak_map_remove(struct loam_weak_map *map, const void *key) {
    struct lm_member *self = lm_runtime_self();
    uint64_t hash = key_hash(map, key);
    struct lm_map_slot *slot = map_find(self, map, key, hash);
    if (slot) {
        lm_map_delete(map, slot);
    }
    map_unlock(self, map);
    return slot != NULL;
}

size_t loam_weak_map_count(const struct loam_weak_map *map) {
    return __atomic_load_n(&map->count, __ATOMIC_RELAXED);
}

// ---- Setting -----------------------------------------------------------------------------

// Room for one more entry; false without memory. The lock is given up in between
// where it has to be made, and *is_stale says so.
static bool map_make_room(struct lm_member *self, struct loam_weak_map *map,
                          bool *is_stale) {
    size_t room;
    *is_stale = false;
    while ((room = lm_map_wants_room(map)) != 0) {
        *is_stale = true;
        map_unlock(self, map);
        struct lm_map_slot *slots = loam_new_array_of(slot_type(), room);
        uint64_t *hashes =
            map->hash ? loam_alloc_leaf(room * sizeof *hashes) : NULL;
        map_lock(self, map);
        if (slots == NULL || (map->hash && hashes == NULL)) {
            return false;
        }
        if (lm_map_wants_room(map) == room) {
            lm_map_grow(map, slots, hashes, room);
        }
    }
    return true;
}

static bool map_may_set(struct lm_member *self, bool is_by_value,
                        const void *key, const void *value) {
    const void *watched = is_by_value ? value : key;
    if (self && loam_base_of(watched) == NULL) {
        lm_status_set(
            LOAM_BAD_ARGUMENT,
            "bad argument: a %s %p of a map of weak %s; it must be an "
            "object",
            is_by_value ? "value" : "key", watched,
            is_by_value ? "values" : "keys");
        return false;
    }
    return self != NULL;
}

// Notes that the watched half must not be freed by hand; false without memory.
static bool map_watch(const struct loam_weak_map *map, const void *key,
                      const void *value) {
    struct lm_object object;
    lm_find((uintptr_t)(map->is_by_value ? value : key), &object);
    return lm_record_watch(&object) || lm_life_fail("an entry of a weak map");
}

// With the lock; the key has no entry.
static void map_add(struct loam_weak_map *map, uint64_t hash, const void *key,
                    const void *value) {
    struct lm_map_slot slot = {(uintptr_t)key, (uintptr_t)value};
    if (map->is_by_value) {
        slot = (struct lm_map_slot){(uintptr_t)value, (uintptr_t)key};
    }
    lm_find_fix((uintptr_t)key);
    lm_find_fix((uintptr_t)value);
    lm_map_insert(map, &slot, hash);
}

static void map_replace(struct loam_weak_map *map, struct lm_map_slot *slot,
                        const void *value) {
    lm_find_fix((uintptr_t)value);
    if (map->is_by_value) {
        slot->watched = (uintptr_t)value;
    } else {
        slot->carried = (uintptr_t)value;
    }
    lm_map_change(map, slot);
}

// False without memory. Where there is an entry its value is replaced, or, where
// that is not wanted, *value is made what it was.
static bool map_put(struct lm_member *self, struct loam_weak_map *map,
                    const void *key, const void **value, bool is_replacing) {
    uint64_t hash = key_hash(map, key);
    for (;;) {
        bool ok = true;
        bool is_stale = false;
        struct lm_map_slot *slot = map_find(self, map, key, hash);
        if ((slot == NULL || is_replacing) && !map_watch(map, key, *value)) {
            map_unlock(self, map);
            return false;
        }
        if (slot && is_replacing) {
            map_replace(map, slot, *value);
        } else if (slot) {
            *value = (const void *)slot_value(map, slot); // NOLINT
        } else {
            ok = map_make_room(self, map, &is_stale);
        }
        if (slot == NULL && ok && !is_stale) {
            map_add(map, hash, key, *value);
        }
        map_unlock(self, map);
        if (!ok || !is_stale) {
            loam_keep_alive(key);
            return ok;
        }
    }
}

int loam_weak_map_set(struct loam_weak_map *map, const void *key, void *value) {
    struct lm_member *self = lm_runtime_self();
    const void *put = value;
    return map_may_set(self, map->is_by_value, key, value) &&
                   map_put(self, map, key, &put, true)
               ? 0
               : -1;
}

void *loam_intern(struct loam_weak_map *map, void *object) {
    struct lm_member *self = lm_runtime_self();
    const void *member = object;
    return map_may_set(self, true, object, object) &&
                   map_put(self, map, object, &member, false)
               ? (void *)member // NOLINT
               : NULL;
}

// ---- Each --------------------------------------------------------------------------------

#define EACH_BATCH 64

struct each {
    uintptr_t key;
    uintptr_t value;
};

// Entries from slot *at on, as many as fit. False when one has to be waited for.
static bool each_gather(struct loam_weak_map *map, size_t *at,
                        struct each *batch, size_t *count) {
    size_t end = map->now.room + map->old.room;
    for (*count = 0; *at < end && *count < EACH_BATCH; ++*at) {
        const struct lm_map_slot *slot =
            *at < map->now.room ? &map->now.slots[*at]
                                : &map->old.slots[*at - map->now.room];
        enum found found = slot->watched > 1 ? slot_state(slot) : FOUND_DEAD;
        if (found == FOUND_WAIT) {
            return false;
        }
        if (found == FOUND_LIVE) {
            batch[(*count)++] =
                (struct each){lm_map_key(map, slot), slot_value(map, slot)};
        }
    }
    return true;
}

void loam_weak_map_each(struct loam_weak_map *map,
                        void (*fn)(void *key, void *value, void *argument),
                        void *argument) {
    struct lm_member *self = lm_runtime_self();
    struct each batch[EACH_BATCH];
    size_t at = 0;
    size_t count;
    do {
        map_lock(self, map);
        bool ok = each_gather(map, &at, batch, &count);
        map_unlock(self, map);
        for (size_t i = 0; i < count; i++) {
            fn((void *)batch[i].key, (void *)batch[i].value, // NOLINT
               argument);
        }
        if (!ok) {
            lm_settle_wait();
            count = 1; // go on
        }
    } while (count > 0);
}
