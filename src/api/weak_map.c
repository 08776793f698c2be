// SPDX-License-Identifier: MIT
// weak_map.c: loam/weak_map.h.
//
// The program's functions that compare keys are called without the map's lock:
// the search goes on from where it was, or begins anew if the map has changed.
// Where addresses are compared, looking takes no lock.

#include <loam/weak_map.h>

#include <loam/heap.h>
#include <loam/root.h>
#include <loam/type.h>

#include "api/life.h"
#include "api/runtime.h"
#include "api/status.h"
#include "base/check.h"
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
    *is_stale = map->version != search->version;
    if (is_equal && !*is_stale) {
        *is_stale = (*slot)->watched != copy.watched ||
                    (*slot)->carried != copy.carried;
    } else if (!*is_stale) {
        *is_stale = map->refills != search->refills;
    }
    return is_equal && !*is_stale;
}

// The entry of a key, or NULL; with the lock in any case.
static struct lm_map_slot *map_find(struct lm_member *self,
                                    struct loam_weak_map *map, const void *key,
                                    uint64_t hash,
                                    struct lm_map_search *search) {
    map_lock(self, map);
    *search = lm_map_begin_search(map, hash);
    struct lm_map_slot *slot;
    enum found found;
    while (search_next(map, key, search, &slot, &found)) {
        bool is_stale = false;
        if (found == FOUND_LIVE &&
            slot_is_key(self, map, key, search, &slot, &is_stale)) {
            return slot;
        }
        if (found == FOUND_WAIT) {
            map_unlock(self, map);
            lm_settle_wait(self);
            lm_lock_acquire(&map->lock);
            is_stale = true;
        }
        if (is_stale) {
            *search = lm_map_begin_search(map, hash);
        }
    }
    return NULL;
}

// Most looks need no lock: the entry, or one whose watched half is 0 or, where
// there is more to do, LM_MAP_CHANGING.
static inline struct lm_map_slot map_peek(struct lm_member *self,
                                          const struct loam_weak_map *map,
                                          const void *key) {
    struct lm_map_slot slot = {LM_MAP_CHANGING, 0};
    if (map->hash) {
        return slot;
    }
    lm_member_inside(self);
    // No settling begins while this thread is inside.
    slot = lm_map_peek(map, (uintptr_t)key);
    if (lm_unlikely(lm_settle_is_under_way()) &&
        slot.watched > LM_MAP_CHANGING && slot_state(&slot) != FOUND_LIVE) {
        slot.watched = LM_MAP_CHANGING;
    }
    lm_member_outside(self);
    return slot;
}

static __attribute__((noinline)) struct lm_map_slot map_look(
    struct lm_member *self, struct loam_weak_map *map, const void *key) {
    struct lm_map_search search;
    const struct lm_map_slot *slot =
        map_find(self, map, key, key_hash(map, key), &search);
    struct lm_map_slot found = slot ? *slot : (struct lm_map_slot){0, 0};
    map_unlock(self, map);
    return found;
}

void *loam_weak_map_get(struct loam_weak_map *map, const void *key) {
    struct lm_member *self = lm_runtime_self();
    struct lm_map_slot slot = map_peek(self, map, key);
    if (lm_unlikely(slot.watched == LM_MAP_CHANGING)) {
        slot = map_look(self, map, key);
    }
    return (void *)slot_value(map, &slot); // NOLINT
}

int loam_weak_map_has(struct loam_weak_map *map, const void *key) {
    struct lm_member *self = lm_runtime_self();
    struct lm_map_slot slot = map_peek(self, map, key);
    if (lm_unlikely(slot.watched == LM_MAP_CHANGING)) {
        slot = map_look(self, map, key);
    }
    return slot.watched != 0;
}

int loam_weak_map_remove(struct loam_weak_map *map, const void *key) {
    struct lm_member *self = lm_runtime_self();
    struct lm_map_search search;
    struct lm_map_slot *slot =
        map_find(self, map, key, key_hash(map, key), &search);
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

// Finds what is to be watched; false with a status where it is no object.
static bool map_may_set(struct lm_member *self, bool is_by_value,
                        const void *key, const void *value,
                        struct lm_object *watched) {
    const void *p = is_by_value ? value : key;
    if (self && !lm_life_find(self, p, watched)) {
        lm_status_set(
            LOAM_BAD_ARGUMENT,
            "bad argument: a %s %p of a map of weak %s; it must be an "
            "object",
            is_by_value ? "value" : "key", p, is_by_value ? "values" : "keys");
        return false;
    }
    return self != NULL;
}

// Makes sure that the watched half is not freed by hand, nor moved, and that the
// other is not moved; false without memory.
static bool map_watch(const struct lm_object *watched, const void *carried) {
    lm_find_fix_found(watched);
    lm_find_fix((uintptr_t)carried);
    return lm_record_watch(watched) || lm_life_fail("an entry of a weak map");
}

// With the lock; the search has not found the key.
static void map_add(struct loam_weak_map *map, const void *key,
                    const void *value, const struct lm_map_search *search) {
    struct lm_map_slot slot = {(uintptr_t)key, (uintptr_t)value};
    if (map->is_by_value) {
        slot = (struct lm_map_slot){(uintptr_t)value, (uintptr_t)key};
    }
    lm_map_insert(map, &slot, search);
}

// False without memory. Where there is an entry its value is replaced, or, where
// that is not wanted, *value is made what it was.
static bool map_put(struct lm_member *self, struct loam_weak_map *map,
                    const void *key, const void **value,
                    const struct lm_object *watched, bool is_replacing) {
    uint64_t hash = key_hash(map, key);
    struct lm_map_search search;
    for (;;) {
        bool ok = true;
        bool is_stale = false;
        struct lm_map_slot *slot = map_find(self, map, key, hash, &search);
        if ((slot == NULL || is_replacing) &&
            !map_watch(watched, map->is_by_value ? key : *value)) {
            map_unlock(self, map);
            return false;
        }
        if (slot && is_replacing) {
            lm_map_replace(map, slot, (uintptr_t)*value);
        } else if (slot) {
            *value = (const void *)slot_value(map, slot); // NOLINT
        } else {
            ok = map_make_room(self, map, &is_stale);
        }
        if (slot == NULL && ok && !is_stale) {
            map_add(map, key, *value, &search);
        }
        if ((slot == NULL || is_replacing) && ok && !is_stale &&
            lm_settle_is_under_way()) {
            lm_map_watch_again(watched);
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
    struct lm_object watched;
    const void *put = value;
    lm_map_expect(map, (uintptr_t)key);
    return map_may_set(self, map->is_by_value, key, value, &watched) &&
                   map_put(self, map, key, &put, &watched, true)
               ? 0
               : -1;
}

void *loam_intern(struct loam_weak_map *map, void *object) {
    struct lm_member *self = lm_runtime_self();
    struct lm_object watched;
    const void *member = object;
    return map_may_set(self, true, object, object, &watched) &&
                   map_put(self, map, object, &member, &watched, false)
               ? (void *)member // NOLINT
               : NULL;
}

// ---- Each --------------------------------------------------------------------------------

#define EACH_BATCH 64

struct each {
    uintptr_t key;
    uintptr_t value;
};

// Entries of the next slots; false when one has to be waited for.
static bool each_gather(struct loam_weak_map *map, struct lm_map_place *place,
                        struct each *batch, size_t *count, bool *is_end) {
    size_t slot_count = EACH_BATCH;
    const struct lm_map_slot *slots = lm_map_next(map, place, &slot_count);
    *is_end = slot_count == 0;
    *count = 0;
    for (size_t i = 0; i < slot_count; i++) {
        const struct lm_map_slot *slot = &slots[i];
        enum found found = slot->watched > 1 ? slot_state(slot) : FOUND_DEAD;
        if (found == FOUND_WAIT) {
            place->at -= slot_count - i;
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
    struct lm_map_place place = {0};
    size_t count;
    bool is_end;
    bool ok = true;
    do {
        if (!ok) {
            lm_settle_wait(self);
            lm_lock_acquire(&map->lock);
        } else {
            map_lock(self, map);
        }
        ok = each_gather(map, &place, batch, &count, &is_end);
        map_unlock(self, map);
        for (size_t i = 0; i < count; i++) {
            fn((void *)batch[i].key, (void *)batch[i].value, // NOLINT
               argument);
        }
    } while (!is_end);
}
