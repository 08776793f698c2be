// SPDX-License-Identifier: MIT
// record.c: records in slabs, linked by the block their object is in.
//
// Two levels lead from a block to its records: a directory of regions, and for
// each region that has any the first record of each block, and a bit for each
// cell that has one. So most questions end at a bit.
//
//   record.1  A cell's bit is set if and only if a record of its block's list has
//             it as its target. There is a row of bits for finalizers and one for
//             all else; and two for those that are due, which are in no block's
//             list: one for calls and one for what waits at guardians.

#include "life/record.h"

#include "base/check.h"
#include "os/lock.h"
#include "os/memory.h"

#include <string.h>

#define RECORD_SLAB_SHIFT 12
#define RECORD_SLAB ((uint32_t)1 << RECORD_SLAB_SHIFT)
#define RECORD_SLABS ((uint32_t)1 << 14)

// Blocks of a region: 8 MiB of heap.
#define RECORD_REGION_SHIFT 10
#define RECORD_REGION ((size_t)1 << RECORD_REGION_SHIFT)

// A collection looks at so many by themselves; beyond that at all records.
#define RECORD_FRESH ((size_t)1 << 20)

struct region {
    uint64_t has[RECORD_REGION][2][LM_CELL_WORDS];
    uint64_t due[RECORD_REGION][2][LM_CELL_WORDS];
    uint64_t watched[RECORD_REGION][LM_CELL_WORDS]; // atomic
    uint32_t first[RECORD_REGION];
    uint32_t round[RECORD_REGION]; // in which lm_record_is_first was asked
};

static struct {
    struct lm_lock lock;
    struct lm_record **slabs;
    struct region **regions;
    uint32_t *fresh;
    size_t fresh_count;
    uint32_t end;    // one more than the highest number used; atomic
    uint32_t unused; // linked by next
    uint32_t births;
    uint32_t round; // of lm_record_is_first; counts from 1
} records = {.end = 1, .round = 1};

size_t lm_record_used;

#define SLABS_BYTES (RECORD_SLABS * sizeof(struct lm_record *))
#define SLAB_BYTES (RECORD_SLAB * sizeof(struct lm_record))
#define FRESH_BYTES (RECORD_FRESH * sizeof(uint32_t))
#define REGION_BYTES ((sizeof(struct region) + 4095) & ~(size_t)4095)

static size_t regions_bytes(void) {
    size_t count = lm_space_block_count() / RECORD_REGION + 1;
    return (count * sizeof(struct region *) + 4095) & ~(size_t)4095;
}

void lm_record_lock(void) {
    lm_lock_acquire(&records.lock);
}

void lm_record_unlock(void) {
    lm_lock_release(&records.lock);
}

struct lm_record *lm_record_at(uint32_t number) {
    return &records
                .slabs[number >> RECORD_SLAB_SHIFT][number & (RECORD_SLAB - 1)];
}

uint32_t lm_record_end(void) {
    return __atomic_load_n(&records.end, __ATOMIC_RELAXED);
}

// ---- By object -----------------------------------------------------------------

// Acquire: another thread may just have made it.
static struct region *region_of(uint32_t block) {
    struct region **regions =
        __atomic_load_n(&records.regions, __ATOMIC_ACQUIRE);
    return regions ? __atomic_load_n(&regions[block >> RECORD_REGION_SHIFT],
                                     __ATOMIC_ACQUIRE)
                   : NULL;
}

static uint32_t *block_first(struct region *region, uint32_t block) {
    return &region->first[block & (RECORD_REGION - 1)];
}

// Which row of bits tells of a kind.
static unsigned kind_row(unsigned kind) {
    return kind == LM_RECORD_FINAL;
}

static uint64_t *cell_word(struct region *region,
                           const struct lm_object *object, unsigned row) {
    return &region->has[object->block & (RECORD_REGION - 1)][row]
                       [object->cell / 64];
}

static bool object_has(struct region *region, const struct lm_object *object,
                       unsigned row) {
    return region &&
           (*cell_word(region, object, row) >> (object->cell % 64)) & 1;
}

static uint64_t *due_word(struct region *region, const struct lm_object *object,
                          unsigned row) {
    return &region->due[object->block & (RECORD_REGION - 1)][row]
                       [object->cell / 64];
}

static bool object_is_due(struct region *region,
                          const struct lm_object *object) {
    return region &&
           ((*due_word(region, object, 0) | *due_word(region, object, 1)) >>
            (object->cell % 64)) &
               1;
}

LM_NO_SANITIZE bool lm_record_may_have(const struct lm_object *object) {
    if (lm_record_count() == 0) {
        return false;
    }
    struct region *region = region_of(object->block);
    return object_has(region, object, 0) || object_has(region, object, 1) ||
           object_is_due(region, object);
}

uint32_t lm_record_find(const struct lm_object *object,
                        enum lm_record_kind kind, uint32_t after) {
    struct region *region = region_of(object->block);
    if (!object_has(region, object, kind_row(kind))) {
        return 0;
    }
    uint32_t number =
        after ? lm_record_at(after)->next : *block_first(region, object->block);
    while (number && (lm_record_at(number)->target != object->start ||
                      lm_record_at(number)->kind != kind)) {
        number = lm_record_at(number)->next;
    }
    return number;
}

uint32_t lm_record_find_any(const struct lm_object *object) {
    uint32_t number = 0;
    for (unsigned kind = LM_RECORD_WEAK; kind <= LM_RECORD_MAP && !number;
         kind++) {
        number = lm_record_find(object, (enum lm_record_kind)kind, 0);
    }
    return number;
}

static struct region *region_make(uint32_t block) {
    struct region *region = region_of(block);
    if (records.regions == NULL) {
        struct region **regions = lm_memory_map(regions_bytes());
        if (regions == NULL) {
            return NULL;
        }
        __atomic_store_n(&records.regions, regions, __ATOMIC_RELEASE);
    }
    if (region == NULL) {
        region = lm_memory_map(REGION_BYTES);
        __atomic_store_n(&records.regions[block >> RECORD_REGION_SHIFT], region,
                         __ATOMIC_RELEASE);
    }
    return region;
}

// Relaxed: who frees an object knows what was done with it before.
static uint64_t *watched_word(struct region *region,
                              const struct lm_object *object) {
    return &region->watched[object->block & (RECORD_REGION - 1)]
                           [object->cell / 64];
}

bool lm_record_watch(const struct lm_object *object) {
    uint64_t bit = (uint64_t)1 << (object->cell % 64);
    struct region *region = region_of(object->block);
    if (region == NULL) {
        lm_record_lock();
        region = region_make(object->block);
        lm_record_unlock();
    }
    if (region &&
        !(__atomic_load_n(watched_word(region, object), __ATOMIC_RELAXED) &
          bit)) {
        __atomic_fetch_or(watched_word(region, object), bit, __ATOMIC_RELAXED);
    }
    return region != NULL;
}

bool lm_record_is_watched(const struct lm_object *object) {
    struct region *region = region_of(object->block);
    return region &&
           (__atomic_load_n(watched_word(region, object), __ATOMIC_RELAXED) >>
            (object->cell % 64)) &
               1;
}

void lm_record_unwatch_all(void) {
    size_t count = regions_bytes() / sizeof(struct region *);
    size_t used = lm_space_used_blocks() / RECORD_REGION + 1;
    for (size_t i = 0; records.regions && i < count && i < used; i++) {
        if (records.regions[i]) {
            memset(records.regions[i]->watched, 0,
                   sizeof records.regions[i]->watched);
        }
    }
}

// ---- Numbers -------------------------------------------------------------------

static bool slab_make(uint32_t slab) {
    if (slab == RECORD_SLABS) {
        return false;
    }
    if (records.slabs == NULL) {
        records.slabs = lm_memory_map(SLABS_BYTES);
        if (records.slabs == NULL) {
            return false;
        }
    }
    if (records.slabs[slab] == NULL) {
        records.slabs[slab] = lm_memory_map(SLAB_BYTES);
    }
    return records.slabs[slab] != NULL;
}

// A number that is not in use, or 0.
static uint32_t number_take(void) {
    uint32_t number = records.unused;
    if (number) {
        records.unused = lm_record_at(number)->next;
        return number;
    }
    if (!slab_make(records.end >> RECORD_SLAB_SHIFT)) {
        return 0;
    }
    number = records.end;
    __atomic_store_n(&records.end, number + 1, __ATOMIC_RELAXED);
    return number;
}

static void record_link(struct region *region, const struct lm_object *object,
                        uint32_t number) {
    uint32_t *first = block_first(region, object->block);
    lm_record_at(number)->next = *first;
    *first = number;
    *cell_word(region, object, kind_row(lm_record_at(number)->kind)) |=
        (uint64_t)1 << (object->cell % 64);
}

uint32_t lm_record_add(const struct lm_object *object,
                       const struct lm_record *record) {
    struct region *region = region_make(object->block);
    uint32_t number = region ? number_take() : 0;
    if (number == 0) {
        return 0;
    }
    struct lm_record *r = lm_record_at(number);
    *r = *record;
    r->target = object->start;
    r->birth = ++records.births;
    record_link(region, object, number);
    __atomic_store_n(&lm_record_used, lm_record_used + 1, __ATOMIC_RELAXED);
    lm_record_touch(number);
    return number;
}

static void number_give(uint32_t number) {
    struct lm_record *r = lm_record_at(number);
    memset(r, 0, sizeof *r);
    r->next = records.unused;
    records.unused = number;
    __atomic_store_n(&lm_record_used, lm_record_used - 1, __ATOMIC_RELAXED);
}

void lm_record_filter(uint32_t block, lm_record_filter_fn *fn, void *argument) {
    struct region *region = region_of(block);
    uint64_t has[2][LM_CELL_WORDS] = {{0}};
    uint32_t *link = block_first(region, block);
    while (*link) {
        uint32_t number = *link;
        struct lm_record *r = lm_record_at(number);
        struct lm_object object;
        enum lm_record_fate fate = fn(number, argument);
        if (fate == LM_RECORD_KEEP && lm_find_cell(r->target, &object)) {
            has[kind_row(r->kind)][object.cell / 64] |= (uint64_t)1
                                                        << (object.cell % 64);
            link = &r->next;
            continue;
        }
        *link = r->next;
        r->next = 0;
        if (fate == LM_RECORD_REMOVE) {
            number_give(number);
        }
    }
    memcpy(region->has[block & (RECORD_REGION - 1)], has, sizeof has);
}

uint32_t lm_record_block(uint32_t block) {
    size_t end = lm_space_used_blocks();
    while (records.regions && block < end) {
        struct region *region = region_of(block);
        if (region == NULL) {
            block = (block | (RECORD_REGION - 1)) + 1;
        } else if (*block_first(region, block) == 0) {
            block++;
        } else {
            return block;
        }
    }
    return 0;
}

// One record of a block, or none, is to be taken away.
static enum lm_record_fate record_drop(uint32_t number, void *argument) {
    return number == *(uint32_t *)argument ? LM_RECORD_DETACH : LM_RECORD_KEEP;
}

void lm_record_detach(uint32_t number) {
    struct lm_object object;
    uintptr_t target = lm_record_at(number)->target;
    if (target && lm_find_cell(target, &object)) {
        lm_record_filter(object.block, record_drop, &number);
    }
}

bool lm_record_reserve(const struct lm_object *object) {
    return region_make(object->block) != NULL;
}

void lm_record_move(uint32_t number, const struct lm_object *object) {
    record_link(region_of(object->block), object, number);
    lm_record_touch(number); // the object may be new
}

void lm_record_attach(uint32_t number) {
    struct lm_object object;
    struct lm_record *r = lm_record_at(number);
    r->flags &= (uint8_t)~LM_RECORD_READY;
    if (lm_find_cell(r->target, &object)) {
        record_link(region_of(object.block), &object, number);
    }
}

void lm_record_remove(uint32_t number) {
    if (!(lm_record_at(number)->flags & LM_RECORD_READY)) {
        lm_record_detach(number);
    }
    number_give(number);
}

// ---- What is due -----------------------------------------------------------------

void lm_record_set_due(uint32_t number, bool is_due) {
    const struct lm_record *r = lm_record_at(number);
    struct lm_object object;
    if (r->target == 0 || !lm_find_cell(r->target, &object)) {
        return;
    }
    // It had a record in the block's list, so there is a region.
    uint64_t *word =
        due_word(region_of(object.block), &object, r->kind == LM_RECORD_GUARD);
    uint64_t bit = (uint64_t)1 << (object.cell % 64);
    *word = is_due ? *word | bit : *word & ~bit;
}

uint32_t lm_record_find_due(const struct lm_object *object, uint32_t after) {
    if (!object_is_due(region_of(object->block), object)) {
        return 0;
    }
    for (uint32_t n = after + 1; n < records.end; n++) {
        const struct lm_record *r = lm_record_at(n);
        if (r->target == object->start && (r->flags & LM_RECORD_READY)) {
            return n;
        }
    }
    return 0;
}

// ---- What is new -----------------------------------------------------------------

void lm_record_touch(uint32_t number) {
    if (records.fresh == NULL) {
        records.fresh = lm_memory_map(FRESH_BYTES);
    }
    if (records.fresh == NULL || records.fresh_count >= RECORD_FRESH) {
        records.fresh_count = SIZE_MAX;
    } else {
        records.fresh[records.fresh_count++] = number;
    }
}

size_t lm_record_fresh_count(void) {
    return records.fresh_count;
}

uint32_t lm_record_fresh(size_t index) {
    return records.fresh[index];
}

void lm_record_fresh_clear(void) {
    records.fresh_count = 0;
}

void lm_record_begin_round(void) {
    records.round++;
}

bool lm_record_is_first(uint32_t block) {
    struct region *region = region_of(block);
    uint32_t *round = &region->round[block & (RECORD_REGION - 1)];
    bool is_first = *round != records.round;
    *round = records.round;
    return is_first;
}

// ---- End and fork ----------------------------------------------------------------

void lm_record_fini(void) {
    for (uint32_t i = 0; records.slabs && i < RECORD_SLABS; i++) {
        lm_memory_release(records.slabs[i], SLAB_BYTES);
    }
    size_t count = regions_bytes() / sizeof(struct region *);
    for (size_t i = 0; records.regions && i < count; i++) {
        lm_memory_release(records.regions[i], REGION_BYTES);
    }
    lm_memory_release(records.slabs, SLABS_BYTES);
    lm_memory_release(records.regions, regions_bytes());
    lm_memory_release(records.fresh, FRESH_BYTES);
    memset(&records, 0, sizeof records);
    records.end = records.round = 1;
    lm_record_used = 0;
}

void lm_record_fork_prepare(void) {
    lm_lock_acquire(&records.lock);
}

void lm_record_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&records.lock);
    } else {
        lm_lock_release(&records.lock);
    }
}
