// SPDX-License-Identifier: MIT
// rescan.c: pages that were written, scanned again.

#include "mark/rescan.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "mark/lines.h"
#include "mark/phase.h"
#include "mark/scan.h"
#include "mark/view.h"
#include "os/machine.h"
#include "os/track_scan.h"

#define WORD sizeof(uintptr_t)

// So many pages make work worth giving away, and not too long to leave.
#define RESCAN_PAGES_EACH 16

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
    unsigned side = lm_phase_side(entry);
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
static inline bool word_is_kept(const struct lm_view *v, uintptr_t word) {
    uintptr_t offset = word - v->in.base;
    size_t block = offset >> LM_BLOCK_SHIFT;
    struct lm_block entry = lm_view_entry(&v->block[block], __ATOMIC_ACQUIRE);
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
static inline void word_scan_again(struct loam_marker *m,
                                   const struct lm_view *v, uintptr_t word) {
    if (word - v->in.base < v->in.bytes && !word_is_kept(v, word)) {
        lm_stack_push(m, word);
    }
}

// The kept cells among [first, last], of one range of addresses.
LM_NO_SANITIZE static void picture_scan(struct loam_marker *m,
                                        const struct picture *p, size_t first,
                                        size_t last, uintptr_t shift) {
    const struct lm_view v = lm_view_get(m);
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
                            lm_words_at(at + shift)[63 - lm_bits_first(rest)]);
        }
        if (!is_simple) {
            lm_scan_shifted(m, v.in, at, shift, p->kind);
        }
        cell++;
    }
    if (lm_unlikely(m->has_lost)) {
        lm_scan_flag(m, p->block);
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
static uint32_t lines_open(const struct lm_view *v, const uintptr_t *words,
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
            const uint64_t *bits = lm_view_ask(v, offset, &bit);
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
static bool line_is_settled(const struct lm_view *v, const uintptr_t *words) {
    struct lm_object object;
    for (size_t i = 0; i < LINE_WORDS; i++) {
        if (words[i] - v->in.base < v->in.bytes && !word_is_kept(v, words[i]) &&
            !lm_phase_find(words[i], &object)) {
            return false;
        }
    }
    return true;
}

// Keeps the fingerprints of lines that have changed, where what has to be scanned
// of them will be (lines.1).
static void lines_keep(size_t block, const struct lm_view *v,
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
    const uintptr_t *words = lm_words_at(p->at);
    uint64_t marks[LM_MARK_LINES];
    uintptr_t shift = 0;
    if (lm_phase.is_concurrent) {
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
    const struct lm_view v = lm_view_get(m);
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
    if (!lm_phase.is_minor && !p.kind->layout->mark) {
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
    const uintptr_t *words = lm_words_at(p.at);
    unsigned first = (unsigned)((start - p.at) / LM_MARK_LINE_BYTES);
    unsigned last = (unsigned)((end - 1 - p.at) / LM_MARK_LINE_BYTES) + 1;
    uint64_t marks[LM_MARK_LINES];
    if (lm_phase.is_concurrent) {
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
    const struct lm_view v = lm_view_get(m);
    uint32_t open = lines_open(&v, words, changed);
    lines_keep(block, &v, words, changed, open, prints);
    for (uint32_t rest = open; rest; rest &= rest - 1) {
        size_t at = lm_bits_first(rest) * LINE_WORDS;
        for (size_t i = at; i < at + LINE_WORDS; i++) {
            word_scan_again(m, &v, words[i]);
        }
    }
    if (lm_unlikely(m->has_lost)) {
        lm_scan_flag(m, head);
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
    size_t count = lm_scan_repeat_count(layout, lm_space.large_bytes[block]);
    size_t lines = (end - start) / LM_MARK_LINE_BYTES;
    if (layout->mark) {
        // The whole of it, so once is enough, whatever was written.
        lm_scan_flag(m, block);
        return lines;
    }
    if (!lm_phase.is_minor &&
        run_is_words(layout, lm_space.large_bytes[block])) {
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
            lm_scan_repeats(m, lm_bounds_get(), at, layout, first, last);
        }
    }
    if (start < repeats || count == 0) {
        lm_scan_spans(m, lm_bounds_get(), at, layout->fixed,
                      layout->fixed_count);
    }
    if (lm_unlikely(m->has_lost)) {
        lm_scan_flag(m, block);
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
            !(lm_phase.is_minor && lm_block_is_young(entry) != is_young);
        if (is_wanted && is_cells) {
            lines += cells_rescan(m, block, entry, start, stop);
        } else if (is_wanted && entry.state == LM_BLOCK_HEAD &&
                   ((lm_space.bits[block].pair[0][lm_phase_side(entry)]) & 1)) {
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
    return lm_space_has_bits(block, lm_phase_side(entry));
}

static void pages_push(struct loam_marker *m, uintptr_t start, uintptr_t end,
                       bool is_young) {
    uintptr_t page = (start - lm_space.base) >> LM_PAGE_SHIFT;
    uintptr_t count = (end - start) >> LM_PAGE_SHIFT;
    if (m->top == m->limit && !lm_stack_grow(m)) {
        m->has_lost = false; // nothing is: it is done at once
        m->line_count += pages_rescan(m, start, end, is_young);
        return;
    }
    *m->top++ = LM_ENTRY_PAGES | (is_young ? LM_ENTRY_YOUNG : 0) |
                count << LM_ENTRY_PAGES_SHIFT | page;
}

void lm_rescan_pages(struct loam_marker *m, uintptr_t start, uintptr_t end) {
    uintptr_t from = start; // of the row not yet pushed
    for (uintptr_t at = start; at < end;) {
        uintptr_t next = (at | (LM_BLOCK_BYTES - 1)) + 1;
        next = next < end ? next : end;
        bool is_wanted = block_has_kept(lm_space_block_of(at));
        uintptr_t stop = is_wanted ? next : at;
        if (from < stop &&
            (!is_wanted || next == end ||
             stop - from >= RESCAN_PAGES_EACH << LM_PAGE_SHIFT)) {
            pages_push(m, from, stop, false);
            from = stop;
        }
        from = is_wanted ? from : next;
        at = next;
    }
}

void lm_rescan_young(struct loam_marker *m, uint32_t block) {
    uintptr_t start = (uintptr_t)lm_space_address(block);
    pages_push(m, start, start + LM_BLOCK_BYTES, true);
}

void lm_rescan_entry(struct loam_marker *m, uintptr_t entry) {
    uintptr_t page = entry & (((uintptr_t)1 << LM_ENTRY_PAGES_SHIFT) - 1);
    uintptr_t count =
        (entry & ~(LM_ENTRY_PAGES | LM_ENTRY_YOUNG)) >> LM_ENTRY_PAGES_SHIFT;
    uintptr_t start = lm_space.base + (page << LM_PAGE_SHIFT);
    m->line_count += pages_rescan(m, start, start + (count << LM_PAGE_SHIFT),
                                  (entry & LM_ENTRY_YOUNG) != 0);
}
