// SPDX-License-Identifier: MIT
// referrer.c: a walk over all that is alive, while the program is stopped.

#include "collect/referrer.h"

#include "base/bits.h"
#include "base/check.h"
#include "collect/cycle.h"
#include "heap/find.h"
#include "os/image.h"

#include <stddef.h>

#define WORD sizeof(uintptr_t)

struct search {
    lm_referrer_fn *refers;
    const void *argument;
    struct lm_referrer found;
    bool is_over;
};

// Words of static data include what the sanitizers put between variables.
LM_NO_SANITIZE static uintptr_t word_at(uintptr_t at) {
    return *(const uintptr_t *)at; // NOLINT: an address
}

static void words_search(struct search *s, uintptr_t at, uintptr_t end) {
    for (; at + WORD <= end && !s->is_over; at += WORD) {
        uintptr_t word = word_at(at);
        if (s->refers(word, s->argument)) {
            s->found.place = (const void *)at;  // NOLINT: an address
            s->found.word = (const void *)word; // NOLINT: likewise
            s->is_over = true;
        }
    }
}

static void spans_search(struct search *s, uintptr_t at,
                         const struct lm_span *spans, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uintptr_t from = at + spans[i].offset_bytes;
        words_search(s, from, from + spans[i].word_count * WORD);
    }
}

static void object_search(struct search *s, const struct lm_kind *k,
                          uintptr_t start, size_t bytes) {
    const struct lm_layout *layout = k->layout;
    if (s->is_over || s->refers(start + bytes - 1, s->argument)) {
        return; // one of those that are asked about
    }
    s->found.type = k->type;
    s->found.object = (const void *)(start + k->type->lead_bytes); // NOLINT
    spans_search(s, start, layout->fixed, layout->fixed_count);
    uintptr_t at = start + layout->repeat_start_bytes;
    for (; layout->repeat_count > 0 &&
           at + layout->repeat_stride_bytes <= start + bytes;
         at += layout->repeat_stride_bytes) {
        spans_search(s, at, layout->repeat, layout->repeat_count);
    }
}

static void block_search(struct search *s, size_t block) {
    struct lm_block entry = lm_block_load(block);
    const struct lm_kind *k = &lm_kinds[entry.kind];
    if ((entry.state != LM_BLOCK_CELLS && entry.state != LM_BLOCK_HEAD) ||
        k->is_leaf || k->layout->mark) {
        return;
    }
    uintptr_t start = (uintptr_t)lm_space_address(block);
    size_t bytes = k->cell_bytes ? k->cell_bytes : lm_space.large_bytes[block];
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        uint64_t live = lm_space.bits[block].pair[i][lm_space.live];
        for (; live; live &= live - 1) {
            size_t cell = i * 64u + lm_bits_first(live);
            object_search(s, k, start + cell * bytes, bytes);
        }
    }
}

static void all_search(const struct lm_images *images, uint64_t began_ns,
                       void *argument) {
    struct search *s = argument;
    (void)began_ns;
    for (size_t b = 1; b < lm_space_used_blocks() && !s->is_over; b++) {
        block_search(s, b);
    }
    for (size_t i = 0; i < images->data_count && !s->is_over; i++) {
        s->found.type = NULL;
        words_search(s, images->data[i].start, images->data[i].end);
    }
}

bool lm_referrer_find(lm_referrer_fn *refers, const void *argument,
                      struct lm_referrer *found) {
    struct search s = {.refers = refers, .argument = argument};
    lm_cycle_collect(LM_CYCLE_FULL, LM_CAUSE_REQUEST, 0);
    lm_cycle_hold();
    lm_cycle_pause(all_search, &s);
    lm_cycle_let();
    *found = s.found;
    return s.is_over;
}
