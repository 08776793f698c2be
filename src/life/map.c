// SPDX-License-Identifier: MIT
// map.c: entries whose one half lives as long as the other.
//
// Settling looks at each entry once. If what it watches is marked, what it carries
// is, too. If not, the entry waits: in a table by what it watches, into which the
// marker looks for each object that it marks. So a chain of entries, each watching
// what another carries, costs as much as any other entries (the idea is that of
// Hayes's "Ephemerons", 1997, with a table in place of a second list).
//
//   map.1  A map that has been looked at in this round has no entry that is neither
//          waiting nor done.

#include "life/map.h"

#include "base/bits.h"
#include "heap/find.h"
#include "life/record.h"
#include "mark/team.h"
#include "os/memory.h"

#include <string.h>

#define MAP_TOMB ((uintptr_t)1)

// Slots looked at under a map's lock at a time, and in one part of settling.
#define MAP_LOCKED 512
#define MAP_PART 4096

// Entries moved with each that is set: more than one in 1.5, or the larger table
// would be full before the old one is empty.
#define MAP_MOVE 16

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
    uint32_t at; // record
    size_t slot;
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

// Slots of the map in both tables, by one number.
static struct lm_map_slot *slot_at(struct loam_weak_map *map, size_t index) {
    return index < map->now.room ? &map->now.slots[index]
                                 : &map->old.slots[index - map->now.room];
}

static size_t slot_count(const struct loam_weak_map *map) {
    return map->now.room + map->old.room;
}

static void count_change(struct loam_weak_map *map, size_t by) {
    __atomic_store_n(&map->count, map->count + by, __ATOMIC_RELAXED);
}

static size_t first_place(const struct lm_map_table *table, uint64_t hash) {
    return (hash * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & (table->room - 1);
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
                                  .at = first_place(&map->now, hash),
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
        search->at = first_place(&map->old, search->hash);
        search->left = map->old.room;
    }
}

// ---- Setting ---------------------------------------------------------------------

static void map_note(struct loam_weak_map *map, size_t index) {
    if (map->fresh_count < LM_MAP_FRESH) {
        map->fresh[map->fresh_count] = (uint32_t)index;
    }
    map->fresh_count += map->fresh_count <= LM_MAP_FRESH;
}

static void table_put(struct loam_weak_map *map, const struct lm_map_slot *slot,
                      uint64_t hash) {
    struct lm_map_table *table = &map->now;
    size_t at = first_place(table, hash);
    while (slot_is_used(&table->slots[at])) {
        at = (at + 1) & (table->room - 1);
    }
    table->used += table->slots[at].watched == 0;
    table->slots[at] = *slot;
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
            table_put(map, slot, slot_hash(map, &map->old, at));
            slot->watched = MAP_TOMB;
        }
    }
    if (map->old.room && map->moved == map->old.room) {
        map->old = (struct lm_map_table){NULL, NULL, 0, 0};
        map->version++;
    }
}

size_t lm_map_wants_room(const struct loam_weak_map *map) {
    size_t room = map->now.room;
    if (room && map->now.used + 1 <= room / 4 * 3) {
        return 0;
    }
    room = 16;
    while (room / 2 < map->count + 1) {
        room *= 2;
    }
    return room;
}

void lm_map_grow(struct loam_weak_map *map, struct lm_map_slot *slots,
                 uint64_t *hashes, size_t room) {
    while (map->old.room) {
        map_move(map); // only if many were deleted meanwhile
    }
    map->old = map->now;
    map->moved = 0;
    map->now = (struct lm_map_table){slots, hashes, room, 0};
    map->version++;
    map->fresh_count = map->old.room ? LM_MAP_FRESH + 1 : map->fresh_count;
}

void lm_map_insert(struct loam_weak_map *map, const struct lm_map_slot *slot,
                   uint64_t hash) {
    table_put(map, slot, hash);
    count_change(map, 1);
    if (map->old.room) {
        map->version++;
        map_move(map);
    }
}

void lm_map_change(struct loam_weak_map *map, const struct lm_map_slot *slot) {
    if (slot >= map->now.slots && slot < map->now.slots + map->now.room) {
        map_note(map, (size_t)(slot - map->now.slots));
    } else {
        map->fresh_count = LM_MAP_FRESH + 1;
    }
}

void lm_map_delete(struct loam_weak_map *map, struct lm_map_slot *slot) {
    slot->watched = MAP_TOMB;
    slot->carried = 0;
    count_change(map, (size_t)-1);
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

// What a visit does with an entry; a word that it returns is marked, 0 is none.
typedef uintptr_t slot_fn(struct loam_weak_map *map, struct lm_map_slot *slot);

// Visits slots from `from` on. Returns where to go on, 0 at the end. A marker that
// ran while the lock is held might keep a thread waiting for long.
static size_t slots_visit(struct loam_marker *m, struct loam_weak_map *map,
                          size_t from, slot_fn *fn) {
    uintptr_t words[MAP_LOCKED];
    unsigned word_count = 0;
    lm_lock_acquire(&map->lock);
    size_t count = slot_count(map);
    size_t to = from + MAP_LOCKED < count ? from + MAP_LOCKED : count;
    for (size_t i = from; i < to; i++) {
        struct lm_map_slot *slot = slot_at(map, i);
        uintptr_t word = slot_is_used(slot) ? fn(map, slot) : 0;
        words[word_count] = word;
        word_count += word != 0;
    }
    lm_lock_release(&map->lock);
    for (unsigned i = 0; i < word_count; i++) {
        lm_marker_root(m, words[i]);
    }
    return to < count ? to : 0;
}

// While marking, what is not marked yet may still be.
static uintptr_t slot_ahead(struct loam_weak_map *map,
                            struct lm_map_slot *slot) {
    (void)map;
    return lm_marker_is_kept(slot->watched) ? slot->carried : 0;
}

static uintptr_t slot_settle(struct loam_weak_map *map,
                             struct lm_map_slot *slot) {
    (void)map;
    uintptr_t carried = slot->carried;
    bool is_kept = !lm_space_has(carried) || lm_marker_is_kept(carried);
    if (lm_marker_is_kept(slot->watched)) {
        return is_kept ? 0 : carried;
    }
    if (!is_kept) {
        wait_add(slot->watched, carried);
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

void lm_map_mark_ahead(struct loam_marker *m) {
    uint32_t at = 0;
    struct loam_weak_map *map;
    while ((map = map_next(&at)) != NULL) {
        size_t slot = 0;
        while (lm_marker_is_kept((uintptr_t)map)) {
            slot = slots_visit(m, map, slot, slot_ahead);
            if (slot == 0) {
                break;
            }
        }
    }
}

static void walk_begin(void) {
    maps.at = 0;
    maps.slot = 0;
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
    if (maps.slot) {
        return map_of(maps.at);
    }
    struct loam_weak_map *map;
    while ((map = map_next(&maps.at)) != NULL) {
        if (map->round != maps.round && lm_marker_is_kept((uintptr_t)map)) {
            return map;
        }
    }
    return NULL;
}

bool lm_map_mark_some(struct loam_marker *m) {
    for (size_t seen = 0; seen < MAP_PART; seen += MAP_LOCKED) {
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
        maps.slot = slots_visit(m, map, maps.slot, slot_settle);
        if (maps.slot == 0) {
            map->round = maps.round;
        }
    }
    return true;
}

// ---- Sweeping ------------------------------------------------------------------------

static uintptr_t slot_sweep(struct loam_weak_map *map,
                            struct lm_map_slot *slot) {
    struct lm_object object;
    if (!lm_marker_is_kept(slot->watched)) {
        lm_map_delete(map, slot);
    } else if (lm_find_cell(slot->watched, &object)) {
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

// Which objects are watched is noted anew.
bool lm_map_sweep_some(void) {
    if (maps.at == 0 && maps.slot == 0) {
        lm_record_unwatch_all();
    }
    for (size_t seen = 0; seen < MAP_PART; seen += MAP_LOCKED) {
        struct loam_weak_map *map =
            maps.slot ? map_of(maps.at) : map_next(&maps.at);
        if (map == NULL) {
            maps_sweep();
            wait_release();
            return false;
        }
        if (lm_marker_is_kept((uintptr_t)map)) {
            maps.slot = slots_visit(NULL, map, maps.slot, slot_sweep);
        }
    }
    return true;
}

// ---- Minor collections -----------------------------------------------------------------

// Calls fn with the entries of a map that were set since the last collection.
static void fresh_visit(struct loam_marker *m, struct loam_weak_map *map,
                        slot_fn *fn) {
    if (map->fresh_count > LM_MAP_FRESH) {
        size_t slot = 0;
        do {
            slot = slots_visit(m, map, slot, fn);
        } while (slot);
        return;
    }
    for (uint32_t i = 0; i < map->fresh_count; i++) {
        struct lm_map_slot *slot = &map->now.slots[map->fresh[i]];
        uintptr_t word = slot_is_used(slot) ? fn(map, slot) : 0;
        if (word) {
            lm_marker_root(m, word);
        }
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

static uintptr_t slot_minor(struct loam_weak_map *map,
                            struct lm_map_slot *slot) {
    (void)map;
    uintptr_t carried = slot->carried;
    if (!lm_marker_is_kept(slot->watched) || !lm_space_has(carried) ||
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
