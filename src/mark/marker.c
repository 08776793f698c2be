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
#include "mark/lines.h"
#include "mark/share.h"
#include "os/clock.h"
#include "os/machine.h"
#include "os/memory.h"
#include "os/track_scan.h"

#include <string.h>

#define WORD sizeof(uintptr_t)

// Popped words on their way. As many as the first-level cache has ways: with 16
// the places of a tree of powers of two, which is many a tree, fall on the same
// lines of the cache, and collecting 1 GiB of it took twice as long.
#define MARKER_QUEUE 8

// An entry with the highest bit set is a slice of a large object:
// bits 32 to 62 are its block, bits 0 to 31 which slice.
#define MARKER_SLICE ((uintptr_t)1 << 63)

// One with the second highest is a row of pages to scan again: bits 0 to 39 are
// the first, counted from the start of the heap's range, bits 40 to 47 how many. Bit
// 61 says that they are of a young block.
#define MARKER_PAGES ((uintptr_t)1 << 62)
#define MARKER_PAGES_SHIFT 40
#define MARKER_YOUNG ((uintptr_t)1 << 61)

// So many pages make work worth giving away, and not too long to leave.
#define MARKER_PAGES_EACH 16

#define MARKER_COUNT_BYTES (2 * LM_KIND_MAX * sizeof(uint64_t))

// What the phase under way marks. Set while no marker is at work.
static struct {
    uint8_t flag_mask; // a block is looked into only if its flags, under this
    uint8_t flag_want; // mask, are these: all blocks, or those with young ones
    bool is_minor;
    unsigned mark;        // which side of the bits says "marked": the other
                          // says "allocated"
    bool is_concurrent;   // the program runs
    bool can_hurry;       // what is left now can be done in a stop
    bool is_late;         // leave what is on the stacks: time is up; atomic
    uint64_t deadline_ns; // 0: none
} phase;

// Somebody waits for the end of this marking; atomic.
static bool marker_is_hurried;

void lm_marker_phase(bool is_minor, bool is_concurrent, uint64_t deadline_ns) {
    phase.deadline_ns = deadline_ns;
    __atomic_store_n(&phase.is_late, false, __ATOMIC_RELAXED);
    phase.is_minor = is_minor;
    phase.mark = 1 - lm_space.live;
    phase.is_concurrent = phase.can_hurry = is_concurrent;
    phase.flag_mask = is_minor ? LM_BLOCK_TAKEN : 0;
    phase.flag_want = is_minor ? (uint8_t)(2 * lm_space.cycle - 1) : 0;
}

void lm_marker_phase_after(void) {
    lm_marker_phase(false, true, 0);
    phase.mark = lm_space.live;
    phase.can_hurry = false; // each part is done to its end
}

void lm_marker_phase_stopped(void) {
    phase.is_concurrent = false;
}

void lm_marker_hurry(bool is_hurried) {
    __atomic_store_n(&marker_is_hurried, is_hurried, __ATOMIC_RELAXED);
}

bool lm_marker_is_hurried(void) {
    return __atomic_load_n(&marker_is_hurried, __ATOMIC_RELAXED);
}

// Who recovers lost words counts on an empty stack: so nothing that comes from
// outside may end a phase in a stop.
bool lm_marker_is_leaving(void) {
    return __atomic_load_n(&phase.is_late, __ATOMIC_RELAXED) ||
           (phase.can_hurry && lm_marker_is_hurried());
}

// Asked by each marker every few microseconds.
static bool phase_is_over(void) {
    if (phase.deadline_ns && lm_clock_ns() > phase.deadline_ns) {
        __atomic_store_n(&phase.is_late, true, __ATOMIC_RELAXED);
    }
    return lm_marker_is_leaving();
}

// Which of the bits says what this phase keeps of a block's objects: a minor
// collection keeps all that is old.
static unsigned block_side(struct lm_block entry) {
    return phase.is_minor && !lm_block_is_young(entry) ? lm_space.live
                                                       : phase.mark;
}

// As lm_find, for the bits of this phase.
static bool word_find(uintptr_t word, struct lm_object *object) {
    return lm_space_has(word) && lm_find_cell(word, object) &&
           lm_find_bit(object, 1 - phase.mark);
}

static bool object_is_kept(const struct lm_object *object) {
    return lm_find_bit(object, block_side(lm_block_load(object->block)));
}

bool lm_marker_is_kept(uintptr_t start) {
    struct lm_object object;
    return lm_find_cell(start, &object) && object_is_kept(&object);
}

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
    m->is_parallel |= m->has_company;
    lm_share_offer(chunk);
}

bool lm_marker_is_empty(const struct loam_marker *m) {
    return m->top == m->bottom;
}

void lm_marker_offer(struct loam_marker *m) {
    m->chunk->count = stack_count(m);
    lm_share_offer(m->chunk);
    m->chunk = NULL;
}

// A fresh chunk, the full one going on offer.
static bool stack_grow(struct loam_marker *m) {
    if (m->spill) {
        m->spill(m);
        return true;
    }
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

// All of the range, though most of it has never been used: the heap grows while it
// is marked, and what is beyond has a table that says free.
static inline struct bounds bounds_get(void) {
    return (struct bounds){lm_space.base, lm_space.reserved_bytes};
}

static inline const uintptr_t *words_at(uintptr_t address) {
    return (const uintptr_t *)address; // NOLINT: an address of the heap
}

// Whether pushing a word again would be for nothing. Asked only when objects
// are scanned once more, so that each time more of them fits the stack.
static bool word_is_done(uintptr_t word) {
    struct lm_object object;
    return !word_find(word, &object) || object_is_kept(&object);
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

// How far ahead a long row is asked for: measured on the bench's sizes, where
// scanning takes a fifth less time than without, and 64 or 256 gain less.
#define SCAN_AHEAD_WORDS 128

// A row of words that may all be pointers, last first. Most are not, so four at
// a time are dismissed with one branch.
LM_NO_SANITIZE static void scan_row(struct loam_marker *m, struct bounds in,
                                    const uintptr_t *words, size_t count) {
    for (; count % 4 != 0; count--) {
        scan_word(m, in, words[count - 1]);
    }
    for (; count > 0; count -= 4) {
        const uintptr_t *w = words + count - 4;
        if (count > SCAN_AHEAD_WORDS) {
            __builtin_prefetch(w - SCAN_AHEAD_WORDS);
        }
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

// Any object, one word at a time. Its words are read `shift` bytes further on,
// where they have been copied to.
static __attribute__((noinline)) void scan_shifted(struct loam_marker *m,
                                                   struct bounds in,
                                                   uintptr_t start,
                                                   uintptr_t shift,
                                                   const struct lm_kind *k) {
    const struct lm_layout *layout = k->layout;
    size_t block = (start - in.base) >> LM_BLOCK_SHIFT;
    size_t bytes = k->cell_bytes ? k->cell_bytes : lm_space.large_bytes[block];
    if (layout->mark && phase.is_concurrent) {
        // The program's function must not meet an object that the program is
        // changing: it is called when the program has stopped.
        m->has_lost = true;
    } else if (layout->mark) {
        layout->mark(m, words_at(start), bytes);
    } else if (k->cell_bytes == 0) {
        scan_slice(m, in, MARKER_SLICE | block << 32);
    } else {
        start += shift;
        scan_repeats(m, in, start, layout, 0, repeat_count(layout, bytes));
        scan_spans(m, in, start, layout->fixed, layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, block);
    }
}

static void scan_object(struct loam_marker *m, struct bounds in,
                        uintptr_t start, const struct lm_kind *k) {
    scan_shifted(m, in, start, 0, k);
}

// ---- Marking -------------------------------------------------------------------

// What the loops need of the tables, which do not change while they run: kept
// apart from them, so that the compiler need not read it again after each
// store.
struct view {
    struct bounds in;
    const struct lm_block *block;
    uint64_t (*bits)[LM_CELL_WORDS][2]; // from the mark side on
    const struct lm_scan *scans;
    uint64_t *count;
    uint8_t flag_mask; // as in phase
    uint8_t flag_want;
    lm_marker_fn *on_mark; // as in struct loam_marker
};

static inline struct view view_get(const struct loam_marker *m) {
    return (struct view){bounds_get(),
                         lm_space.block,
                         (uint64_t(*)[LM_CELL_WORDS][2]) &
                             lm_space.bits->pair[0][phase.mark],
                         lm_scans,
                         m->count,
                         phase.flag_mask,
                         phase.flag_want,
                         m->on_mark};
}

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
    struct lm_block entry = lm_block_head(&block);
    if (entry.state != LM_BLOCK_HEAD ||
        (entry.flags & v->flag_mask) != v->flag_want) {
        return;
    }
    *edge = (struct edge){v->in.base + (block << LM_BLOCK_SHIFT),
                          v->bits[block][0], 0, entry.kind};
}

// As lm_block_load, where order is __ATOMIC_ACQUIRE. In no order bits may be older
// than the entry: then they say that there is no object, and what refers to it is
// on a page that was written meanwhile.
static inline struct lm_block entry_load(const struct lm_block *block,
                                         int order) {
    struct lm_block entry;
    uint64_t word;
    __atomic_load((const uint64_t *)block, &word, order);
    memcpy(&entry, &word, sizeof entry);
    return entry;
}

// Fills in the edge, which stays empty where there is no cell, and asks for
// what edge_follow will look at.
static inline void edge_resolve(uintptr_t word, const struct view *v,
                                struct edge *edge) {
    uintptr_t offset = word - v->in.base;
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = entry_load(&v->block[block], __ATOMIC_RELAXED);
    if (lm_unlikely(entry.state != LM_BLOCK_CELLS)) {
        edge_resolve_run(word, v, edge);
        return;
    }
    if ((entry.flags & v->flag_mask) != v->flag_want) {
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
                                              const struct view *v,
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

static size_t pages_rescan(struct loam_marker *m, uintptr_t start,
                           uintptr_t end, bool is_young);

// An entry that is no word. True when it took long enough to look at the clock.
static __attribute__((noinline)) bool entry_scan(struct loam_marker *m,
                                                 struct bounds in,
                                                 uintptr_t entry) {
    if (entry & MARKER_SLICE) {
        scan_slice(m, in, entry);
        return false;
    }
    uintptr_t page = entry & (((uintptr_t)1 << MARKER_PAGES_SHIFT) - 1);
    uintptr_t count =
        (entry & ~(MARKER_PAGES | MARKER_YOUNG)) >> MARKER_PAGES_SHIFT;
    uintptr_t start = in.base + (page << LM_PAGE_SHIFT);
    m->line_count += pages_rescan(m, start, start + (count << LM_PAGE_SHIFT),
                                  (entry & MARKER_YOUNG) != 0);
    return true;
}

// Marks all that is reachable from the chunk's entries. A popped word's bits
// and object are asked for, and the word that has waited longest is followed;
// once the stack is empty the queue is.
static void marker_run(struct loam_marker *m) {
    const struct view v = view_get(m);
    struct edge queue[MARKER_QUEUE] = {{0, NULL, 0, 0}};
    size_t at = 0;
    unsigned empty = 0; // empty places met since the stack was empty
    unsigned look = LM_MARK_LOOK_WORDS;
    bool is_leaving = false;
    while (empty <= MARKER_QUEUE) {
        struct edge *edge = &queue[at];
        at = (at + 1) % MARKER_QUEUE;
        if (edge->block_start) {
            edge_follow(m, &v, edge);
            edge->block_start = 0;
        }
        if (lm_unlikely(m->top == m->bottom || is_leaving)) {
            empty++;
            continue;
        }
        uintptr_t word = *--m->top;
        empty = 0;
        if (lm_unlikely(word & (MARKER_SLICE | MARKER_PAGES))) {
            look = entry_scan(m, v.in, word) ? 1 : look;
        } else {
            edge_resolve(word, &v, edge);
        }
        if (lm_unlikely(--look == 0)) {
            look = LM_MARK_LOOK_WORDS;
            stack_split(m);
            is_leaving = phase_is_over();
        }
    }
}

void lm_marker_drain(struct loam_marker *m) {
    for (;;) {
        marker_run(m);
        if (m->top != m->bottom) {
            return; // the phase is over
        }
        struct lm_chunk *chunk = lm_share_take();
        if (chunk == NULL) {
            return;
        }
        lm_chunk_free(m->chunk);
        stack_set(m, chunk);
    }
}

// ---- Scanning again -------------------------------------------------------------

// A block of cells at one moment: first which are kept, then what is in them.
struct picture {
    const struct lm_kind *kind;
    size_t block;
    uintptr_t at;
    uint64_t kept[LM_CELL_WORDS];
    uintptr_t copy[LM_BLOCK_BYTES / WORD]; // used while the program runs
};

static uint64_t picture_take(struct picture *p, size_t block,
                             struct lm_block entry) {
    unsigned side = block_side(entry);
    uint64_t any = 0;
    p->kind = &lm_kinds[entry.kind];
    p->block = block;
    p->at = (uintptr_t)lm_space_address(block);
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        // Acquire: the words are read after this.
        p->kept[i] = __atomic_load_n(&lm_space.bits[block].pair[i][side],
                                     __ATOMIC_ACQUIRE);
        any |= p->kept[i];
    }
    return any;
}

// Whether a word of a scanned object, which points into the range, leads to
// nothing that is still to be marked in this phase, as nearly all do when they are
// scanned again.
static inline bool word_is_kept(const struct view *v, uintptr_t word) {
    uintptr_t offset = word - v->in.base;
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = entry_load(&v->block[block], __ATOMIC_ACQUIRE);
    if (entry.state != LM_BLOCK_CELLS) {
        return false; // let edge_resolve see
    }
    if ((entry.flags & v->flag_mask) != v->flag_want) {
        return true; // old, in a minor collection
    }
    uint64_t cell = ((offset & (LM_BLOCK_BYTES - 1)) * entry.scale) >> 32;
    uint64_t kept =
        __atomic_load_n(v->bits[block][cell / 64], __ATOMIC_RELAXED);
    return (kept >> (cell % 64)) & 1;
}

// Pushes a word that leads to something not marked yet.
static inline void word_scan_again(struct loam_marker *m, const struct view *v,
                                   uintptr_t word) {
    if (word - v->in.base < v->in.bytes && !word_is_kept(v, word)) {
        stack_push(m, word);
    }
}

// The kept cells among [first, last], of one range of addresses.
LM_NO_SANITIZE static void picture_scan(struct loam_marker *m,
                                        const struct picture *p, size_t first,
                                        size_t last, uintptr_t shift) {
    const struct view v = view_get(m);
    const struct lm_scan *scan = &lm_scans[p->kind - lm_kinds];
    bool is_simple = scan->shape == LM_SHAPE_MASK;
    uint64_t mask = scan->pointer_mask;
    size_t cell_bytes = p->kind->cell_bytes;
    size_t cell = first;
    last = last < p->kind->cell_count ? last : p->kind->cell_count - 1u;
    while (cell <= last) {
        uint64_t word = p->kept[cell / 64] >> (cell % 64);
        if (word == 0) {
            cell = (cell | 63) + 1;
            continue;
        }
        cell += lm_bits_first(word);
        if (cell > last) {
            break;
        }
        uintptr_t at = p->at + cell * cell_bytes;
        for (uint64_t rest = mask; is_simple && rest; rest &= rest - 1) {
            word_scan_again(m, &v,
                            words_at(at + shift)[63 - lm_bits_first(rest)]);
        }
        if (!is_simple) {
            scan_shifted(m, v.in, at, shift, p->kind);
        }
        cell++;
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, p->block);
    }
}

// Which of the cells on a line are kept, for its fingerprint.
static uint64_t picture_line(const struct picture *p, unsigned line) {
    size_t first = line * LM_MARK_LINE_BYTES / p->kind->cell_bytes;
    size_t last = ((line + 1) * LM_MARK_LINE_BYTES - 1) / p->kind->cell_bytes;
    uint64_t word = p->kept[first / 64] >> (first % 64);
    if (last / 64 != first / 64 && last / 64 < LM_CELL_WORDS) {
        word |= p->kept[last / 64] << (64 - first % 64);
    }
    return word & lm_bits_low((unsigned)(last - first + 1));
}

LM_NO_SANITIZE static void picture_copy(struct picture *p, uintptr_t start,
                                        uintptr_t end) {
    const volatile uintptr_t *from =
        (const volatile uintptr_t *)p->at; // NOLINT: an address of the heap
    for (size_t i = (start - p->at) / WORD; i < (end - p->at) / WORD; i++) {
        p->copy[i] = from[i];
    }
}

#define LINE_WORDS (LM_MARK_LINE_BYTES / WORD)

// Where it is said whether what an offset into the range leads to is marked, asked
// for from memory; NULL where that takes a closer look.
static inline const uint64_t *mark_ask(const struct view *v, uintptr_t offset,
                                       uint8_t *bit) {
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = entry_load(&v->block[block], __ATOMIC_ACQUIRE);
    uint64_t cell = ((offset & (LM_BLOCK_BYTES - 1)) * entry.scale) >> 32;
    if (entry.state == LM_BLOCK_HEAD) {
        cell = 0;
    } else if (entry.state != LM_BLOCK_CELLS) {
        return NULL;
    }
    if ((entry.flags & v->flag_mask) != v->flag_want) {
        return NULL;
    }
    const uint64_t *bits = v->bits[block][cell / 64];
    __builtin_prefetch(bits);
    *bit = cell % 64;
    return bits;
}

// What says whether what a word of a line leads to is marked.
struct asked {
    const uint64_t *bits;
    uint8_t bit;
    uint8_t line;
};

// So many bits are asked for before the first is looked at: they come from memory
// all at once, and not one after the other.
#define ASKED_MAX (4 * LINE_WORDS)

static uint32_t asked_clear(const struct asked *asked, size_t count) {
    uint32_t lines = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t marks = __atomic_load_n(asked[i].bits, __ATOMIC_RELAXED);
        lines |= (uint32_t)(~marks >> asked[i].bit & 1) << asked[i].line;
    }
    return lines;
}

// Those of some lines that may lead to something not marked yet: of all others
// nothing would be pushed. Not in a minor collection.
static uint32_t lines_open(const struct view *v, const uintptr_t *words,
                           uint32_t lines) {
    struct asked asked[ASKED_MAX];
    size_t count = 0;
    uint32_t open = 0;
    for (uint32_t rest = lines; rest; rest &= rest - 1) {
        uint8_t line = (uint8_t)lm_bits_first(rest);
        const uintptr_t *word = words + line * LINE_WORDS;
        if (count + LINE_WORDS > ASKED_MAX) {
            open |= asked_clear(asked, count);
            count = 0;
        }
        for (size_t i = 0; i < LINE_WORDS; i++) {
            uintptr_t offset = word[i] - v->in.base;
            uint8_t bit = 0;
            if (offset >= v->in.bytes) {
                continue;
            }
            const uint64_t *bits = mark_ask(v, offset, &bit);
            if (bits) {
                asked[count++] = (struct asked){bits, bit, line};
            } else {
                open |= (uint32_t)1 << line;
            }
        }
    }
    return open | asked_clear(asked, count);
}

// Whether all that a line leads to is an object.
static bool line_is_settled(const struct view *v, const uintptr_t *words) {
    struct lm_object object;
    for (size_t i = 0; i < LINE_WORDS; i++) {
        if (words[i] - v->in.base < v->in.bytes && !word_is_kept(v, words[i]) &&
            !word_find(words[i], &object)) {
            return false;
        }
    }
    return true;
}

// Keeps the fingerprints of lines that have changed, where what has to be scanned
// of them will be (lines.1).
static void lines_keep(size_t block, const struct view *v,
                       const uintptr_t *words, uint32_t changed, uint32_t open,
                       const uint64_t prints[LM_MARK_LINES]) {
    uint32_t settled = changed & ~open;
    for (uint32_t rest = open; rest; rest &= rest - 1) {
        unsigned line = lm_bits_first(rest);
        if (line_is_settled(v, words + line * LINE_WORDS)) {
            settled |= (uint32_t)1 << line;
        }
    }
    if (settled) {
        lm_lines_keep(block, settled, prints);
    }
}

// Scans the lines of [start, end) that have changed since they were scanned
// last in this marking, cells that stand out of it included. Returns how many
// those are.
static size_t cells_rescan_changed(struct loam_marker *m, struct picture *p,
                                   uintptr_t start, uintptr_t end) {
    size_t cell_bytes = p->kind->cell_bytes;
    unsigned first = (unsigned)((start - p->at) / LM_MARK_LINE_BYTES);
    unsigned last = (unsigned)((end - p->at) / LM_MARK_LINE_BYTES);
    const uintptr_t *words = words_at(p->at);
    uint64_t marks[LM_MARK_LINES];
    uintptr_t shift = 0;
    if (phase.is_concurrent) {
        uintptr_t low = p->at + (start - p->at) / cell_bytes * cell_bytes;
        uintptr_t high = p->at + lm_round_up(end - p->at, cell_bytes);
        uintptr_t most = p->at + LM_BLOCK_BYTES;
        picture_copy(p, low, high < most ? high : most);
        words = p->copy;
        shift = (uintptr_t)p->copy - p->at;
    }
    for (unsigned i = first; i < last; i++) {
        marks[i] = picture_line(p, i) | (uint64_t)(p->kind - lm_kinds) << 32;
    }
    uint64_t prints[LM_MARK_LINES];
    uint32_t changed =
        lm_lines_changed(p->block, words, marks, first, last, prints);
    const struct view v = view_get(m);
    uint32_t open = lines_open(&v, words, changed);
    lines_keep(p->block, &v, words, changed, open, prints);
    size_t next = 0; // the first cell not yet scanned
    for (uint32_t rest = open; rest; rest &= rest - 1) {
        size_t line = lm_bits_first(rest);
        size_t from = line * LM_MARK_LINE_BYTES / cell_bytes;
        size_t to = ((line + 1) * LM_MARK_LINE_BYTES - 1) / cell_bytes;
        from = from > next ? from : next;
        if (from <= to) {
            picture_scan(m, p, from, to, shift);
            next = to + 1;
        }
    }
    return lm_bits_count(changed);
}

// Scans the kept objects of a block of cells that overlap [start, end).
static size_t cells_rescan(struct loam_marker *m, size_t block,
                           struct lm_block entry, uintptr_t start,
                           uintptr_t end) {
    struct picture p;
    size_t cell_bytes = lm_kinds[entry.kind].cell_bytes;
    if (picture_take(&p, block, entry) == 0) {
        return 0;
    }
    if (!phase.is_minor && !p.kind->layout->mark) {
        return cells_rescan_changed(m, &p, start, end);
    }
    picture_scan(m, &p, (start - p.at) / cell_bytes,
                 (end - 1 - p.at) / cell_bytes, 0);
    return (end - start) / LM_MARK_LINE_BYTES;
}

// Words that are all pointers, in one block of a large object: those of [start,
// end) on lines that have changed. Returns how many lines those are.
LM_NO_SANITIZE static size_t words_rescan_changed(struct loam_marker *m,
                                                  size_t head,
                                                  const struct lm_kind *k,
                                                  uintptr_t start,
                                                  uintptr_t end) {
    size_t block = lm_space_block_of(start);
    struct picture p; // 8 KiB, of which only the copy is used
    p.at = (uintptr_t)lm_space_address(block);
    const uintptr_t *words = words_at(p.at);
    unsigned first = (unsigned)((start - p.at) / LM_MARK_LINE_BYTES);
    unsigned last = (unsigned)((end - 1 - p.at) / LM_MARK_LINE_BYTES) + 1;
    uint64_t marks[LM_MARK_LINES];
    if (phase.is_concurrent) {
        picture_copy(&p, p.at + first * LM_MARK_LINE_BYTES,
                     p.at + last * LM_MARK_LINE_BYTES);
        words = p.copy;
    }
    for (unsigned i = first; i < last; i++) {
        marks[i] = 1 | (uint64_t)(k - lm_kinds) << 32;
    }
    uint64_t prints[LM_MARK_LINES];
    uint32_t changed =
        lm_lines_changed(block, words, marks, first, last, prints);
    const struct view v = view_get(m);
    uint32_t open = lines_open(&v, words, changed);
    lines_keep(block, &v, words, changed, open, prints);
    for (uint32_t rest = open; rest; rest &= rest - 1) {
        size_t at = lm_bits_first(rest) * LINE_WORDS;
        for (size_t i = at; i < at + LINE_WORDS; i++) {
            word_scan_again(m, &v, words[i]);
        }
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, head);
    }
    return lm_bits_count(changed);
}

// Whether a large object of that size is nothing but pointers. What is behind
// its end, up to the end of its last block, may be taken for such, too: it is
// old data that can only keep too much.
static bool run_is_words(const struct lm_layout *layout, size_t bytes) {
    return layout->fixed_count == 0 && layout->repeat_count > 0 &&
           layout->repeat_stride_bytes == WORD &&
           layout->repeat_start_bytes == 0 && bytes > 0;
}

// The part of a large object that lies in [start, end).
static size_t run_rescan(struct loam_marker *m, size_t block,
                         const struct lm_kind *k, uintptr_t start,
                         uintptr_t end) {
    const struct lm_layout *layout = k->layout;
    uintptr_t at = (uintptr_t)lm_space_address(block);
    uintptr_t repeats = at + layout->repeat_start_bytes;
    size_t count = repeat_count(layout, lm_space.large_bytes[block]);
    size_t lines = (end - start) / LM_MARK_LINE_BYTES;
    if (layout->mark) {
        // The whole of it, so once is enough, whatever was written.
        block_flag_rescan(m, block);
        return lines;
    }
    if (!phase.is_minor && run_is_words(layout, lm_space.large_bytes[block])) {
        lines = 0;
        while (start < end) {
            uintptr_t stop = (start | (LM_BLOCK_BYTES - 1)) + 1;
            stop = stop < end ? stop : end;
            lines += words_rescan_changed(m, block, k, start, stop);
            start = stop;
        }
        return lines;
    }
    if (count > 0 && end > repeats) {
        size_t stride = layout->repeat_stride_bytes;
        size_t first = start > repeats ? (start - repeats) / stride : 0;
        size_t last = (end - 1 - repeats) / stride + 1;
        last = last < count ? last : count;
        if (first < last) {
            scan_repeats(m, bounds_get(), at, layout, first, last);
        }
    }
    if (start < repeats || count == 0) {
        scan_spans(m, bounds_get(), at, layout->fixed, layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        block_flag_rescan(m, block);
    }
    return lines;
}

// Scans again, in [start, end), what this phase keeps: in a minor collection that
// of young blocks or that of all others, since those are not looked for page by
// page. Returns how many lines it took.
static size_t pages_rescan(struct loam_marker *m, uintptr_t start,
                           uintptr_t end, bool is_young) {
    size_t lines = 0;
    while (start < end) {
        size_t block = lm_space_block_of(start);
        uintptr_t stop = (uintptr_t)lm_space_address(block + 1);
        struct lm_block entry = lm_block_head(&block);
        bool is_cells = entry.state == LM_BLOCK_CELLS;
        stop = stop < end ? stop : end;
        if (entry.state == LM_BLOCK_HEAD) {
            size_t blocks = lm_find_run_blocks(lm_space.large_bytes[block]);
            stop = (uintptr_t)lm_space_address(block + blocks);
            stop = stop < end ? stop : end;
        }
        bool is_wanted =
            entry.state != LM_BLOCK_FREE && !lm_kinds[entry.kind].is_leaf &&
            !(phase.is_minor && lm_block_is_young(entry) != is_young);
        if (is_wanted && is_cells) {
            lines += cells_rescan(m, block, entry, start, stop);
        } else if (is_wanted && entry.state == LM_BLOCK_HEAD &&
                   ((lm_space.bits[block].pair[0][block_side(entry)]) & 1)) {
            lines += run_rescan(m, block, &lm_kinds[entry.kind], start, stop);
        }
        start = stop > start ? stop : end;
    }
    return lines;
}

// Whether there is anything in a block that this phase keeps: what is marked
// from now on will be scanned as it is then.
static bool block_has_kept(size_t block) {
    struct lm_block entry = lm_block_head(&block);
    if (entry.state == LM_BLOCK_FREE || lm_kinds[entry.kind].is_leaf) {
        return false;
    }
    return lm_space_has_bits(block, block_side(entry));
}

static void pages_push(struct loam_marker *m, uintptr_t start, uintptr_t end,
                       bool is_young) {
    uintptr_t page = (start - lm_space.base) >> LM_PAGE_SHIFT;
    uintptr_t count = (end - start) >> LM_PAGE_SHIFT;
    if (m->top == m->limit && !stack_grow(m)) {
        m->has_lost = false; // nothing is: it is done at once
        m->line_count += pages_rescan(m, start, end, is_young);
        return;
    }
    *m->top++ = MARKER_PAGES | (is_young ? MARKER_YOUNG : 0) |
                count << MARKER_PAGES_SHIFT | page;
}

void lm_marker_pages(struct loam_marker *m, uintptr_t start, uintptr_t end) {
    uintptr_t from = start; // of the row not yet pushed
    for (uintptr_t at = start; at < end;) {
        uintptr_t next = (at | (LM_BLOCK_BYTES - 1)) + 1;
        next = next < end ? next : end;
        bool is_wanted = block_has_kept(lm_space_block_of(at));
        uintptr_t stop = is_wanted ? next : at;
        if (from < stop &&
            (!is_wanted || next == end ||
             stop - from >= MARKER_PAGES_EACH << LM_PAGE_SHIFT)) {
            pages_push(m, from, stop, false);
            from = stop;
        }
        from = is_wanted ? from : next;
        at = next;
    }
}

void lm_marker_young(struct loam_marker *m, uint32_t block) {
    uintptr_t start = (uintptr_t)lm_space_address(block);
    pages_push(m, start, start + LM_BLOCK_BYTES, true);
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
        (m->spill || !object_is_kept(&object))) {
        stack_push(m, word - 1);
    }
}

// Nothing of a root may be lost: it could not be scanned again. So there is
// room for its two words before they are pushed. A marker that is to leave does
// only a little at a time.
static void root_make_room(struct loam_marker *m) {
    while (lm_unlikely(m->limit - m->top < 2) && !stack_grow(m)) {
        m->has_lost = false; // nothing is: there will be room
        m->is_parallel |= phase.is_concurrent;
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

// A root, and what says whether that is kept already which it leads to, as nearly
// all is in each stop that may be the last one of a marking; or NULL.
struct root {
    uintptr_t word;
    const uint64_t *bits;
    uint8_t bit;
};

// So many bits are asked for before the first is looked at, as in lines_open.
#define ROOTS_MAX 64

static struct root root_ask(const struct view *v, uintptr_t word) {
    struct root root = {word, NULL, 0};
    uintptr_t offset = word - v->in.base;
    if (offset < v->in.bytes) {
        root.bits = mark_ask(v, offset, &root.bit);
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
    const struct view v = view_get(m);
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
    struct bounds in = bounds_get();
    if (word - in.base >= in.bytes) {
        return true;
    }
    bool has_lost = m->has_lost;
    if (m->top == m->limit && !stack_grow(m)) {
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
        scan_object(m, bounds_get(), start, &lm_kinds[object.kind]);
        m->is_recovering = false;
    }
}

void lm_marker_push(struct loam_marker *m, uintptr_t word) {
    scan_word(m, bounds_get(), word);
}

// ---- Overflow and checking -----------------------------------------------------

// Calls fn for each marked object of a block that has something to scan.
typedef void marked_fn(struct loam_marker *m, uintptr_t start,
                       const struct lm_kind *kind, void *argument);

static void block_each_marked(struct loam_marker *m, size_t block,
                              marked_fn *fn, void *argument) {
    struct lm_block entry = lm_block_load(block);
    const struct lm_kind *k = &lm_kinds[entry.kind];
    unsigned side = block_side(entry);
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
    m->is_recovering = true;
    scan_object(m, bounds_get(), start, k);
    m->is_recovering = false;
    lm_marker_drain(m);
}

bool lm_marker_has_lost(void) {
    return __atomic_load_n(&marker_has_flags, __ATOMIC_RELAXED);
}

void lm_marker_recover(struct loam_marker *m) {
    while (__atomic_exchange_n(&marker_has_flags, false, __ATOMIC_RELAXED)) {
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
        if (word & MARKER_SLICE) {
            scan_slice(m, bounds_get(), word);
        } else {
            l->fn(holder, word, l->argument);
        }
    }
}

// Children that do not fit the stack are passed over.
static void object_look(struct loam_marker *m, uintptr_t start,
                        const struct lm_kind *k, void *argument) {
    struct lm_chunk *chunk;
    scan_object(m, bounds_get(), start, k);
    children_look(m, start, argument);
    while ((chunk = lm_share_take()) != NULL) {
        lm_chunk_free(m->chunk);
        stack_set(m, chunk);
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
    if (!word_find(word, &child)) {
        lm_freed_note(word, 1);
    } else {
        LM_CHECK(1, object_is_kept(&child) || lm_freed_has(word),
                 "marker.3 what a marked object refers to is marked");
    }
}

void lm_marker_check(struct loam_marker *m) {
    if (!phase.is_minor && !lm_space.is_marking) {
        lm_freed_forget(); // all that is marked was looked at in this stop
    }
    lm_marker_each_word(m, word_check, NULL);
}
