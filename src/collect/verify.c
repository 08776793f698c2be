// SPDX-License-Identifier: MIT
// verify.c: the whole heap against the invariants its modules state.

#include "collect/verify.h"

#include "base/bits.h"
#include "base/check.h"
#include "collect/cycle.h"
#include "heap/find.h"
#include "heap/run.h"

#include <stdint.h>

// Always aborts, whatever the level of checks: who asks wants to know.
#define VERIFY(condition, invariant)                                           \
    do {                                                                       \
        if (!(condition)) {                                                    \
            lm_bug(invariant, __FILE__, __LINE__);                             \
        }                                                                      \
    } while (0)

static size_t verify_cells(uint32_t block, const struct lm_kind *k) {
    const struct lm_bits *bits = &lm_space.bits[block];
    bool is_young = lm_block_is_young(lm_block_load(block));
    size_t objects = 0;
    for (unsigned i = 0; i < LM_CELL_WORDS; i++) {
        uint64_t valid = lm_bits_valid(k->cell_count, i);
        uint64_t allocated = bits->pair[i][lm_space.live];
        uint64_t marked = bits->pair[i][1 - lm_space.live];
        VERIFY((allocated & ~valid) == 0,
               "space.1 bits of cells that are not there are zero");
        bool has_old = lm_space.is_sticky && is_young;
        VERIFY((marked & (has_old ? ~allocated : ~(uint64_t)0)) == 0,
               "space.2 a swept block has no marks but of old objects");
        objects += lm_bits_count(allocated);
    }
    return objects;
}

// Returns how many blocks the run has.
static size_t verify_run(uint32_t block, size_t end) {
    size_t count = lm_find_run_blocks(lm_space.large_bytes[block]);
    VERIFY(block + count <= end, "large.1 a run ends inside the heap");
    VERIFY(lm_space.bits[block].pair[0][lm_space.live] == 1,
           "large.2 a run holds one object");
    VERIFY(lm_space.bits[block].pair[0][1 - lm_space.live] == 0,
           "space.2 a swept run has no mark");
    for (size_t i = 1; i < count; i++) {
        struct lm_block body = lm_block_load(block + i);
        VERIFY(body.state == LM_BLOCK_BODY && body.scale == i,
               "large.1 a head is followed by its body");
    }
    return count;
}

static size_t list_count(const struct lm_block_list *list, uint32_t kind) {
    size_t count = 0;
    for (uint32_t b = list->first; b; b = lm_space.next[b]) {
        VERIFY(lm_block_load(b).kind == kind,
               "sweep.1 a kind's list holds its own blocks");
        VERIFY(++count <= lm_space_used_blocks(), "sweep.4 a list ends");
    }
    return count;
}

struct verification {
    size_t objects;
};

static void verify_lists(size_t listed) {
    size_t in_lists = 0;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        const struct lm_kind *k = &lm_kinds[kind];
        if (k->cell_bytes) {
            VERIFY(k->unswept.first == 0, "sweep.5 all has been swept");
            in_lists += list_count(&k->partial, kind);
            in_lists += list_count(&k->passed, kind);
            in_lists += list_count(&k->full, kind);
        }
        in_lists += list_count(&k->taken, kind);
    }
    VERIFY(in_lists == listed, "sweep.1 each block is in exactly one list");
}

static void verify_blocks(void *argument) {
    struct verification *v = argument;
    size_t end = lm_space_used_blocks();
    size_t listed = 0;
    for (size_t b = 1; b < end;) {
        struct lm_block entry = lm_block_load(b);
        if (entry.state == LM_BLOCK_FREE) {
            b++;
            continue;
        }
        VERIFY(entry.state != LM_BLOCK_BODY, "large.1 a body has a head");
        VERIFY(entry.kind > 0 && entry.kind < lm_kind_count(),
               "kind.1 a block's kind exists");
        const struct lm_kind *k = &lm_kinds[entry.kind];
        VERIFY(!lm_run_is_free(b), "run.1 a block in use is not in the pool");
        listed++;
        if (entry.state == LM_BLOCK_CELLS) {
            VERIFY(entry.scale == k->scale,
                   "kind.2 a block divides as its kind");
            v->objects += verify_cells((uint32_t)b, k);
            b++;
        } else {
            v->objects++;
            b += verify_run((uint32_t)b, end);
        }
    }
    verify_lists(listed);
}

size_t lm_verify_heap(void) {
    struct verification v = {0};
    lm_cycle_stopped(verify_blocks, &v);
    return v.objects;
}
