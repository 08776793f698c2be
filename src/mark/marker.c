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
#include "mark/share.h"
#include "os/machine.h"
#include "os/memory.h"

#include <string.h>

#define WORD sizeof(uintptr_t)

// Popped words on their way. As many as the first-level cache has ways: with 16
// the places of a tree of powers of two, which is many a tree, fall on the same
// lines of the cache, and collecting 1 GiB of it took twice as long.
#define MARKER_QUEUE 8

// An entry with the highest bit set is a slice of a large object:
// bits 32 to 62 are its block, bits 0 to 31 which slice.
#define MARKER_SLICE ((uintptr_t)1 << 63)

#define MARKER_COUNT_BYTES (LM_KIND_MAX * sizeof(uint64_t))

bool lm_marker_init(struct loam_marker *m) {
    memset(m, 0, sizeof *m);
    m->count = lm_memory_map(MARKER_COUNT_BYTES);
    return m->count != NULL;
}

void lm_marker_fini(struct loam_marker *m) {
    if (m->count) {
        lm_memory_release(m->count, MARKER_COUNT_BYTES);
    }
    m->count = NULL;
}

// ---- The stack -----------------------------------------------------------------

static void stack_set(struct loam_marker *m, struct lm_chunk *chunk) {
    m->chunk = chunk;
    m->bottom = chunk->entry;
    m->top = chunk->entry + chunk->count;
    m->limit = chunk->entry + LM_CHUNK_ENTRIES;
}

static size_t stack_count(const struct loam_marker *m) {
    return (size_t)(m->top - m->bottom);
}

bool lm_marker_begin(struct loam_marker *m, struct lm_chunk *chunk) {
    chunk = chunk ? chunk : lm_chunk_new();
    m->has_lost = false;
    if (chunk == NULL) {
        return false;
    }
    stack_set(m, chunk);
    return true;
}

void lm_marker_end(struct loam_marker *m) {
    lm_chunk_free(m->chunk);
    m->chunk = NULL;
}

static void stack_offer(struct loam_marker *m, struct lm_chunk *chunk) {
    m->is_parallel = m->has_company;
    lm_share_offer(chunk);
}

// A fresh chunk, the full one going on offer.
static bool stack_grow(struct loam_marker *m) {
    struct lm_chunk *chunk = lm_chunk_new();
    if (chunk == NULL) {
        m->has_lost = true;
        return false;
    }
    m->chunk->count = stack_count(m);
    stack_offer(m, m->chunk);
    stack_set(m, chunk);
    return true;
}

static inline void stack_push(struct loam_marker *m, uintptr_t entry) {
    if (lm_likely(m->top < m->limit) || stack_grow(m)) {
        *m->top++ = entry;
    }
}

// Gives the oldest half away, if somebody can use it.
static void stack_split(struct loam_marker *m) {
    size_t count = stack_count(m);
    if (count < LM_MARK_SPLIT_ENTRIES || !lm_share_is_hungry()) {
        return;
    }
    struct lm_chunk *other = lm_chunk_new();
    if (other == NULL) {
        return;
    }
    size_t half = count / 2;
    memcpy(other->entry, m->chunk->entry, half * WORD);
    other->count = half;
    memmove(m->chunk->entry, m->chunk->entry + half, (count - half) * WORD);
    m->top -= half;
    stack_offer(m, other);
}

// ---- Scanning -------------------------------------------------------------------

struct bounds {
    uintptr_t base;
    size_t bytes;
};

static inline struct bounds bounds_get(void) {
    return (struct bounds){lm_space.base,
                           __atomic_load_n(&lm_space.bytes, __ATOMIC_RELAXED)};
}

static inline const uintptr_t *words_at(uintptr_t address) {
    return (const uintptr_t *)address; // NOLINT: an address of the heap
}

// Whether pushing a word again would be for nothing. Asked only when objects
// are scanned once more, so that each time more of them fits the stack.
static bool word_is_done(uintptr_t word) {
    struct lm_object object;
    return !lm_find(word, &object) || lm_find_bit(&object, 1 - lm_space.live);
}

// Pushes a word if it may point into the heap.
static inline void scan_word(struct loam_marker *m, struct bounds in,
                             uintptr_t word) {
    if (word - in.base < in.bytes &&
        !(lm_unlikely(m->is_recovering) && word_is_done(word))) {
        stack_push(m, word);
    }
}

// The words that a row of spans names in one repetition, last first.
LM_NO_SANITIZE static void scan_spans(struct loam_marker *m, struct bounds in,
                                      uintptr_t at, const struct lm_span *spans,
                                      size_t count) {
    for (size_t i = count; i-- > 0;) {
        const uintptr_t *words = words_at(at + spans[i].offset_bytes);
        for (size_t j = spans[i].word_count; j-- > 0;) {
            scan_word(m, in, words[j]);
        }
    }
}

// A row of words that may all be pointers, last first. Most are not, so four at
// a time are dismissed with one branch.
LM_NO_SANITIZE static void scan_row(struct loam_marker *m, struct bounds in,
                                    const uintptr_t *words, size_t count) {
    for (; count % 4 != 0; count--) {
        scan_word(m, in, words[count - 1]);
    }
    for (; count > 0; count -= 4) {
        const uintptr_t *w = words + count - 4;
        bool any = (w[0] - in.base < in.bytes) | (w[1] - in.base < in.bytes) |
                   (w[2] - in.base < in.bytes) | (w[3] - in.base < in.bytes);
        if (any) {
            scan_word(m, in, w[3]);
            scan_word(m, in, w[2]);
            scan_word(m, in, w[1]);
            scan_word(m, in, w[0]);
        }
    }
}

// The repetitions [first, last) of a layout's pattern.
LM_NO_SANITIZE static void scan_repeats(struct loam_marker *m, struct bounds in,
                                        uintptr_t start,
                                        const struct lm_layout *layout,
                                        size_t first, size_t last) {
    size_t stride = layout->repeat_stride_bytes;
    uintptr_t at = start + layout->repeat_start_bytes + last * stride;
    if (stride == WORD) {
        size_t count = last - first;
        scan_row(m, in, words_at(at - count * WORD), count);
        return;
    }
    for (size_t n = last - first; n > 0; n--) {
        at -= stride;
        scan_spans(m, in, at, layout->repeat, layout->repeat_count);
    }
}

static size_t repeat_count(const struct lm_layout *layout, size_t bytes) {
    return layout->repeat_count == 0 || bytes < layout->repeat_start_bytes
               ? 0
               : (bytes - layout->repeat_start_bytes) /
                     layout->repeat_stride_bytes;
}

// Whether any block was flagged since the last recovery; atomic.
static bool marker_has_flags;

static void block_flag_rescan(struct loam_marker *m, size_t block) {
    m->has_lost = false;
    __atomic_store_n(&marker_has_flags, true, __ATOMIC_RELAXED);
    // Relaxed: read after all markers have met.
    __atomic_fetch_or(&lm_space.block[block].flags, LM_BLOCK_RESCAN,
                      __ATOMIC_RELAXED);
}

// One slice of a large object; the rest goes back on the stack first, where
// others can take it.
static void scan_slice(struct loam_marker *m, struct bounds in,
                       uintptr_t entry) {
    size_t block = (entry & ~MARKER_SLICE) >> 32;
    size_t slice = (uint32_t)entry;
    const struct lm_layout *layout = lm_kinds[lm_block_load(block).kind].layout;
    uintptr_t start = (uintptr_t)lm_space_address(block);
    size_t count = repeat_count(layout, lm_space.large_bytes[block]);
    size_t each =
        layout->repeat_count ? LM_SLICE_BYTES / layout->repeat_stride_bytes : 0;
    each = each ? each : 1;
    size_t first = slice * each;
    size_t last = count - first < each ? count : first + each;
    if (last < count) {
        stack_push(m, entry + 1);
    }
    if (first < last) {
        scan_repeats(m, in, start, layout, first, last);
    }
    if (slice == 0) {
        scan_spans(m, in, start, layout->fixed, layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, block);
    }
}

// Any object, one word at a time.
static __attribute__((noinline)) void scan_object(struct loam_marker *m,
                                                  struct bounds in,
                                                  uintptr_t start,
                                                  const struct lm_kind *k) {
    const struct lm_layout *layout = k->layout;
    size_t block = (start - in.base) >> LM_BLOCK_SHIFT;
    size_t bytes = k->cell_bytes ? k->cell_bytes : lm_space.large_bytes[block];
    if (layout->mark) {
        layout->mark(m, words_at(start), bytes);
    } else if (k->cell_bytes == 0) {
        scan_slice(m, in, MARKER_SLICE | block << 32);
    } else {
        scan_repeats(m, in, start, layout, 0, repeat_count(layout, bytes));
        scan_spans(m, in, start, layout->fixed, layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, block);
    }
}

// ---- Marking -------------------------------------------------------------------

// What the loop needs of the tables, which do not change while it runs: kept
// apart from them, so that the compiler need not read it again after each
// store.
struct view {
    struct bounds in;
    const struct lm_block *block;
    uint64_t (*bits)[LM_CELL_WORDS][2]; // from the mark side on
    const struct lm_scan *scans;
    uint64_t *count;
};

// A word that has been resolved to the cell it points at or into.
struct edge {
    uintptr_t block_start; // 0: none
    uint64_t *mark;        // the word of its mark bit
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
static __attribute__((noinline)) void edge_resolve_run(uintptr_t word,
                                                       const struct view *v,
                                                       struct edge *edge) {
    size_t block = (word - v->in.base) >> LM_BLOCK_SHIFT;
    struct lm_block entry = lm_block_load(block);
    if (entry.state == LM_BLOCK_BODY) {
        block -= entry.scale;
        entry = lm_block_load(block);
    }
    if (entry.state != LM_BLOCK_HEAD) {
        return;
    }
    *edge = (struct edge){v->in.base + (block << LM_BLOCK_SHIFT),
                          v->bits[block][0], 0, entry.kind};
}

// Fills in the edge, which stays empty where there is no cell, and asks for
// what edge_follow will look at.
static inline void edge_resolve(uintptr_t word, const struct view *v,
                                struct edge *edge) {
    uintptr_t offset = word - v->in.base;
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = v->block[block];
    if (lm_unlikely(entry.state != LM_BLOCK_CELLS)) {
        edge_resolve_run(word, v, edge);
        return;
    }
    uint64_t inside = offset & (LM_BLOCK_BYTES - 1);
    uint64_t cell = (inside * entry.scale) >> 32;
    edge->cell = cell;
    edge->kind = entry.kind;
    edge->mark = v->bits[block][cell / 64];
    edge->block_start = word - inside;
    lm_machine_prefetch_write(edge->mark);
    __builtin_prefetch(words_at(word));
}

// Marks the object; false when it was marked before, or is none.
static inline bool edge_mark(const struct edge *edge, bool is_parallel) {
    uint64_t *mark = edge->mark;
    uint64_t bit = (uint64_t)1 << (edge->cell % 64);
    // Relaxed: a mark orders nothing; objects were written before the stop.
    uint64_t word = __atomic_load_n(mark, __ATOMIC_RELAXED);
    if ((word & bit) || !(*other_side(mark) & bit)) {
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
                                              const struct view *v,
                                              const struct edge *edge) {
    if (!edge_mark(edge, m->is_parallel)) {
        return;
    }
    const struct lm_scan *scan = &v->scans[edge->kind];
    v->count[edge->kind]++;
    uint32_t shape = scan->shape;
    size_t bytes = scan->cell_bytes;
    if (shape == LM_SHAPE_LEAF) {
        return;
    }
    uintptr_t start = edge->block_start + edge->cell * bytes;
    const uintptr_t *words = words_at(start);
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
        scan_object(m, v->in, start, &lm_kinds[edge->kind]);
    }
}

// Marks all that is reachable from the chunk's entries. A popped word's bits
// and object are asked for, and the word that has waited longest is followed;
// once the stack is empty the queue is.
static void marker_run(struct loam_marker *m) {
    const struct view v = {bounds_get(), lm_space.block,
                           (uint64_t(*)[LM_CELL_WORDS][2]) &
                               lm_space.bits->pair[0][1 - lm_space.live],
                           lm_scans, m->count};
    struct edge queue[MARKER_QUEUE] = {{0, NULL, 0, 0}};
    size_t at = 0;
    unsigned empty = 0; // empty places met since the stack was empty
    unsigned look = LM_MARK_LOOK_WORDS;
    while (empty <= MARKER_QUEUE) {
        struct edge *edge = &queue[at];
        at = (at + 1) % MARKER_QUEUE;
        if (edge->block_start) {
            edge_follow(m, &v, edge);
            edge->block_start = 0;
        }
        if (lm_unlikely(m->top == m->bottom)) {
            empty++;
            continue;
        }
        uintptr_t word = *--m->top;
        empty = 0;
        if (lm_unlikely(word & MARKER_SLICE)) {
            scan_slice(m, v.in, word);
        } else {
            edge_resolve(word, &v, edge);
        }
        if (lm_unlikely(--look == 0)) {
            look = LM_MARK_LOOK_WORDS;
            stack_split(m);
        }
    }
}

void lm_marker_drain(struct loam_marker *m) {
    for (;;) {
        marker_run(m);
        struct lm_chunk *chunk = lm_share_take();
        if (chunk == NULL) {
            return;
        }
        lm_chunk_free(m->chunk);
        stack_set(m, chunk);
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
        object.start + lm_kinds[object.kind].cell_bytes == word) {
        stack_push(m, word - 1);
    }
}

// Nothing of a root may be lost: it could not be scanned again. So there is
// room for its two words before they are pushed.
static void root_make_room(struct loam_marker *m) {
    if (lm_unlikely(m->limit - m->top < 2)) {
        marker_run(m);
    }
}

void lm_marker_root(struct loam_marker *m, uintptr_t word) {
    root_make_room(m);
    if (lm_space_has(word)) {
        stack_push(m, word);
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

LM_NO_SANITIZE void lm_marker_range(struct loam_marker *m, uintptr_t start,
                                    uintptr_t end, bool has_ends) {
    start = lm_round_up(start, WORD);
    uintptr_t base = lm_space.base;
    uintptr_t mask = has_ends ? MARKER_ADDRESS_MASK : ~(uintptr_t)0;
    // One more, for a pointer just past the last block.
    size_t bytes = lm_space.bytes + 1;
    for (; start + WORD <= end; start += WORD) {
        uintptr_t word = *(const volatile uintptr_t *)start & mask; // NOLINT
        if (word - base < bytes) {
            lm_marker_root(m, word);
            if (has_ends) {
                root_end(m, word);
            }
        }
    }
}

void lm_marker_push(struct loam_marker *m, uintptr_t word) {
    scan_word(m, bounds_get(), word);
}

// ---- Overflow and checking -----------------------------------------------------

// Calls fn for each marked object of a block that has something to scan.
static void block_each_marked(struct loam_marker *m, size_t block,
                              void (*fn)(struct loam_marker *, uintptr_t,
                                         const struct lm_kind *)) {
    struct lm_block entry = lm_block_load(block);
    const struct lm_kind *k = &lm_kinds[entry.kind];
    unsigned side = 1 - lm_space.live;
    bool is_run = entry.state == LM_BLOCK_HEAD;
    if ((entry.state != LM_BLOCK_CELLS && !is_run) || k->is_leaf) {
        return;
    }
    for (unsigned i = 0; i < (is_run ? 1u : k->cell_count); i++) {
        if ((lm_space.bits[block].pair[i / 64][side] >> (i % 64)) & 1) {
            fn(m,
               (uintptr_t)lm_space_address(block) + (size_t)i * k->cell_bytes,
               k);
        }
    }
}

static void object_rescan(struct loam_marker *m, uintptr_t start,
                          const struct lm_kind *k) {
    m->is_recovering = true;
    scan_object(m, bounds_get(), start, k);
    m->is_recovering = false;
    lm_marker_drain(m);
}

void lm_marker_recover(struct loam_marker *m) {
    while (__atomic_exchange_n(&marker_has_flags, false, __ATOMIC_RELAXED)) {
        for (size_t b = 1; b < lm_space_used_blocks(); b++) {
            if (lm_space.block[b].flags & LM_BLOCK_RESCAN) {
                lm_space.block[b].flags &= (uint8_t)~LM_BLOCK_RESCAN;
                block_each_marked(m, b, object_rescan);
            }
        }
    }
}

static void children_check(struct loam_marker *m) {
    struct lm_object child;
    while (m->top > m->bottom) {
        uintptr_t word = *--m->top;
        if (word & MARKER_SLICE) {
            scan_slice(m, bounds_get(), word);
        } else if (lm_find(word, &child)) {
            LM_CHECK(1, lm_find_bit(&child, 1 - lm_space.live),
                     "marker.3 what a marked object refers to is marked");
        }
    }
}

// Children that do not fit the stack go unchecked.
static void object_check(struct loam_marker *m, uintptr_t start,
                         const struct lm_kind *k) {
    struct lm_chunk *chunk;
    scan_object(m, bounds_get(), start, k);
    children_check(m);
    while ((chunk = lm_share_take()) != NULL) {
        lm_chunk_free(m->chunk);
        stack_set(m, chunk);
        children_check(m);
    }
}

void lm_marker_check(struct loam_marker *m) {
    for (size_t b = 1; b < lm_space_used_blocks(); b++) {
        block_each_marked(m, b, object_check);
        lm_space.block[b].flags &= (uint8_t)~LM_BLOCK_RESCAN;
    }
}
