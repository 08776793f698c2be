// SPDX-License-Identifier: MIT
// space.c: taking the range and growing into it.

#include "heap/space.h"

#include "base/bits.h"
#include "base/settings.h"
#include "os/memory.h"

struct lm_space lm_space;

// Bytes of tables for a block: its state, bits, link and large size.
#define SPACE_TABLE_BYTES                                                      \
    (sizeof(struct lm_block) + sizeof(struct lm_bits) + sizeof(uint32_t) +     \
     sizeof(size_t))

static bool space_reserve(size_t bytes) {
    size_t blocks = bytes >> LM_BLOCK_SHIFT;
    size_t tables = lm_round_up(blocks * SPACE_TABLE_BYTES, LM_COMMIT_BYTES);
    // Aligned as far as objects can be, so that a block's number tells how
    // its address is aligned.
    size_t align = LM_COMMIT_BYTES;
    while (align < LM_ALIGN_MAX_BYTES && align * 2 <= bytes) {
        align *= 2;
    }
    char *base = lm_memory_reserve(bytes, align);
    if (base == NULL) {
        return false;
    }
    // The tables are usable at once; untouched they cost nothing.
    char *table = lm_memory_map(tables);
    if (table == NULL) {
        lm_memory_release(base, bytes);
        return false;
    }
    lm_space.base = (uintptr_t)base;
    lm_space.reserved_bytes = bytes;
    lm_space.tables = table;
    lm_space.tables_bytes = tables;
    lm_space.bits = (struct lm_bits *)table;
    lm_space.block = (struct lm_block *)(lm_space.bits + blocks);
    lm_space.large_bytes = (size_t *)(lm_space.block + blocks);
    lm_space.next = (uint32_t *)(lm_space.large_bytes + blocks);
    return true;
}

bool lm_space_init(void) {
    size_t bytes = lm_settings.reserve ? lm_settings.reserve : LM_RESERVE_BYTES;
    // Under a limit of address space half of what is left is ours; the rest
    // is for stacks, libraries and malloc.
    size_t limit = lm_memory_limit() / 2;
    while (bytes > limit && bytes > LM_RESERVE_MIN_BYTES) {
        bytes /= 2;
    }
    bytes = lm_round_up(bytes, LM_COMMIT_BYTES);
    while (!space_reserve(bytes)) {
        bytes = lm_round_up(bytes / 2, LM_COMMIT_BYTES);
        if (bytes < LM_RESERVE_MIN_BYTES) {
            return false;
        }
    }
    lm_space.live = 0;
    lm_space.cycle = 1;
    lm_space.bytes = 0;
    return true;
}

void lm_space_fini(void) {
    lm_memory_release((void *)lm_space.base, lm_space.reserved_bytes); // NOLINT
    lm_memory_release(lm_space.tables, lm_space.tables_bytes);
    lm_space = (struct lm_space){0};
}

bool lm_space_grow(size_t block, bool huge) {
    size_t want = lm_round_up(block << LM_BLOCK_SHIFT, LM_COMMIT_BYTES);
    size_t have = lm_round_up(lm_space.bytes, LM_COMMIT_BYTES);
    if (block > lm_space_block_count()) {
        return false;
    }
    if (want > have &&
        !lm_memory_commit((void *)(lm_space.base + have), want - have, huge)) {
        return false; // NOLINT: an address of the range is a pointer
    }
    // Relaxed: see lm_space_used_blocks.
    __atomic_store_n(&lm_space.bytes, block << LM_BLOCK_SHIFT,
                     __ATOMIC_RELAXED);
    return true;
}
