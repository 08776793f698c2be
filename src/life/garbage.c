// SPDX-License-Identifier: MIT
// garbage.c: the list of what has died.
//
// Marking what the dead refer to, and not themselves, tells which of them another
// one refers to.

#include "life/garbage.h"

#include "base/bits.h"
#include "base/settings.h"
#include "heap/kind.h"
#include "heap/space.h"
#include "os/memory.h"

#include <string.h>

// Looked at in one part of settling.
#define GARBAGE_BLOCKS 64
#define GARBAGE_OBJECTS 2048

#define GARBAGE_FIRST ((size_t)1 << 12)

static struct {
    struct lm_garbage *list;
    size_t count;
    size_t room;
    size_t cursor; // block, then index
} garbage;

bool lm_garbage_is_kept(void) {
    return lm_settings.keep_unreachable;
}

static size_t list_bytes(size_t room) {
    return room * sizeof *garbage.list;
}

static bool list_grow(void) {
    size_t room = garbage.room ? garbage.room * 2 : GARBAGE_FIRST;
    struct lm_garbage *list = lm_memory_map(list_bytes(room));
    if (list == NULL) {
        return false;
    }
    if (garbage.count) {
        memcpy(list, garbage.list, list_bytes(garbage.count));
    }
    lm_memory_release(garbage.list, list_bytes(garbage.room));
    garbage.list = list;
    garbage.room = room;
    return true;
}

// What does not fit the list is freed, as it is without this.
static void list_add(uintptr_t start) {
    if (garbage.count < garbage.room || list_grow()) {
        garbage.list[garbage.count++] = (struct lm_garbage){start, false};
    }
}

void lm_garbage_begin(void) {
    garbage.count = 0;
    garbage.cursor = 1;
}

// What was allocated before the collection and is not marked.
static void block_list(size_t block) {
    struct lm_block entry = lm_block_load(block);
    const struct lm_kind *k = &lm_kinds[entry.kind];
    bool is_run = entry.state == LM_BLOCK_HEAD;
    unsigned live = lm_space.live;
    if (entry.state != LM_BLOCK_CELLS && !is_run) {
        return;
    }
    for (unsigned i = 0; i < (is_run ? 1u : LM_CELL_WORDS); i++) {
        const uint64_t *pair = lm_space.bits[block].pair[i];
        // Relaxed: nobody sweeps, and only what is alive can be freed.
        uint64_t dead = __atomic_load_n(&pair[1 - live], __ATOMIC_RELAXED) &
                        ~__atomic_load_n(&pair[live], __ATOMIC_RELAXED);
        for (; dead; dead &= dead - 1) {
            size_t cell = i * 64u + lm_bits_first(dead);
            list_add((uintptr_t)lm_space_address(block) + cell * k->cell_bytes);
        }
    }
}

bool lm_garbage_list(void) {
    size_t end = lm_space_used_blocks();
    for (unsigned i = 0; i < GARBAGE_BLOCKS && garbage.cursor < end; i++) {
        block_list(garbage.cursor++);
    }
    if (garbage.cursor < end) {
        return true;
    }
    garbage.cursor = 0;
    return false;
}

bool lm_garbage_follow(struct loam_marker *m) {
    for (unsigned i = 0; i < GARBAGE_OBJECTS && garbage.cursor < garbage.count;
         i++) {
        lm_marker_inside(m, garbage.list[garbage.cursor++].start);
    }
    if (garbage.cursor < garbage.count) {
        return true;
    }
    garbage.cursor = 0;
    return false;
}

bool lm_garbage_raise(struct loam_marker *m) {
    for (unsigned i = 0; i < GARBAGE_OBJECTS && garbage.cursor < garbage.count;
         i++) {
        struct lm_garbage *g = &garbage.list[garbage.cursor++];
        g->is_referred = lm_marker_is_kept(g->start);
        lm_marker_root(m, g->start);
    }
    return garbage.cursor < garbage.count;
}

size_t lm_garbage_count(void) {
    return garbage.count;
}

struct lm_garbage lm_garbage_at(size_t index) {
    return garbage.list[index];
}

void lm_garbage_fini(void) {
    lm_memory_release(garbage.list, list_bytes(garbage.room));
    memset(&garbage, 0, sizeof garbage);
}
