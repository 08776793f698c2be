// SPDX-License-Identifier: MIT
// marker.c: the loops that marking spends its time in.
//
// The stack holds words, not objects: a word is resolved, marked and its
// object scanned when it is popped. So the two cache misses of an object, its
// bits and its contents, come at one place, and both can be asked for early:
// in a large heap popped words wait in a queue of 16 while their lines are on
// the way.
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

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "mark/share.h"
#include "os/memory.h"

#include <string.h>

#define WORD sizeof(uintptr_t)

// Popped words on their way; 16 lines in flight is what a core can have.
#define MARKER_QUEUE 16

// A stack with fewer entries is not worth splitting, and a marker that has
// scanned fewer objects since its last split waits: a hungry helper with
// nothing but crumbs to eat only disturbs.
#ifdef LM_TINY
#define MARKER_SPLIT_ENTRIES 2
#define MARKER_SPLIT_OBJECTS 4
#else
#define MARKER_SPLIT_ENTRIES 4
#define MARKER_SPLIT_OBJECTS 512
#endif

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

// Room for one more entry: a fresh chunk, the full one going on offer.
static bool stack_grow(struct loam_marker *m) {
    struct lm_chunk *chunk = lm_chunk_new();
    if (chunk == NULL) {
        m->has_lost = true;
        return false;
    }
    if (m->chunk) {
        m->is_parallel = m->has_company;
        lm_share_offer(m->chunk);
    }
    m->chunk = chunk;
    return true;
}

static inline void stack_push(struct loam_marker *m, uintptr_t entry) {
    struct lm_chunk *chunk = m->chunk;
    if (lm_unlikely(chunk == NULL || chunk->count == LM_CHUNK_ENTRIES)) {
        if (!stack_grow(m)) {
            return;
        }
        chunk = m->chunk;
    }
    chunk->entry[chunk->count++] = entry;
}

// Gives the oldest half away, if somebody can use it.
static void stack_split(struct loam_marker *m) {
    m->quiet_count = 0;
    struct lm_chunk *mine = m->chunk;
    if (mine == NULL || mine->count < MARKER_SPLIT_ENTRIES) {
        return;
    }
    struct lm_chunk *other = lm_chunk_new();
    if (other == NULL) {
        return;
    }
    size_t half = mine->count / 2;
    memcpy(other->entry, mine->entry, half * WORD);
    other->count = half;
    memmove(mine->entry, mine->entry + half, (mine->count - half) * WORD);
    mine->count -= half;
    m->is_parallel = m->has_company;
    lm_share_offer(other);
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

// The words that a row of spans names in one repetition, last first.
LM_NO_SANITIZE static inline void scan_spans(struct loam_marker *m,
                                             struct bounds in, uintptr_t at,
                                             const struct lm_span *spans,
                                             size_t count) {
    for (size_t i = count; i-- > 0;) {
        const uintptr_t *words =
            (const uintptr_t *)(at + spans[i].offset_bytes); // NOLINT
        for (size_t j = spans[i].word_count; j-- > 0;) {
            uintptr_t word = words[j];
            if (word - in.base < in.bytes) {
                stack_push(m, word);
            }
        }
    }
}

// The repetitions [first, last) of a layout's pattern.
LM_NO_SANITIZE static inline void scan_repeats(struct loam_marker *m,
                                               struct bounds in,
                                               uintptr_t start,
                                               const struct lm_layout *layout,
                                               size_t first, size_t last) {
    size_t stride = layout->repeat_stride_bytes;
    uintptr_t at = start + layout->repeat_start_bytes + last * stride;
    if (stride == WORD) {
        // A row of pointers, or conservative memory.
        const uintptr_t *words = (const uintptr_t *)at; // NOLINT
        for (size_t n = last - first; n > 0; n--) {
            uintptr_t word = *--words;
            if (word - in.base < in.bytes) {
                stack_push(m, word);
            }
        }
        return;
    }
    for (size_t n = last - first; n > 0; n--) {
        at -= stride;
        scan_spans(m, in, at, layout->repeat, layout->repeat_count);
    }
}

static inline size_t repeat_count(const struct lm_layout *layout,
                                  size_t bytes) {
    return layout->repeat_count == 0 || bytes < layout->repeat_start_bytes
               ? 0
               : (bytes - layout->repeat_start_bytes) /
                     layout->repeat_stride_bytes;
}

// A small object, or one with a mark function.
static inline void scan_whole(struct loam_marker *m, struct bounds in,
                              uintptr_t start, size_t bytes,
                              const struct lm_layout *layout) {
    if (lm_unlikely(layout->mark != NULL)) {
        layout->mark(m, (const void *)start, bytes); // NOLINT
        return;
    }
    if (layout->repeat_count) {
        scan_repeats(m, in, start, layout, 0, repeat_count(layout, bytes));
    }
    scan_spans(m, in, start, layout->fixed, layout->fixed_count);
}

static void block_flag_rescan(struct loam_marker *m, uint32_t block) {
    m->has_lost = false;
    // Relaxed: read after all markers have met.
    __atomic_fetch_or(&lm_space.block[block].flags, LM_BLOCK_RESCAN,
                      __ATOMIC_RELAXED);
}

// One slice of a large object; the rest goes back on the stack first, where
// others can take it.
static void scan_slice(struct loam_marker *m, struct bounds in,
                       uintptr_t entry) {
    uint32_t block = (uint32_t)((entry & ~MARKER_SLICE) >> 32);
    size_t slice = (uint32_t)entry;
    const struct lm_layout *layout = lm_kinds[lm_block_load(block).kind].layout;
    uintptr_t start = (uintptr_t)lm_space_address(block);
    size_t count = repeat_count(layout, lm_space.large_bytes[block]);
    size_t each = layout->repeat_count
                      ? LM_SLICE_BYTES / layout->repeat_stride_bytes
                      : 0;
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

static inline void scan_object(struct loam_marker *m, struct bounds in,
                               uintptr_t start, uint32_t block,
                               const struct lm_kind *k) {
    if (lm_likely(k->cell_bytes)) {
        scan_whole(m, in, start, k->cell_bytes, k->layout);
    } else if (k->layout->mark) {
        scan_whole(m, in, start, lm_space.large_bytes[block], k->layout);
    } else {
        scan_slice(m, in, MARKER_SLICE | (uintptr_t)block << 32);
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, block);
    }
}

// ---- Marking -------------------------------------------------------------------

// A word that has been resolved: where its object's bits are.
struct edge {
    uint64_t *pair;
    uintptr_t start;
    uint32_t kind;
    uint32_t block;
    uint64_t bit;
};

static inline bool edge_resolve(uintptr_t word, struct bounds in,
                                struct edge *edge) {
    size_t block = (word - in.base) >> LM_BLOCK_SHIFT;
    struct lm_block entry = lm_block_load(block);
    uint64_t cell = 0;
    if (lm_likely(entry.state == LM_BLOCK_CELLS)) {
        uint64_t offset = (word - in.base) & (LM_BLOCK_BYTES - 1);
        cell = (offset * entry.scale) >> 32;
    } else if (entry.state == LM_BLOCK_BODY) {
        block -= entry.scale;
        entry = lm_block_load(block);
    } else if (entry.state == LM_BLOCK_FREE) {
        return false;
    }
    edge->pair = lm_space.bits[block].pair[cell / 64];
    edge->bit = (uint64_t)1 << (cell % 64);
    edge->kind = entry.kind;
    edge->block = (uint32_t)block;
    edge->start = in.base + (block << LM_BLOCK_SHIFT) +
                  cell * lm_kinds[entry.kind].cell_bytes;
    return true;
}

// Marks the object; false when it was marked before, or is none.
static inline bool edge_mark(const struct edge *edge, unsigned live,
                             bool is_parallel) {
    uint64_t *mark = &edge->pair[1 - live];
    // Relaxed: a mark orders nothing; objects were written before the stop.
    uint64_t word = __atomic_load_n(mark, __ATOMIC_RELAXED);
    if ((word & edge->bit) || !(edge->pair[live] & edge->bit)) {
        return false;
    }
    if (is_parallel) {
        return !(__atomic_fetch_or(mark, edge->bit, __ATOMIC_RELAXED) &
                 edge->bit);
    }
    *mark = word | edge->bit;
    return true;
}

static inline void edge_follow(struct loam_marker *m, struct bounds in,
                               const struct edge *edge, unsigned live) {
    if (!edge_mark(edge, live, m->is_parallel)) {
        return;
    }
    const struct lm_kind *k = &lm_kinds[edge->kind];
    m->count[edge->kind]++;
    if (lm_unlikely(k->cell_bytes == 0)) {
        __atomic_fetch_add(&lm_kinds[edge->kind].live_bytes,
                           lm_space.large_bytes[edge->block],
                           __ATOMIC_RELAXED);
    }
    if (!k->is_leaf) {
        scan_object(m, in, edge->start, edge->block, k);
    }
}

// Splits every so often while somebody is hungry.
static inline void marker_feed(struct loam_marker *m) {
    if (lm_unlikely(++m->quiet_count >= MARKER_SPLIT_OBJECTS)) {
        if (lm_share_is_hungry()) {
            stack_split(m);
        } else {
            m->quiet_count = MARKER_SPLIT_OBJECTS / 2;
        }
    }
}

// The plain loop, for a heap that fits the cache.
static void drain_plain(struct loam_marker *m) {
    struct bounds in = bounds_get();
    unsigned live = lm_space.live;
    while (m->chunk && m->chunk->count > 0) {
        uintptr_t word = m->chunk->entry[--m->chunk->count];
        struct edge edge;
        if (word & MARKER_SLICE) {
            scan_slice(m, in, word);
        } else if (edge_resolve(word, in, &edge)) {
            edge_follow(m, in, &edge, live);
        }
        marker_feed(m);
    }
}

// The loop with a queue. A popped word's bits and object are asked for, and
// the word that has waited longest is followed.
static void drain_queued(struct loam_marker *m) {
    struct bounds in = bounds_get();
    unsigned live = lm_space.live;
    struct edge queue[MARKER_QUEUE];
    unsigned head = 0, length = 0;
    for (;;) {
        while (length < MARKER_QUEUE && m->chunk && m->chunk->count > 0) {
            uintptr_t word = m->chunk->entry[--m->chunk->count];
            if (lm_unlikely(word & MARKER_SLICE)) {
                scan_slice(m, in, word);
                continue;
            }
            struct edge *edge = &queue[(head + length) % MARKER_QUEUE];
            if (edge_resolve(word, in, edge)) {
                __builtin_prefetch(edge->pair, 1);
                __builtin_prefetch((const void *)edge->start); // NOLINT
                length++;
            }
        }
        if (length == 0) {
            return;
        }
        edge_follow(m, in, &queue[head], live);
        head = (head + 1) % MARKER_QUEUE;
        length--;
        marker_feed(m);
    }
}

void lm_marker_drain(struct loam_marker *m, bool has_large_heap) {
    for (;;) {
        if (has_large_heap) {
            drain_queued(m);
        } else {
            drain_plain(m);
        }
        struct lm_chunk *chunk = lm_share_take();
        if (chunk == NULL) {
            return;
        }
        if (m->chunk) {
            lm_chunk_free(m->chunk);
        }
        m->chunk = chunk;
    }
}

// ---- Roots ---------------------------------------------------------------------

// A word at the very end of an object may be all that is left of the pointers
// to it: compilers keep "one past the end" and count up from below. For kinds
// that are walked that way it keeps the object that ends there.
static void root_end(struct loam_marker *m, uintptr_t word) {
    struct lm_object object;
    if (word % 16 == 0 && lm_space_has(word - 1) &&
        lm_find_cell(word - 1, &object) && lm_kinds[object.kind].has_ends &&
        lm_kinds[object.kind].cell_bytes &&
        object.start + lm_kinds[object.kind].cell_bytes == word) {
        stack_push(m, word - 1);
    }
}

void lm_marker_root(struct loam_marker *m, uintptr_t word) {
    if (lm_space_has(word)) {
        stack_push(m, word);
    }
    root_end(m, word);
    // Nothing of a root may be lost: it could not be scanned again.
    while (m->has_lost ||
           (m->chunk && m->chunk->count > LM_CHUNK_ENTRIES - 4)) {
        bool was_lost = m->has_lost;
        m->has_lost = false;
        drain_plain(m);
        if (was_lost) {
            LM_CHECK(1, m->chunk != NULL, "marker.3 every marker has a chunk");
            stack_push(m, word);
        }
    }
}

LM_NO_SANITIZE void lm_marker_range(struct loam_marker *m, uintptr_t start,
                                    uintptr_t end) {
    start = lm_round_up(start, WORD);
    uintptr_t base = lm_space.base;
    // One more, for a pointer just past the last block.
    size_t bytes = lm_space.bytes + 1;
    for (; start + WORD <= end; start += WORD) {
        uintptr_t word = *(const volatile uintptr_t *)start; // NOLINT
        if (word - base < bytes) {
            lm_marker_root(m, word);
        }
    }
}

void lm_marker_push(struct loam_marker *m, uintptr_t word) {
    if (lm_space_has(word)) {
        stack_push(m, word);
    }
}

// ---- Overflow ------------------------------------------------------------------

static void block_rescan(struct loam_marker *m, struct bounds in,
                         uint32_t block) {
    struct lm_block entry = lm_block_load(block);
    const struct lm_kind *k = &lm_kinds[entry.kind];
    unsigned side = 1 - lm_space.live;
    unsigned cells = k->cell_bytes ? k->cell_count : 1;
    for (unsigned i = 0; i < cells; i++) {
        if ((lm_space.bits[block].pair[i / 64][side] >> (i % 64)) & 1) {
            scan_object(m, in,
                        (uintptr_t)lm_space_address(block) +
                            (size_t)i * k->cell_bytes,
                        block, k);
            lm_marker_drain(m, false);
        }
    }
}

void lm_marker_recover(struct loam_marker *m) {
    struct bounds in = bounds_get();
    bool is_done = false;
    while (!is_done) {
        is_done = true;
        for (uint32_t b = 1; b < lm_space_used_blocks(); b++) {
            if (lm_space.block[b].flags & LM_BLOCK_RESCAN) {
                lm_space.block[b].flags &= (uint8_t)~LM_BLOCK_RESCAN;
                block_rescan(m, in, b);
                is_done = false;
            }
        }
    }
}

// ---- Checking ------------------------------------------------------------------

static void check_children(struct loam_marker *m, struct bounds in) {
    unsigned live = lm_space.live;
    while (m->chunk && m->chunk->count > 0) {
        uintptr_t word = m->chunk->entry[--m->chunk->count];
        struct edge edge;
        if (word & MARKER_SLICE) {
            scan_slice(m, in, word);
        } else if (edge_resolve(word, in, &edge) &&
                   (edge.pair[live] & edge.bit)) {
            LM_CHECK(1, edge.pair[1 - live] & edge.bit,
                     "marker.4 what a marked object refers to is marked");
        }
    }
}

void lm_marker_check(struct loam_marker *m) {
    struct bounds in = bounds_get();
    unsigned side = 1 - lm_space.live;
    for (uint32_t b = 1; b < lm_space_used_blocks(); b++) {
        struct lm_block entry = lm_block_load(b);
        const struct lm_kind *k = &lm_kinds[entry.kind];
        bool is_run = entry.state == LM_BLOCK_HEAD;
        if ((entry.state != LM_BLOCK_CELLS && !is_run) || k->is_leaf) {
            continue;
        }
        for (unsigned i = 0; i < (is_run ? 1u : k->cell_count); i++) {
            if ((lm_space.bits[b].pair[i / 64][side] >> (i % 64)) & 1) {
                scan_object(m, in,
                            (uintptr_t)lm_space_address(b) +
                                (size_t)i * k->cell_bytes,
                            b, k);
                check_children(m, in);
            }
        }
    }
}
