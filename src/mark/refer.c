// SPDX-License-Identifier: MIT
// refer.c: records of fields, in a list for each block that they refer into.
//
// A record is no more than a hint where to look: when objects have been moved,
// the field may be gone, hold something else, or have been moved itself. So
// lm_refer_update asks again whether there is a pointer field of a live object,
// and whether it refers to what was moved.
//
//   refer.1  While the program is stopped and all that was written has been
//            scanned, each field that refers into a source is in the source's
//            list, and no other word points into it.

#include "mark/refer.h"

#include "alloc/evacuate.h"
#include "base/bits.h"
#include "base/check.h"
#include "heap/find.h"
#include "os/memory.h"

#include <string.h>

#define WORD sizeof(uintptr_t)

// So many references to the objects of one block can be changed well within a
// pause: at half a microsecond each, if every one lies on an armed page of its
// own, 2 ms; and at a tenth of that as they usually lie.
#define REFER_RECORDS_MAX 4096

// Records there is room for, for each source; the rest of the address space is
// not taken. Many objects are referred to once, and a block has up to 512.
#define REFER_ROOM 1024
#define REFER_ROOM_MAX ((size_t)1 << 23)

// A compiler may keep a pointer to a place a little before or behind an object.
#define REFER_NEAR_BYTES 256

struct record {
    uintptr_t field;
    uint32_t next;
};

static struct {
    struct record *record; // from 1
    size_t bytes;
    uint32_t room;
    uint32_t used;
    uint32_t unused; // records that have been used, linked
    bool is_checking;
} refer;

bool lm_refer_begin(void) {
    size_t room = (size_t)lm_evacuation.source_count * REFER_ROOM;
    room = room < REFER_ROOM_MAX ? room : REFER_ROOM_MAX;
    memset(&refer, 0, sizeof refer);
    refer.bytes = lm_round_up((room + 1) * sizeof *refer.record, 4096);
    refer.record = lm_memory_map(refer.bytes);
    refer.room = (uint32_t)room;
    return refer.record != NULL;
}

void lm_refer_end(void) {
    if (refer.record) {
        lm_memory_release(refer.record, refer.bytes);
        refer.record = NULL;
    }
}

// ---- One word ------------------------------------------------------------------

static void word_check(uintptr_t word) {
    LM_CHECK(1, lm_evacuate_forward(word) == word,
             "refer.2 nothing refers to where an object was moved from");
}

// A word that may point into a source and cannot be changed.
static inline void word_keep(uintptr_t word) {
    uint32_t number = lm_evacuate_find(word);
    if (lm_unlikely(number)) {
        if (refer.is_checking) {
            word_check(word);
        } else {
            lm_evacuate_keep(number);
        }
    }
}

static uint32_t record_new(void) {
    uint32_t r = refer.unused;
    if (r) {
        refer.unused = refer.record[r].next;
    } else if (refer.used < refer.room) {
        r = ++refer.used;
    }
    return r;
}

static __attribute__((noinline)) void field_record(uintptr_t field,
                                                   uint32_t number) {
    struct lm_source *s = &lm_evacuation.source[number];
    uint32_t r = s->record_count < REFER_RECORDS_MAX ? record_new() : 0;
    if (r == 0) {
        lm_evacuate_keep(number);
        return;
    }
    refer.record[r] = (struct record){field, s->record};
    s->record = r;
    s->record_count++;
}

// The program may be writing it.
static inline uintptr_t word_at(uintptr_t address) {
    return __atomic_load_n((const uintptr_t *)address, // NOLINT
                           __ATOMIC_RELAXED);
}

static inline void field_see(uintptr_t field) {
    uintptr_t word = word_at(field);
    uint32_t number = lm_evacuate_find(word);
    if (lm_unlikely(number)) {
        if (refer.is_checking) {
            word_check(word);
        } else {
            field_record(field, number);
        }
    }
}

// ---- Objects -------------------------------------------------------------------

// The part of an object that is looked at, and whether its layout names nothing
// but pointers.
struct part {
    uintptr_t low;
    uintptr_t high;
    bool is_exact;
};

static void words_see(uintptr_t from, uintptr_t to, const struct part *part) {
    from = from > part->low ? from : part->low;
    to = to < part->high ? to : part->high;
    for (; from < to; from += WORD) {
        if (part->is_exact) {
            field_see(from);
        } else {
            word_keep(word_at(from));
        }
    }
}

static void spans_see(uintptr_t at, const struct lm_span *spans, size_t count,
                      const struct part *part) {
    for (size_t i = 0; i < count; i++) {
        uintptr_t from = at + spans[i].offset_bytes;
        words_see(from, from + spans[i].word_count * WORD, part);
    }
}

static void repeats_see(uintptr_t start, size_t bytes,
                        const struct lm_layout *layout,
                        const struct part *part) {
    size_t stride = layout->repeat_stride_bytes;
    if (layout->repeat_count == 0 || bytes < layout->repeat_start_bytes) {
        return;
    }
    uintptr_t at = start + layout->repeat_start_bytes;
    size_t count = (bytes - layout->repeat_start_bytes) / stride;
    if (stride == WORD) {
        words_see(at, at + count * WORD, part);
        return;
    }
    size_t first = part->low > at ? (part->low - at) / stride : 0;
    size_t last = part->high > at ? (part->high - at - 1) / stride + 1 : 0;
    last = last < count ? last : count;
    for (size_t i = first; i < last; i++) {
        spans_see(at + i * stride, layout->repeat, layout->repeat_count, part);
    }
}

static void object_see(uintptr_t start, size_t bytes,
                       const struct lm_layout *layout,
                       const struct part *part) {
    spans_see(start, layout->fixed, layout->fixed_count, part);
    repeats_see(start, bytes, layout, part);
}

static void cells_see(size_t block, const struct lm_kind *k,
                      const struct part *part) {
    uintptr_t at = (uintptr_t)lm_space_address(block);
    size_t first = (part->low - at) / k->cell_bytes;
    size_t last = (part->high - 1 - at) / k->cell_bytes;
    last = last < k->cell_count ? last : k->cell_count - 1u;
    for (size_t i = first / 64; i <= last / 64; i++) {
        // Acquire: an object's words are read after its bit.
        uint64_t live = __atomic_load_n(
            &lm_space.bits[block].pair[i][lm_space.live], __ATOMIC_ACQUIRE);
        for (; live; live &= live - 1) {
            size_t cell = i * 64 + lm_bits_first(live);
            if (cell >= first && cell <= last) {
                object_see(at + cell * k->cell_bytes, k->cell_bytes, k->layout,
                           part);
            }
        }
    }
}

// What is left where objects were is not looked at when checking.
static bool block_was_moved(size_t block) {
    uint32_t number = lm_evacuate_find((uintptr_t)lm_space_address(block));
    return number && lm_evacuation.source[number].state == LM_SOURCE_MOVED;
}

void lm_refer_scan(uintptr_t start, uintptr_t end) {
    while (start < end) {
        size_t block = lm_space_block_of(start);
        uintptr_t stop = (uintptr_t)lm_space_address(block + 1);
        struct lm_block entry = lm_block_head(&block);
        stop = stop < end ? stop : end;
        const struct lm_kind *k = &lm_kinds[entry.kind];
        struct part part = {start, stop, entry.kind && k->type->is_exact};
        if (entry.state == LM_BLOCK_FREE || k->is_leaf || k->layout->mark ||
            (refer.is_checking && block_was_moved(block))) {
            // nothing that is looked at here
        } else if (entry.state == LM_BLOCK_CELLS) {
            cells_see(block, k, &part);
        } else if (entry.state == LM_BLOCK_HEAD &&
                   __atomic_load_n(&lm_space.bits[block].pair[0][lm_space.live],
                                   __ATOMIC_ACQUIRE)) {
            object_see((uintptr_t)lm_space_address(block),
                       lm_space.large_bytes[block], k->layout, &part);
        }
        start = stop;
    }
}

// ---- What only names objects -----------------------------------------------------

static void spill_near(struct loam_marker *m) {
    while (m->top > m->bottom) {
        uintptr_t word = *--m->top;
        word_keep(word);
        if (!refer.is_checking) {
            word_keep(word - REFER_NEAR_BYTES);
            word_keep(word + REFER_NEAR_BYTES);
        }
    }
}

static void spill(struct loam_marker *m) {
    while (m->top > m->bottom) {
        word_keep(*--m->top);
    }
}

void lm_refer_roots_begin(struct loam_marker *m) {
    memset(m, 0, sizeof *m);
    lm_marker_begin(m, NULL); // there is one: nobody is marking (chunk.1)
    m->spill = spill_near;
}

void lm_refer_roots_end(struct loam_marker *m) {
    m->spill(m);
    lm_marker_end(m);
}

static bool has_mark_functions(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        if (lm_kinds[kind].layout->mark) {
            return true;
        }
    }
    return false;
}

static void block_visit(struct loam_marker *m, size_t block,
                        const struct lm_kind *k) {
    size_t bytes = k->cell_bytes ? k->cell_bytes : lm_space.large_bytes[block];
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        uint64_t live = lm_space.bits[block].pair[i][lm_space.live];
        for (; live; live &= live - 1) {
            size_t cell = i * 64u + lm_bits_first(live);
            k->layout->mark(m, lm_space_address(block) + cell * k->cell_bytes,
                            bytes);
        }
    }
}

void lm_refer_visit_marked(void) {
    if (!has_mark_functions()) {
        return;
    }
    struct loam_marker m;
    lm_refer_roots_begin(&m);
    m.spill = spill;
    for (size_t b = 1; b < lm_space_used_blocks(); b++) {
        struct lm_block entry = lm_block_load(b);
        if ((entry.state == LM_BLOCK_CELLS || entry.state == LM_BLOCK_HEAD) &&
            lm_kinds[entry.kind].layout->mark) {
            block_visit(&m, b, &lm_kinds[entry.kind]);
        }
    }
    lm_refer_roots_end(&m);
}

// ---- Changing fields -------------------------------------------------------------

// Whether a live object has a pointer there.
static bool field_is_there(uintptr_t field) {
    struct lm_object o;
    if (!lm_find(field, &o)) {
        return false;
    }
    const struct lm_kind *k = &lm_kinds[o.kind];
    size_t offset = field - o.start;
    return !k->is_leaf && k->type->is_exact &&
           offset + WORD <= lm_find_size(&o) &&
           lm_type_has_pointer(k->layout, offset);
}

static void field_update(uintptr_t field) {
    // Asked where it was: the old cell is allocated until the stop ends.
    if (!field_is_there(field)) {
        return;
    }
    uintptr_t *place = (uintptr_t *)lm_evacuate_forward(field); // NOLINT
    uintptr_t word = *place;
    uintptr_t now = lm_evacuate_forward(word);
    if (now != word) {
        *place = now;
    }
}

// The fields of the objects themselves, which may refer into other sources, lie
// elsewhere now.
static void moved_see(const struct lm_source *s, const struct lm_kind *k) {
    uintptr_t at = (uintptr_t)lm_space_address(s->block);
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        uint64_t live = lm_space.bits[s->block].pair[i][lm_space.live];
        for (; live; live &= live - 1) {
            size_t cell = i * 64u + lm_bits_first(live);
            uintptr_t now = word_at(at + cell * k->cell_bytes);
            struct part part = {now, now + k->cell_bytes, true};
            object_see(now, k->cell_bytes, k->layout, &part);
        }
    }
}

void lm_refer_update(uint32_t number) {
    struct lm_source *s = &lm_evacuation.source[number];
    for (uint32_t r = s->record; r;) {
        uint32_t next = refer.record[r].next;
        field_update(refer.record[r].field);
        refer.record[r].next = refer.unused;
        refer.unused = r;
        r = next;
    }
    s->record = s->record_count = 0;
    const struct lm_kind *k = &lm_kinds[lm_block_load(s->block).kind];
    if (!k->is_leaf) {
        moved_see(s, k);
    }
}

void lm_refer_check(bool on) {
    refer.is_checking = on;
}
