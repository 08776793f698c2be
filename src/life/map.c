// SPDX-License-Identifier: MIT
// map.c: entries whose one half lives as long as the other.
//
// Settling looks at each entry once. If what it watches is marked, what it carries
// is, too. If not, the entry waits: in a table by what it watches, into which the
// marker looks for each object that it marks. So a chain of entries, each watching
// what another carries, costs as much as any other entries (the idea is that of
// Hayes's "Ephemerons", 1997, with a table in place of a second list).
//
// Meanwhile the program sets entries and tables grow. A walk goes through the old
// table first: entries only ever go from there to the new one, so none is passed
// by; and where a table grew, the walk begins anew, or goes on in what was the new
// one and is now the old.
//
// Who only looks an address up takes no lock: he reads, and looks whether `changes`
// is what it was (a sequence lock, as in Lameter's "Effective synchronization on
// Linux/NUMA systems", 2005). Nor does a walk for what is in a slot: who changes
// one would wait for the walk at each. It leaves out a slot that is being changed;
// what is set while a collection settles is alive without it.
//
//   map.1  A map that has been looked at in this round has no entry that is neither
//          waiting nor done.
//   map.2  While `changes` is even, nobody is changing what is in which slot.
//   map.3  A slot's watched half says that it is not used while its carried half is
//          changed to that of another entry.
//   map.4  The old table has been emptied before the new one has to be exchanged.

#include "life/map.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "life/record.h"
#include "mark/team.h"
#include "os/memory.h"

#include <string.h>

#define MAP_TOMB ((uintptr_t)1)

// Slots looked at before a map's tables are looked at again, and in one part of
// settling.
#define MAP_BATCH 512
#define MAP_PART 4096

// Slots of the old table that are emptied with each entry that is set, and how much
// smaller a new one may be. A new table is at most half full with what is to be
// moved, and is exchanged when three quarters of it have been used: so a quarter of
// its room in entries is set before, which empty four times its room. (map.4)
#define MAP_MOVE 16
#define MAP_SHRINK 4

// A minor collection looks at no more slots of maps than this.
#define MAP_MINOR_SLOTS ((size_t)1 << 14)

struct waiting {
    uintptr_t watched; // start of the object
    uintptr_t carried;
    uint32_t next;
};

static struct {
    uint32_t first; // record of a map; linked by queue
    uint64_t round;
    // What settling is at.
    uint32_t at;    // record
    bool is_within; // that one's map
    struct lm_map_place place;
    bool has_looked; // at a map, since the walk of maps began
    // Entries that wait.
    struct waiting *waiting;
    uint32_t *heads;
    size_t wait_count;
    size_t wait_room; // a power of two
    bool has_lost;    // there was no memory for one
} maps;

static struct loam_weak_map *map_of(uint32_t record) {
    return (struct loam_weak_map *)lm_record_at(record)->target; // NOLINT
}

// ---- Slots -----------------------------------------------------------------------

static bool slot_is_used(const struct lm_map_slot *slot) {
    return slot->watched > MAP_TOMB;
}

// Slots of both tables.
static size_t slot_count(const struct loam_weak_map *map) {
    return map->now.room + map->old.room;
}

struct lm_map_slot *lm_map_next(const struct loam_weak_map *map,
                                struct lm_map_place *place, size_t *count) {
    if (place->grown != map->grown) {
        bool goes_on = place->is_now && map->grown == place->grown + 1;
        *place = (struct lm_map_place){.grown = map->grown,
                                       .is_now = false,
                                       .at = goes_on ? place->at : 0};
    }
    if (!place->is_now && place->at >= map->old.room) {
        place->is_now = true;
        place->at = 0;
    }
    const struct lm_map_table *table = place->is_now ? &map->now : &map->old;
    size_t left = table->room - place->at;
    struct lm_map_slot *slots = &table->slots[place->at];
    *count = left < *count ? left : *count;
    place->at += *count;
    return slots;
}

static void count_change(struct loam_weak_map *map, size_t by) {
    __atomic_store_n(&map->count, map->count + by, __ATOMIC_RELAXED);
}

static size_t first_place(size_t room, uint64_t hash) {
    return (hash * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (room - 1);
}

static uint64_t slot_hash(const struct loam_weak_map *map,
                          const struct lm_map_table *table, size_t at) {
    return table->hashes ? table->hashes[at]
                         : lm_map_identity(lm_map_key(map, &table->slots[at]));
}

struct lm_map_search lm_map_begin_search(const struct loam_weak_map *map,
                                         uint64_t hash) {
    return (struct lm_map_search){.hash = hash,
                                  .version = map->version,
                                  .refills = map->refills,
                                  .place = SIZE_MAX,
                                  .at = first_place(map->now.room, hash),
                                  .left = map->now.room,
                                  .is_old = false};
}

struct lm_map_slot *lm_map_search(struct loam_weak_map *map,
                                  struct lm_map_search *search) {
    for (;;) {
        struct lm_map_table *table = search->is_old ? &map->old : &map->now;
        while (search->left > 0) {
            size_t at = search->at;
            struct lm_map_slot *slot = &table->slots[at];
            if (!slot_is_used(slot) && !search->is_old &&
                search->place == SIZE_MAX) {
                search->place = at;
            }
            if (slot->watched == 0) {
                break;
            }
            search->at = (at + 1) & (table->room - 1);
            search->left--;
            if (slot_is_used(slot) &&
                slot_hash(map, table, at) == search->hash) {
                return slot;
            }
        }
        if (search->is_old || map->old.room == 0) {
            search->left = 0;
            search->is_old = true;
            return NULL;
        }
        search->is_old = true;
        search->at = first_place(map->old.room, search->hash);
        search->left = map->old.room;
    }
}

// ---- Looking without the lock ----------------------------------------------------
//
// Relaxed loads and stores, in the order that fences give them.

static void change_begin(struct loam_weak_map *map) {
    __atomic_store_n(&map->changes, map->changes + 1, __ATOMIC_RELAXED);
    // Release: who sees a change sees that changes is odd, or is another.
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void change_end(struct loam_weak_map *map) {
    // Release: after what has been changed.
    __atomic_store_n(&map->changes, map->changes + 1, __ATOMIC_RELEASE);
}

// Releases: see slot_load.
static void slot_fill(struct lm_map_slot *slot,
                      const struct lm_map_slot *entry) {
    __atomic_store_n(&slot->carried, entry->carried, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->watched, entry->watched, __ATOMIC_RELEASE);
}

static void slot_empty(struct lm_map_slot *slot) {
    __atomic_store_n(&slot->watched, MAP_TOMB, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->carried, 0, __ATOMIC_RELEASE);
}

// A slot's entry; false when it has none, or is being changed.
static bool slot_load(const struct lm_map_slot *slot,
                      struct lm_map_slot *entry) {
    // Acquire: with another entry's carried half comes that the slot was emptied.
    entry->watched = __atomic_load_n(&slot->watched, __ATOMIC_ACQUIRE);
    entry->carried = __atomic_load_n(&slot->carried, __ATOMIC_ACQUIRE);
    return slot_is_used(entry) &&
           entry->watched == __atomic_load_n(&slot->watched, __ATOMIC_RELAXED);
}

static void table_store(struct lm_map_table *to,
                        const struct lm_map_table *from) {
    __atomic_store_n(&to->slots, from->slots, __ATOMIC_RELAXED);
    __atomic_store_n(&to->hashes, from->hashes, __ATOMIC_RELAXED);
    __atomic_store_n(&to->room, from->room, __ATOMIC_RELAXED);
    to->used = from->used;
}

static bool is_unchanged(const struct loam_weak_map *map, uint32_t before) {
    // Acquire: what was read came before.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&map->changes, __ATOMIC_RELAXED) == before;
}

// The entry of an address in a table, which may be changing and is never full.
static inline struct lm_map_slot table_peek(const struct lm_map_slot *slots,
                                            size_t room, uintptr_t key,
                                            bool is_by_value) {
    size_t at = first_place(room, lm_map_identity(key));
    for (;; at = (at + 1) & (room - 1)) {
        struct lm_map_slot slot = {
            __atomic_load_n(&slots[at].watched, __ATOMIC_RELAXED),
            __atomic_load_n(&slots[at].carried, __ATOMIC_RELAXED)};
        if (slot.watched == 0 ||
            (slot_is_used(&slot) &&
             (is_by_value ? slot.carried : slot.watched) == key)) {
            return slot;
        }
    }
}

struct lm_map_slot lm_map_peek(const struct loam_weak_map *map, uintptr_t key) {
    static const struct lm_map_slot changing = {LM_MAP_CHANGING, 0};
    // Acquire: what is read comes after.
    uint32_t before = __atomic_load_n(&map->changes, __ATOMIC_ACQUIRE);
    const struct lm_map_slot *now =
        __atomic_load_n(&map->now.slots, __ATOMIC_RELAXED);
    size_t now_room = __atomic_load_n(&map->now.room, __ATOMIC_RELAXED);
    const struct lm_map_slot *old =
        __atomic_load_n(&map->old.slots, __ATOMIC_RELAXED);
    size_t old_room = __atomic_load_n(&map->old.room, __ATOMIC_RELAXED);
    if ((before & 1) || !is_unchanged(map, before)) {
        return changing;
    }
    // Tables are objects: these stay until the next stop at least.
    struct lm_map_slot found = {0, 0};
    if (now_room) {
        found = table_peek(now, now_room, key, map->is_by_value);
    }
    if (found.watched == 0 && old_room) {
        found = table_peek(old, old_room, key, map->is_by_value);
    }
    return is_unchanged(map, before) ? found : changing;
}

void lm_map_expect(const struct loam_weak_map *map, uintptr_t key) {
    const struct lm_map_slot *now =
        __atomic_load_n(&map->now.slots, __ATOMIC_RELAXED);
    size_t room = __atomic_load_n(&map->now.room, __ATOMIC_RELAXED);
    if (room && map->hash == NULL) {
        __builtin_prefetch(&now[first_place(room, lm_map_identity(key))], 1);
    }
}

// ---- Setting ---------------------------------------------------------------------

static void map_note(struct loam_weak_map *map, size_t index) {
    if (map->fresh_count < LM_MAP_FRESH) {
        map->fresh[map->fresh_count] = (uint32_t)index;
    }
    map->fresh_count += map->fresh_count <= LM_MAP_FRESH;
}

static void table_set(struct loam_weak_map *map, size_t at,
                      const struct lm_map_slot *slot, uint64_t hash) {
    struct lm_map_table *table = &map->now;
    map->refills += table->slots[at].watched != 0;
    table->used += table->slots[at].watched == 0;
    slot_fill(&table->slots[at], slot);
    if (table->hashes) {
        table->hashes[at] = hash;
    }
    map_note(map, at);
}

static void map_move(struct loam_weak_map *map) {
    for (unsigned i = 0; i < MAP_MOVE && map->moved < map->old.room; i++) {
        size_t at = map->moved++;
        struct lm_map_slot *slot = &map->old.slots[at];
        if (slot_is_used(slot)) {
            uint64_t hash = slot_hash(map, &map->old, at);
            size_t to = first_place(map->now.room, hash);
            while (slot_is_used(&map->now.slots[to])) {
                to = (to + 1) & (map->now.room - 1);
            }
            table_set(map, to, slot, hash);
            slot_empty(slot);
        }
    }
    if (map->old.room && map->moved == map->old.room) {
        table_store(&map->old, &(struct lm_map_table){NULL, NULL, 0, 0});
        map->version++;
    }
}

size_t lm_map_wants_room(const struct loam_weak_map *map) {
    size_t room = map->now.room;
    if (room && map->now.used + 1 <= room / 4 * 3) {
        return 0;
    }
    room = room > 16 * MAP_SHRINK ? room / MAP_SHRINK : 16;
    while (room / 2 < map->count + 1) {
        room *= 2;
    }
    return room;
}

void lm_map_grow(struct loam_weak_map *map, struct lm_map_slot *slots,
                 uint64_t *hashes, size_t room) {
    LM_CHECK(1, map->old.room == 0, "map.4 an old table is empty in time");
    change_begin(map);
    table_store(&map->old, &map->now);
    table_store(&map->now, &(struct lm_map_table){slots, hashes, room, 0});
    map->moved = 0;
    map->version++;
    map->grown++;
    map->fresh_count = map->old.room ? LM_MAP_FRESH + 1 : map->fresh_count;
    change_end(map);
}

void lm_map_insert(struct loam_weak_map *map, const struct lm_map_slot *slot,
                   const struct lm_map_search *search) {
    change_begin(map);
    table_set(map, search->place, slot, search->hash);
    count_change(map, 1);
    if (map->old.room) {
        map->version++;
        map_move(map);
    }
    change_end(map);
}

void lm_map_watch_again(const struct lm_object *watched) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST); // see lm_map_sweep_some
    lm_record_watch(watched);                // its region is there
}

void lm_map_replace(struct loam_weak_map *map, struct lm_map_slot *slot,
                    uintptr_t value) {
    // Release: with the value comes what it leads to.
    __atomic_store_n(map->is_by_value ? &slot->watched : &slot->carried, value,
                     __ATOMIC_RELEASE);
    if (slot >= map->now.slots && slot < map->now.slots + map->now.room) {
        map_note(map, (size_t)(slot - map->now.slots));
    } else {
        map->fresh_count = LM_MAP_FRESH + 1;
    }
}

void lm_map_delete(struct loam_weak_map *map, struct lm_map_slot *slot) {
    change_begin(map);
    slot_empty(slot);
    count_change(map, (size_t)-1);
    change_end(map);
}

// ---- The maps there are --------------------------------------------------------------

bool lm_map_add(struct loam_weak_map *map) {
    struct lm_object object;
    lm_find((uintptr_t)map, &object);
    lm_record_lock();
    uint32_t number =
        lm_record_add(&object, &(struct lm_record){.kind = LM_RECORD_MAP});
    if (number) {
        lm_record_at(number)->queue = maps.first;
        maps.first = number;
        map->record = number;
    }
    lm_record_unlock();
    return number != 0;
}

// ---- Entries that wait ---------------------------------------------------------------

#define WAIT_FIRST ((size_t)1 << 12)

static void wait_release(void) {
    if (maps.wait_room) {
        lm_memory_release(maps.waiting, maps.wait_room * sizeof *maps.waiting);
        lm_memory_release(maps.heads, maps.wait_room * sizeof *maps.heads);
    }
    maps.waiting = NULL;
    maps.heads = NULL;
    maps.wait_room = maps.wait_count = 0;
}

static size_t wait_place(uintptr_t start, size_t room) {
    return ((start >> 4) * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (room - 1);
}

static void wait_link(uint32_t index) {
    struct waiting *w = &maps.waiting[index];
    uint32_t *head = &maps.heads[wait_place(w->watched, maps.wait_room)];
    w->next = *head;
    *head = index + 1;
}

static bool wait_grow(void) {
    size_t room = maps.wait_room ? maps.wait_room * 2 : WAIT_FIRST;
    struct waiting *waiting = lm_memory_map(room * sizeof *waiting);
    uint32_t *heads = lm_memory_map(room * sizeof *heads);
    if (waiting == NULL || heads == NULL) {
        if (waiting) {
            lm_memory_release(waiting, room * sizeof *waiting);
        }
        if (heads) {
            lm_memory_release(heads, room * sizeof *heads);
        }
        return false;
    }
    size_t count = maps.wait_count;
    if (count) {
        memcpy(waiting, maps.waiting, count * sizeof *waiting);
    }
    wait_release();
    maps.waiting = waiting;
    maps.heads = heads;
    maps.wait_room = room;
    maps.wait_count = count;
    for (size_t i = 0; i < count; i++) {
        wait_link((uint32_t)i);
    }
    return true;
}

static void wait_add(uintptr_t watched, uintptr_t carried) {
    struct lm_object object;
    if (!lm_find_cell(watched, &object)) {
        return;
    }
    if (maps.wait_count == maps.wait_room && !wait_grow()) {
        maps.has_lost = true;
        return;
    }
    uint32_t index = (uint32_t)maps.wait_count++;
    maps.waiting[index] = (struct waiting){object.start, carried, 0};
    wait_link(index);
}

// Without room on the stack all maps are looked at once more.
static void wait_marked(struct loam_marker *m, uintptr_t start) {
    if (maps.wait_room == 0) {
        return;
    }
    uint32_t i = maps.heads[wait_place(start, maps.wait_room)];
    for (; i; i = maps.waiting[i - 1].next) {
        if (maps.waiting[i - 1].watched == start &&
            !lm_marker_try(m, maps.waiting[i - 1].carried)) {
            maps.has_lost = true;
        }
    }
}

lm_marker_fn *lm_map_on_mark(void) {
    return maps.first ? wait_marked : NULL;
}

static void wait_clear(void) {
    if (maps.wait_count) {
        memset(maps.heads, 0, maps.wait_room * sizeof *maps.heads);
        maps.wait_count = 0;
    }
}

// ---- Marking -------------------------------------------------------------------------

// What a visit does with a slot and the entry that was in it; a word that it returns
// is marked, 0 is none.
typedef uintptr_t slot_fn(struct loam_weak_map *map, struct lm_map_slot *slot,
                          const struct lm_map_slot *entry);

static void slot_visit(struct loam_marker *m, struct loam_weak_map *map,
                       struct lm_map_slot *slot, slot_fn *fn) {
    struct lm_map_slot entry;
    uintptr_t word = slot_load(slot, &entry) ? fn(map, slot, &entry) : 0;
    if (word) {
        lm_marker_root(m, word);
    }
}

// Visits some slots; false when there are no more. The table that they are of is
// there meanwhile, even if it is an old one and done with: nothing is swept.
static bool slots_visit(struct loam_marker *m, struct loam_weak_map *map,
                        struct lm_map_place *place, slot_fn *fn) {
    size_t count = MAP_BATCH;
    lm_lock_acquire(&map->lock);
    struct lm_map_slot *slots = lm_map_next(map, place, &count);
    lm_lock_release(&map->lock);
    for (size_t i = 0; i < count; i++) {
        slot_visit(m, map, &slots[i], fn);
    }
    return count > 0;
}

// While marking, what is not marked yet may still be.
static uintptr_t slot_ahead(struct loam_weak_map *map, struct lm_map_slot *slot,
                            const struct lm_map_slot *entry) {
    (void)map;
    (void)slot;
    return lm_marker_is_kept(entry->watched) ? entry->carried : 0;
}

static uintptr_t slot_settle(struct loam_weak_map *map,
                             struct lm_map_slot *slot,
                             const struct lm_map_slot *entry) {
    (void)map;
    (void)slot;
    uintptr_t carried = entry->carried;
    bool is_kept = !lm_space_has(carried) || lm_marker_is_kept(carried);
    if (lm_marker_is_kept(entry->watched)) {
        return is_kept ? 0 : carried;
    }
    if (!is_kept) {
        wait_add(entry->watched, carried);
    }
    return 0;
}

// The next map that is known; its object may not be kept.
static struct loam_weak_map *map_next(uint32_t *at) {
    lm_record_lock();
    uint32_t number = *at ? lm_record_at(*at)->queue : maps.first;
    struct loam_weak_map *map = number ? map_of(number) : NULL;
    lm_record_unlock();
    *at = number;
    return map;
}

bool lm_map_allows_stop(void) {
    size_t slots = 0;
    uint32_t at = 0;
    struct loam_weak_map *map;
    while ((map = map_next(&at)) != NULL) {
        slots += slot_count(map);
    }
    return slots <= MAP_PART;
}

void lm_map_mark_ahead(struct loam_marker *m) {
    uint32_t at = 0;
    struct loam_weak_map *map;
    while ((map = map_next(&at)) != NULL) {
        struct lm_map_place place = {0};
        while (lm_marker_is_kept((uintptr_t)map) &&
               slots_visit(m, map, &place, slot_ahead)) {
        }
    }
}

static void walk_begin(void) {
    maps.at = 0;
    maps.is_within = false;
    maps.has_looked = false;
}

void lm_map_begin(void) {
    uint32_t at = 0;
    struct loam_weak_map *map;
    maps.round++;
    maps.has_lost = false;
    wait_clear();
    walk_begin();
    while ((map = map_next(&at)) != NULL) {
        map->fresh_count = 0;
    }
}

// The map to go on with; NULL when the walk has come to its end.
static struct loam_weak_map *walk_map(void) {
    if (maps.is_within) {
        return map_of(maps.at);
    }
    struct loam_weak_map *map;
    maps.place = (struct lm_map_place){0};
    while ((map = map_next(&maps.at)) != NULL) {
        if (map->round != maps.round && lm_marker_is_kept((uintptr_t)map)) {
            return map;
        }
    }
    return NULL;
}

bool lm_map_mark_some(struct loam_marker *m) {
    for (size_t seen = 0; seen < MAP_PART; seen += MAP_BATCH) {
        struct loam_weak_map *map = walk_map();
        if (map == NULL) {
            bool is_more = maps.has_looked || maps.has_lost;
            if (maps.has_lost) {
                maps.has_lost = false;
                maps.round++;
                wait_clear();
            }
            walk_begin();
            return is_more;
        }
        maps.has_looked = true;
        maps.is_within = slots_visit(m, map, &maps.place, slot_settle);
        if (!maps.is_within) {
            map->round = maps.round;
        }
    }
    return true;
}

// ---- Sweeping ------------------------------------------------------------------------

static uintptr_t slot_sweep(struct loam_weak_map *map, struct lm_map_slot *slot,
                            const struct lm_map_slot *entry) {
    struct lm_object object;
    if (!lm_marker_is_kept(entry->watched)) {
        lm_lock_acquire(&map->lock);
        if (slot->watched == entry->watched) {
            lm_map_delete(map, slot);
        }
        lm_lock_release(&map->lock);
    } else if (lm_find_cell(entry->watched, &object)) {
        lm_record_watch(&object); // see lm_map_sweep_some; its region is there
    }
    return 0;
}

// Forgets maps that have died.
static void maps_sweep(void) {
    lm_record_lock();
    uint32_t *link = &maps.first;
    while (*link) {
        struct lm_record *r = lm_record_at(*link);
        if (lm_marker_is_kept(r->target)) {
            link = &r->queue;
        } else {
            *link = r->queue;
        }
    }
    lm_record_unlock();
}

// Which objects are watched is noted anew: of entries set from here on by who sets
// them, see lm_map_watch_again.
bool lm_map_sweep_some(void) {
    if (maps.at == 0) {
        lm_record_unwatch_all();
        // In one order with the fence of lm_map_watch_again: either the walk meets
        // the entry, or who set it sees that its object is not watched.
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    for (size_t seen = 0; seen < MAP_PART; seen += MAP_BATCH) {
        if (!maps.is_within) {
            maps.place = (struct lm_map_place){0};
        }
        struct loam_weak_map *map =
            maps.is_within ? map_of(maps.at) : map_next(&maps.at);
        if (map == NULL) {
            maps_sweep();
            wait_release();
            return false;
        }
        maps.is_within = lm_marker_is_kept((uintptr_t)map) &&
                         slots_visit(NULL, map, &maps.place, slot_sweep);
    }
    return true;
}

// ---- Minor collections -----------------------------------------------------------------

// Calls fn with the entries of a map that were set since the last collection.
static void fresh_visit(struct loam_marker *m, struct loam_weak_map *map,
                        slot_fn *fn) {
    if (map->fresh_count > LM_MAP_FRESH) {
        struct lm_map_place place = {0};
        while (slots_visit(m, map, &place, fn)) {
        }
        return;
    }
    for (uint32_t i = 0; i < map->fresh_count; i++) {
        slot_visit(m, map, &map->now.slots[map->fresh[i]], fn);
    }
}

bool lm_map_allows_minor(void) {
    size_t slots = 0;
    uint32_t at = 0;
    struct loam_weak_map *map;
    while ((map = map_next(&at)) != NULL) {
        slots += map->fresh_count > LM_MAP_FRESH ? slot_count(map)
                                                 : map->fresh_count;
    }
    return slots <= MAP_MINOR_SLOTS;
}

// Whether an entry has led to something new; by the one who collects.
static bool map_has_marked;

static uintptr_t slot_minor(struct loam_weak_map *map, struct lm_map_slot *slot,
                            const struct lm_map_slot *entry) {
    (void)map;
    (void)slot;
    uintptr_t carried = entry->carried;
    if (!lm_marker_is_kept(entry->watched) || !lm_space_has(carried) ||
        lm_marker_is_kept(carried)) {
        return 0;
    }
    map_has_marked = true;
    return carried;
}

void lm_map_mark_minor(struct loam_marker *m) {
    do {
        uint32_t at = 0;
        struct loam_weak_map *map;
        map_has_marked = false;
        while ((map = map_next(&at)) != NULL) {
            if (map->fresh_count && lm_marker_is_kept((uintptr_t)map)) {
                fresh_visit(m, map, slot_minor);
            }
        }
        if (map_has_marked) {
            lm_team_complete();
        }
    } while (map_has_marked);
}

void lm_map_sweep_minor(struct loam_marker *m) {
    uint32_t at = 0;
    struct loam_weak_map *map;
    while ((map = map_next(&at)) != NULL) {
        if (map->fresh_count && lm_marker_is_kept((uintptr_t)map)) {
            fresh_visit(m, map, slot_sweep);
            map->fresh_count = 0;
        }
    }
    maps_sweep();
}

void lm_map_fini(void) {
    wait_release();
    memset(&maps, 0, sizeof maps);
}
