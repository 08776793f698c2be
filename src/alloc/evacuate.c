// SPDX-License-Identifier: MIT
// evacuate.c: which blocks to empty, and copying cells.
//
// Of a kind's blocks with free cells, ordered by how full they are, the first
// are sources and the rest take what is in them: as many sources as there are
// holes for. That would move the fewest objects. But blocks are much alike, and
// then the rest lie anywhere, and keep memory of tables, and runs for large
// objects, from being free. So it only tells how full a source may be: four
// times as full as the fullest of those. Among such the highest are the sources.
//
// Targets stay where allocators find them, who may get there first; then fewer
// sources are emptied.
//
// Until a stop ends, the first word of a moved object's old cell says where it
// is now.
//
//   evacuate.1  Outside of a stop a source is waiting, kept or gone, and each
//               object is in one place.
//   evacuate.2  number[b] is not 0 just where the source of block b is waiting
//               or moved.

#include "alloc/evacuate.h"

#include "alloc/sweep.h"
#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/run.h"
#include "os/memory.h"

#include <string.h>

struct lm_evacuation lm_evacuation;

// Entered in `number` for a moment.
#define EVACUATE_DETACHED UINT32_MAX

// A block of a kind being looked at.
struct prospect {
    uint32_t block;
    uint32_t count; // objects
};

static struct {
    struct prospect *prospect;   // room for every block, twice
    size_t bytes;                // of all the tables
    uint32_t kind;               // of the target
    struct lm_free_cells target; // block 0: none
    uint32_t settled;            // sources up to this one have been
} evacuate;

// ---- Choosing ------------------------------------------------------------------

static bool kind_is_movable(const struct lm_kind *k) {
    return k->cell_bytes && (k->is_leaf || k->type->is_exact);
}

static uint32_t block_count_live(uint32_t block, const struct lm_kind *k) {
    struct lm_free_cells cells;
    lm_sweep_free_cells(block, &cells);
    return k->cell_count - cells.count;
}

static bool block_is_fixed(uint32_t block) {
    return __atomic_load_n(&lm_space.is_fixed[block], __ATOMIC_ACQUIRE);
}

// Sorts by counting: the sparsest first. `to` has room for as many.
static void prospects_sort(const struct prospect *from, struct prospect *to,
                           size_t count) {
    uint32_t place[LM_CELL_MAX_COUNT + 2] = {0};
    for (size_t i = 0; i < count; i++) {
        place[from[i].count + 1]++;
    }
    for (size_t c = 1; c <= LM_CELL_MAX_COUNT; c++) {
        place[c] += place[c - 1];
    }
    for (size_t i = 0; i < count; i++) {
        to[place[from[i].count]++] = from[i];
    }
}

// Those with at most so many objects first; else in the same order.
static void prospects_split(const struct prospect *from, struct prospect *to,
                            size_t count, size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (from[i].count <= most) {
            to[n++] = from[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (from[i].count > most) {
            to[n++] = from[i];
        }
    }
}

// How many of the prospects, in their order, to empty.
static size_t prospects_cut(const struct prospect *p, size_t count,
                            const struct lm_kind *k, unsigned percent) {
    size_t holes = 0;
    for (size_t i = 0; i < count; i++) {
        holes += k->cell_count - p[i].count;
    }
    size_t most = k->cell_count * (size_t)percent / 100;
    size_t moving = 0;
    size_t cut = 0;
    for (; cut < count && p[cut].count <= most; cut++) {
        moving += p[cut].count;
        holes -= k->cell_count - p[cut].count;
        if (moving > holes) {
            break;
        }
    }
    return cut;
}

static void source_add(uint32_t block) {
    uint32_t number = ++lm_evacuation.source_count;
    lm_evacuation.source[number] =
        (struct lm_source){.block = block, .state = LM_SOURCE_WAITING};
    lm_evacuation.number[block] = number;
}

// Takes all blocks that may be sources or targets from allocators, and links
// those of each kind, the highest first.
static void prospects_detach(uint32_t *first) {
    size_t end = lm_evacuation.word_limit >> LM_BLOCK_SHIFT;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        uint32_t b =
            kind_is_movable(&lm_kinds[kind]) ? lm_sweep_detach(kind) : 0;
        while (b) {
            uint32_t next = lm_space.next[b];
            if (b >= end || block_is_fixed(b)) {
                lm_sweep_attach(kind, b, false);
            } else {
                lm_evacuation.number[b] = EVACUATE_DETACHED;
            }
            b = next;
        }
    }
    for (uint32_t b = 1; b < end; b++) {
        if (lm_evacuation.number[b]) {
            lm_evacuation.number[b] = 0;
            uint32_t kind = lm_block_load(b).kind;
            lm_space.next[b] = first[kind];
            first[kind] = b;
        }
    }
}

static void kind_choose(uint32_t kind, uint32_t first, unsigned percent) {
    const struct lm_kind *k = &lm_kinds[kind];
    struct prospect *found = evacuate.prospect;
    size_t count = 0;
    for (uint32_t b = first; b; b = lm_space.next[b]) {
        found[count++] = (struct prospect){b, block_count_live(b, k)};
    }
    struct prospect *sorted =
        found + (lm_evacuation.word_limit >> LM_BLOCK_SHIFT);
    prospects_sort(found, sorted, count);
    size_t cut = prospects_cut(sorted, count, k, percent);
    if (cut > 0) {
        prospects_split(found, sorted, count, 4 * sorted[cut - 1].count);
        cut = prospects_cut(sorted, count, k, percent);
    }
    for (size_t i = 0; i < count; i++) {
        if (i < cut) {
            source_add(sorted[i].block);
        } else {
            lm_sweep_attach(kind, sorted[i].block, false);
        }
    }
}

static bool tables_make(void) {
    size_t blocks = lm_space_used_blocks();
    size_t each = sizeof *lm_evacuation.source + sizeof *lm_evacuation.number +
                  2 * sizeof *evacuate.prospect;
    evacuate.bytes =
        lm_round_up((blocks + 1) * each + LM_KIND_MAX * sizeof(uint32_t), 4096);
    char *table = lm_memory_map(evacuate.bytes);
    if (table == NULL) {
        return false;
    }
    lm_evacuation = (struct lm_evacuation){
        .source = (struct lm_source *)table,
        .word_limit = blocks << LM_BLOCK_SHIFT,
    };
    evacuate.prospect = (struct prospect *)(lm_evacuation.source + blocks + 1);
    lm_evacuation.number = (uint32_t *)(evacuate.prospect + 2 * blocks);
    evacuate.target.block = evacuate.settled = 0;
    return true;
}

uint32_t lm_evacuate_begin(unsigned percent) {
    if (!tables_make()) {
        return 0;
    }
    uint32_t *first =
        lm_evacuation.number + (lm_evacuation.word_limit >> LM_BLOCK_SHIFT);
    prospects_detach(first);
    for (uint32_t kind = 1; kind < LM_KIND_MAX; kind++) {
        if (first[kind]) {
            kind_choose(kind, first[kind], percent);
        }
    }
    uint32_t count = lm_evacuation.source_count;
    if (count == 0) {
        lm_evacuate_end();
    }
    return count;
}

// How many blocks of a list have at most so many objects, and how many those are.
static size_t list_weigh(const struct lm_kind *k,
                         const struct lm_block_list *list, size_t most,
                         size_t *live) {
    size_t blocks = 0;
    for (uint32_t b = list->first; b; b = lm_space.next[b]) {
        uint32_t count = block_count_live(b, k);
        blocks += count <= most;
        *live += count <= most ? count : 0;
    }
    return blocks;
}

// An estimate that needs no table: as if all objects of a kind came together.
size_t lm_evacuate_gain(unsigned percent) {
    size_t gain = 0;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        if (!kind_is_movable(k)) {
            continue;
        }
        size_t most = k->cell_count * (size_t)percent / 100;
        size_t live = 0;
        lm_lock_acquire(&k->lock);
        size_t blocks = list_weigh(k, &k->partial, most, &live) +
                        list_weigh(k, &k->passed, most, &live);
        lm_lock_release(&k->lock);
        gain += blocks - (live + k->cell_count - 1) / k->cell_count;
    }
    return gain;
}

void lm_evacuate_keep(uint32_t number) {
    struct lm_source *s = &lm_evacuation.source[number];
    s->state = LM_SOURCE_KEPT;
    lm_evacuation.number[s->block] = 0;
}

void lm_evacuate_end(void) {
    if (lm_evacuation.source == NULL) {
        return;
    }
    for (uint32_t n = 1; n <= lm_evacuation.source_count; n++) {
        const struct lm_source *s = &lm_evacuation.source[n];
        if (s->state != LM_SOURCE_GONE) {
            lm_sweep_attach(lm_block_load(s->block).kind, s->block, false);
        }
    }
    lm_memory_release(lm_evacuation.source, evacuate.bytes);
    lm_evacuation.source = NULL;
    lm_evacuation.word_limit = 0;
}

// ---- Moving --------------------------------------------------------------------

static void target_close(void) {
    if (evacuate.target.block) {
        lm_sweep_attach(evacuate.kind, evacuate.target.block, true);
        evacuate.target.block = 0;
    }
}

static void target_open(uint32_t kind) {
    evacuate.kind = kind;
    uint32_t block = lm_sweep_detach_one(kind);
    if (block) {
        lm_sweep_free_cells(block, &evacuate.target);
    }
}

// Whether the target and the blocks that may follow it have so many holes.
static bool target_has_room(const struct lm_kind *k, size_t count) {
    size_t room = evacuate.target.block ? evacuate.target.count : 0;
    for (uint32_t b = k->partial.first; b && room < count;
         b = lm_space.next[b]) {
        room += k->cell_count - block_count_live(b, k);
    }
    return room >= count;
}

// A free cell, allocated now. There is one.
static uintptr_t target_take(const struct lm_kind *k) {
    struct lm_free_cells *t = &evacuate.target;
    if (t->block == 0 || t->count == 0) {
        target_close();
        target_open((uint32_t)(k - lm_kinds));
    }
    unsigned i = 0;
    while (t->word[i] == 0) {
        i++;
    }
    unsigned bit = lm_bits_first(t->word[i]);
    t->word[i] &= t->word[i] - 1;
    t->count--;
    lm_space.bits[t->block].pair[i][lm_space.live] |= (uint64_t)1 << bit;
    return (uintptr_t)lm_space_address(t->block) +
           ((size_t)i * 64 + bit) * k->cell_bytes;
}

bool lm_evacuate_move(uint32_t number) {
    struct lm_source *s = &lm_evacuation.source[number];
    uint32_t kind = lm_block_load(s->block).kind;
    const struct lm_kind *k = &lm_kinds[kind];
    if (kind != evacuate.kind) {
        target_close();
        evacuate.kind = kind;
    }
    size_t count = block_count_live(s->block, k);
    if (block_is_fixed(s->block) || !target_has_room(k, count)) {
        lm_evacuate_keep(number);
        return false;
    }
    uintptr_t start = (uintptr_t)lm_space_address(s->block);
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        uint64_t live = lm_space.bits[s->block].pair[i][lm_space.live];
        for (; live; live &= live - 1) {
            size_t cell = i * 64u + lm_bits_first(live);
            uintptr_t from = start + cell * k->cell_bytes;
            uintptr_t to = target_take(k);
            memcpy((void *)to, (void *)from, k->cell_bytes); // NOLINT
            *(uintptr_t *)from = to;                         // NOLINT
        }
    }
    s->state = LM_SOURCE_MOVED;
    lm_evacuation.moved_count += count;
    lm_evacuation.moved_bytes += count * k->cell_bytes;
    return true;
}

uintptr_t lm_evacuate_forward(uintptr_t word) {
    uint32_t number = lm_evacuate_find(word);
    struct lm_object o;
    if (number == 0 || lm_evacuation.source[number].state != LM_SOURCE_MOVED ||
        !lm_find(word, &o)) {
        return word;
    }
    return *(const uintptr_t *)o.start + (word - o.start); // NOLINT
}

static void source_settle(struct lm_source *s) {
    uint64_t(*pair)[2] = lm_space.bits[s->block].pair;
    enum lm_zone zone = lm_kind_zone(&lm_kinds[lm_block_load(s->block).kind]);
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        pair[i][0] = pair[i][1] = 0;
    }
    s->state = LM_SOURCE_GONE;
    lm_evacuation.number[s->block] = 0;
    lm_evacuation.emptied++;
    lm_run_give(s->block, 1, zone);
}

void lm_evacuate_settle(void) {
    target_close();
    for (uint32_t n = evacuate.settled + 1; n <= lm_evacuation.source_count;
         n++) {
        struct lm_source *s = &lm_evacuation.source[n];
        if (s->state == LM_SOURCE_WAITING) {
            break;
        }
        if (s->state == LM_SOURCE_MOVED) {
            source_settle(s);
        }
        evacuate.settled = n;
    }
}
