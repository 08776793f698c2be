// SPDX-License-Identifier: MIT
// marker.c: the loops that marking spends its time in.
//
// The stack holds words, not objects: a word is resolved, marked and its
// object scanned when it is popped. So the two cache misses of an object, its
// bits and its contents, come at one place, and both can be asked for early:
// in a large heap popped words wait in a queue of 8 while their lines are on
// the way. (In a heap that fits the cache the queue costs nothing that could be
// measured, so there is one loop and not two.)
//
//      scan --push--> stack --pop--> [queue: prefetch] --> mark --> scan
//
// Fields are pushed last first, so that they are popped in address order; the
// other order runs against the processor's own prefetching (measured up to 10
// times slower on lists).
//
//   marker.1  An object is scanned once for each time its mark bit is set.
//   marker.2  A word that did not fit the stack belongs to an object whose
//             block is flagged LM_BLOCK_RESCAN.

#include "mark/marker.h"

#include <loam/heap.h>

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/freed.h"
#include "mark/phase.h"
#include "mark/rescan.h"
#include "mark/scan.h"
#include "mark/share.h"
#include "mark/view.h"
#include "os/machine.h"
#include "os/memory.h"

#include <string.h>

#define WORD sizeof(uintptr_t)

// Popped words on their way. As many as the first-level cache has ways: with 16
// the places of a tree of powers of two, which is many a tree, fall on the same
// lines of the cache, and collecting 1 GiB of it took twice as long.
#define MARKER_QUEUE 8

#define MARKER_COUNT_BYTES (2 * LM_KIND_MAX * sizeof(uint64_t))

// ---- Beginning and end -----------------------------------------------------------

bool lm_marker_init(struct loam_marker *m) {
    memset(m, 0, sizeof *m);
    m->count = lm_memory_map(MARKER_COUNT_BYTES);
    m->large_bytes = m->count ? m->count + LM_KIND_MAX : NULL;
    return m->count != NULL;
}

void lm_marker_fini(struct loam_marker *m) {
    if (m->count) {
        lm_memory_release(m->count, MARKER_COUNT_BYTES);
    }
    m->count = NULL;
}

bool lm_marker_begin(struct loam_marker *m, struct lm_chunk *chunk) {
    chunk = chunk ? chunk : lm_chunk_new();
    m->has_lost = false;
    if (chunk == NULL) {
        return false;
    }
    lm_stack_set(m, chunk);
    return true;
}

void lm_marker_end(struct loam_marker *m) {
    lm_chunk_free(m->chunk);
    m->chunk = NULL;
}

bool lm_marker_is_empty(const struct loam_marker *m) {
    return m->top == m->bottom;
}

void lm_marker_offer(struct loam_marker *m) {
    m->chunk->count = lm_stack_count(m);
    lm_share_offer(m->chunk);
    m->chunk = NULL;
}

bool lm_marker_is_kept(uintptr_t start) {
    struct lm_object object;
    return lm_find_cell(start, &object) && lm_phase_keeps(&object);
}

// ---- Marking -------------------------------------------------------------------

// A word that has been resolved to the cell it points at or into.
struct edge {
    uintptr_t block_start;
    uint64_t *mark; // the word of its mark bit
    uint64_t cell;
    uint64_t kind;
};
_Static_assert(sizeof(struct edge) == 32, "a place in the queue is a shift");

// A pair of words is aligned to its size, so the other side of one is an
// address bit away.
static inline uint64_t *other_side(uint64_t *mark) {
    return (uint64_t *)((uintptr_t)mark ^ sizeof *mark); // NOLINT
}

// A pointer into the body of a large object, or to a free block.
static __attribute__((noinline)) bool edge_resolve_run(uintptr_t word,
                                                       const struct lm_view *v,
                                                       struct edge *edge) {
    size_t block = (word - v->in.base) >> LM_BLOCK_SHIFT;
    struct lm_block entry = lm_block_head(&block);
    if (entry.state != LM_BLOCK_HEAD ||
        (entry.flags & v->flag_mask) != v->flag_want) {
        return false;
    }
    *edge = (struct edge){v->in.base + (block << LM_BLOCK_SHIFT),
                          v->bits[block][0], 0, entry.kind};
    return true;
}

// Fills in the edge and asks for what edge_follow will look at; false where there
// is no cell.
static inline bool edge_resolve(uintptr_t word, const struct lm_view *v,
                                struct edge *edge) {
    uintptr_t offset = word - v->in.base;
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = lm_view_entry(&v->block[block], __ATOMIC_RELAXED);
    if (lm_unlikely(entry.state != LM_BLOCK_CELLS)) {
        return edge_resolve_run(word, v, edge);
    }
    if ((entry.flags & v->flag_mask) != v->flag_want) {
        return false;
    }
    uint64_t inside = offset & (LM_BLOCK_BYTES - 1);
    uint64_t cell = (inside * entry.scale) >> 32;
    edge->cell = cell;
    edge->kind = entry.kind;
    edge->mark = v->bits[block][cell / 64];
    edge->block_start = word - inside;
    lm_machine_prefetch_write(edge->mark);
    __builtin_prefetch(lm_words_at(word));
    return true;
}

// Marks the object; false when it was marked before, or is none.
static inline bool edge_mark(const struct edge *edge, bool is_parallel) {
    uint64_t *mark = edge->mark;
    uint64_t bit = (uint64_t)1 << (edge->cell % 64);
    // Relaxed: a mark orders nothing; objects were written before the stop, or
    // their pages will be found written.
    uint64_t word = __atomic_load_n(mark, __ATOMIC_RELAXED);
    uint64_t live = __atomic_load_n(other_side(mark), __ATOMIC_RELAXED);
    if ((word & bit) || !(live & bit)) {
        return false;
    }
    if (is_parallel) {
        return !(__atomic_fetch_or(mark, bit, __ATOMIC_RELAXED) & bit);
    }
    __atomic_store_n(mark, word | bit, __ATOMIC_RELAXED);
    return true;
}

// Marks and scans. The common shapes are scanned here, where the stack has
// room for all the words there are: a store that is kept only if the word may
// be a pointer needs no branch.
LM_NO_SANITIZE static inline void edge_follow(struct loam_marker *m,
                                              const struct lm_view *v,
                                              const struct edge *edge) {
    if (!edge_mark(edge, m->is_parallel)) {
        return;
    }
    const struct lm_scan *scan = &v->scans[edge->kind];
    v->count[edge->kind]++;
    uint32_t shape = scan->shape;
    size_t bytes = scan->cell_bytes;
    if (v->on_mark) {
        v->on_mark(m, edge->block_start + edge->cell * bytes);
    }
    if (lm_unlikely(bytes == 0)) {
        m->large_bytes[edge->kind] +=
            lm_space.large_bytes[lm_space_block_of(edge->block_start)];
    }
    if (shape == LM_SHAPE_LEAF) {
        return;
    }
    uintptr_t start = edge->block_start + edge->cell * bytes;
    const uintptr_t *words = lm_words_at(start);
    uintptr_t *top = m->top;
    uintptr_t base = v->in.base;
    size_t span = v->in.bytes;
    if (lm_likely(shape == LM_SHAPE_MASK && m->limit - top >= 64)) {
        for (uint64_t mask = scan->pointer_mask; mask; mask &= mask - 1) {
            uintptr_t word = words[63 - lm_bits_first(mask)];
            *top = word;
            top += word - base < span;
        }
        m->top = top;
    } else if (shape == LM_SHAPE_WORDS &&
               m->limit - top >= (ptrdiff_t)(bytes / WORD)) {
        for (size_t i = bytes / WORD; i-- > 0;) {
            uintptr_t word = words[i];
            *top = word;
            top += word - base < span;
        }
        m->top = top;
    } else {
        lm_scan_object(m, v->in, start, &lm_kinds[edge->kind]);
    }
}

// So many young blocks are looked at before work is offered: a helper that has to be
// woken up for less, and waited for, makes a minor collection longer.
#define MARKER_YOUNG_BLOCKS 64

// An entry that is no word. Returns for how many words it counts until work is
// offered and the clock looked at.
static __attribute__((noinline)) unsigned entry_scan(struct loam_marker *m,
                                                     struct lm_bounds in,
                                                     uintptr_t entry) {
    if (entry & LM_ENTRY_SLICE) {
        lm_scan_slice(m, in, entry);
        return 1;
    }
    lm_rescan_entry(m, entry);
    return entry & LM_ENTRY_YOUNG ? LM_MARK_LOOK_WORDS / MARKER_YOUNG_BLOCKS + 1
                                  : LM_MARK_LOOK_WORDS;
}

// Marks all that is reachable from the chunk's entries. A popped word's bits
// and object are asked for, and the word that has waited longest is followed:
// once the queue is full, or there is nothing to pop.
static void marker_run(struct loam_marker *m) {
    const struct lm_view v = lm_view_get(m);
    struct edge queue[MARKER_QUEUE];
    size_t first = 0; // has waited longest
    size_t count = 0;
    unsigned look = LM_MARK_LOOK_WORDS;
    bool is_leaving = false;
    for (;;) {
        bool is_empty = m->top == m->bottom || is_leaving;
        if (count == MARKER_QUEUE || (is_empty && count > 0)) {
            edge_follow(m, &v, &queue[first]);
            first = (first + 1) % MARKER_QUEUE;
            count--;
            is_empty = m->top == m->bottom || is_leaving;
        }
        if (lm_unlikely(is_empty)) {
            if (count == 0) {
                break;
            }
            continue;
        }
        uintptr_t word = *--m->top;
        unsigned words = 1;
        if (lm_unlikely(word & (LM_ENTRY_SLICE | LM_ENTRY_PAGES))) {
            words = entry_scan(m, v.in, word);
        } else {
            struct edge *edge = &queue[(first + count) % MARKER_QUEUE];
            count += edge_resolve(word, &v, edge);
        }
        if (lm_likely(look > words)) {
            look -= words;
        } else {
            look = LM_MARK_LOOK_WORDS;
            lm_stack_split(m);
            is_leaving = lm_phase_is_over();
        }
    }
}

void lm_marker_drain(struct loam_marker *m) {
    for (;;) {
        marker_run(m);
        if (m->top != m->bottom || lm_phase_is_over()) {
            return;
        }
        struct lm_chunk *chunk = lm_share_take();
        if (chunk == NULL) {
            return;
        }
        lm_chunk_free(m->chunk);
        lm_stack_set(m, chunk);
    }
}

// ---- Roots ---------------------------------------------------------------------

// A word at the very end of an object may be all that is left of the pointers
// to it: compilers keep "one past the end" and count up from below. So it keeps
// the object that ends there, as well as one that may start there. Not so for
// single objects of a described type: nobody counts up through those, and a
// pointer to the next one would keep it, and all it refers to, for nothing.
static void root_end(struct loam_marker *m, uintptr_t word) {
    struct lm_object object;
    if (word % 16 == 0 && lm_space_has(word - 1) &&
        lm_find_cell(word - 1, &object) && lm_kinds[object.kind].has_ends &&
        lm_kinds[object.kind].cell_bytes &&
        object.start + lm_kinds[object.kind].cell_bytes == word &&
        (m->spill || !lm_phase_keeps(&object))) {
        lm_stack_push(m, word - 1);
    }
}

// Nothing of a root may be lost: it could not be scanned again. So there is
// room for its two words before they are pushed. A marker that is to leave does
// only a little at a time.
static void root_make_room(struct loam_marker *m) {
    while (lm_unlikely(m->limit - m->top < 2) && !lm_stack_grow(m)) {
        m->has_lost = false; // nothing is: there will be room
        m->is_parallel |= lm_phase.is_concurrent;
        marker_run(m);
    }
}

void lm_marker_root(struct loam_marker *m, uintptr_t word) {
    root_make_room(m);
    if (lm_space_has(word)) {
        lm_stack_push(m, word);
    }
}

// A thread may have been stopped in the middle of loam_slot_claim_, when the only
// trace of its object is a slot's word: an address with a count above it.
#define MARKER_ADDRESS_MASK (((uintptr_t)1 << LOAM_STRETCH_SHIFT_) - 1)

void lm_marker_ambiguous(struct loam_marker *m, uintptr_t word) {
    word &= MARKER_ADDRESS_MASK;
    lm_marker_root(m, word);
    root_end(m, word);
}

// A root, and what says whether that is kept already which it leads to, as nearly
// all is in each stop that may be the last one of a marking; or NULL.
struct root {
    uintptr_t word;
    const uint64_t *bits;
    uint8_t bit;
};

// So many bits are asked for before the first is looked at, as in lines_open.
#define ROOTS_MAX 64

static struct root root_ask(const struct lm_view *v, uintptr_t word) {
    struct root root = {word, NULL, 0};
    uintptr_t offset = word - v->in.base;
    if (offset < v->in.bytes) {
        root.bits = lm_view_ask(v, offset, &root.bit);
    }
    return root;
}

static void roots_push(struct loam_marker *m, const struct root *root,
                       size_t count, bool has_ends) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t *bits = root[i].bits;
        uint64_t kept = bits ? __atomic_load_n(bits, __ATOMIC_RELAXED) : 0;
        if (m->spill || !((kept >> root[i].bit) & 1)) {
            lm_marker_root(m, root[i].word);
        }
        if (has_ends) {
            root_make_room(m);
            root_end(m, root[i].word);
        }
    }
}

LM_NO_SANITIZE void lm_marker_range(struct loam_marker *m, uintptr_t start,
                                    uintptr_t end, bool has_ends) {
    struct root root[ROOTS_MAX];
    size_t count = 0;
    const struct lm_view v = lm_view_get(m);
    uintptr_t mask = has_ends ? MARKER_ADDRESS_MASK : ~(uintptr_t)0;
    // One more, for a pointer just past the last block.
    size_t bytes = v.in.bytes + 1;
    start = lm_round_up(start, WORD);
    for (; start + WORD <= end; start += WORD) {
        uintptr_t word = *(const volatile uintptr_t *)start & mask; // NOLINT
        if (word - v.in.base < bytes) {
            root[count++] = root_ask(&v, word);
        }
        if (count == ROOTS_MAX) {
            roots_push(m, root, count, has_ends);
            count = 0;
        }
    }
    roots_push(m, root, count, has_ends);
}

bool lm_marker_try(struct loam_marker *m, uintptr_t word) {
    struct lm_bounds in = lm_bounds_get();
    if (word - in.base >= in.bytes) {
        return true;
    }
    bool has_lost = m->has_lost;
    if (m->top == m->limit && !lm_stack_grow(m)) {
        m->has_lost = has_lost;
        return false;
    }
    *m->top++ = word;
    return true;
}

void lm_marker_inside(struct loam_marker *m, uintptr_t start) {
    struct lm_object object;
    if (lm_find_cell(start, &object) && !lm_kinds[object.kind].is_leaf) {
        m->is_recovering = true; // done again until nothing is lost
        lm_scan_object(m, lm_bounds_get(), start, &lm_kinds[object.kind]);
        m->is_recovering = false;
    }
}

void lm_marker_push(struct loam_marker *m, uintptr_t word) {
    lm_scan_word(m, word);
}

// ---- Overflow and checking -----------------------------------------------------

// Calls fn for each marked object of a block that has something to scan.
typedef void marked_fn(struct loam_marker *m, uintptr_t start,
                       const struct lm_kind *kind, void *argument);

static void block_each_marked(struct loam_marker *m, size_t block,
                              marked_fn *fn, void *argument) {
    struct lm_block entry = lm_block_load(block);
    const struct lm_kind *k = &lm_kinds[entry.kind];
    unsigned side = lm_phase_side(entry);
    bool is_run = entry.state == LM_BLOCK_HEAD;
    if ((entry.state != LM_BLOCK_CELLS && !is_run) || k->is_leaf) {
        return;
    }
    for (unsigned i = 0; i < (is_run ? 1u : k->cell_count); i++) {
        if ((lm_space.bits[block].pair[i / 64][side] >> (i % 64)) & 1) {
            fn(m,
               (uintptr_t)lm_space_address(block) + (size_t)i * k->cell_bytes,
               k, argument);
        }
    }
}

static void object_rescan(struct loam_marker *m, uintptr_t start,
                          const struct lm_kind *k, void *unused) {
    (void)unused;
    // Also while its slices are scanned: what is done would fill the stack again
    // and again.
    m->is_recovering = true;
    lm_scan_object(m, lm_bounds_get(), start, k);
    lm_marker_drain(m);
    m->is_recovering = false;
}

void lm_marker_recover(struct loam_marker *m) {
    while (lm_scan_take_lost()) {
        for (size_t b = 1; b < lm_space_used_blocks(); b++) {
            if (lm_space.block[b].flags & LM_BLOCK_RESCAN) {
                lm_space.block[b].flags &= (uint8_t)~LM_BLOCK_RESCAN;
                block_each_marked(m, b, object_rescan, NULL);
            }
        }
    }
}

// What lm_marker_each_word calls, and with what.
struct looking {
    lm_word_fn *fn;
    void *argument;
};

static void children_look(struct loam_marker *m, uintptr_t holder,
                          const struct looking *l) {
    while (m->top > m->bottom) {
        uintptr_t word = *--m->top;
        if (word & LM_ENTRY_SLICE) {
            lm_scan_slice(m, lm_bounds_get(), word);
        } else {
            l->fn(holder, word, l->argument);
        }
    }
}

// Children that do not fit the stack are passed over.
static void object_look(struct loam_marker *m, uintptr_t start,
                        const struct lm_kind *k, void *argument) {
    struct lm_chunk *chunk;
    lm_scan_object(m, lm_bounds_get(), start, k);
    children_look(m, start, argument);
    while ((chunk = lm_share_take()) != NULL) {
        lm_chunk_free(m->chunk);
        lm_stack_set(m, chunk);
        children_look(m, start, argument);
    }
}

void lm_marker_each_word(struct loam_marker *m, lm_word_fn *fn,
                         void *argument) {
    struct looking looking = {fn, argument};
    for (size_t b = 1; b < lm_space_used_blocks(); b++) {
        block_each_marked(m, b, object_look, &looking);
        lm_space.block[b].flags &= (uint8_t)~LM_BLOCK_RESCAN;
    }
}

// A word that leads to no object outlived one that was freed by hand, or is
// chance: either way what comes there next is not what it means.
static void word_check(uintptr_t holder, uintptr_t word, void *unused) {
    struct lm_object child;
    (void)holder;
    (void)unused;
    if (!lm_phase_find(word, &child)) {
        lm_freed_note(word, 1);
    } else {
        LM_CHECK(1, lm_phase_keeps(&child) || lm_freed_has(word),
                 "marker.3 what a marked object refers to is marked");
    }
}

void lm_marker_check(struct loam_marker *m) {
    if (!lm_phase.is_minor && !lm_space.is_marking) {
        lm_freed_forget(); // all that is marked was looked at in this stop
    }
    lm_marker_each_word(m, word_check, NULL);
}
