// SPDX-License-Identifier: MIT
// space.c: taking the range and growing into it.

#include "heap/space.h"

#include "base/bits.h"
#include "base/settings.h"
#include "os/memory.h"

struct lm_space lm_space;

#define SPACE_PAGE_BYTES ((size_t)4096)

// Bytes of tables for a block: its state, bits, link, large size and whether it
// is fixed.
#define SPACE_TABLE_BYTES                                                      \
    (sizeof(struct lm_block) + sizeof(struct lm_bits) + sizeof(uint32_t) +     \
     sizeof(size_t) + 2 * sizeof(bool))

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
    lm_space.is_fixed = (bool *)(lm_space.next + blocks);
    lm_space.has_freed = lm_space.is_fixed + blocks;
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
    lm_space.bytes = lm_space.ready_bytes = 0;
    return true;
}

// The whole pages among the entries of so many blocks.
static void table_forget(void *table, size_t entry_bytes, size_t block,
                         size_t count) {
    uintptr_t start = (uintptr_t)table + block * entry_bytes;
    uintptr_t end = start + count * entry_bytes;
    start = lm_round_up(start, SPACE_PAGE_BYTES);
    end &= ~(uintptr_t)(SPACE_PAGE_BYTES - 1);
    if (start < end) {
        lm_memory_discard((void *)start, end - start); // NOLINT
    }
}

void lm_space_forget(size_t block, size_t count) {
    table_forget(lm_space.bits, sizeof *lm_space.bits, block, count);
    table_forget(lm_space.block, sizeof *lm_space.block, block, count);
    table_forget(lm_space.large_bytes, sizeof *lm_space.large_bytes, block,
                 count);
    table_forget(lm_space.next, sizeof *lm_space.next, block, count);
    table_forget(lm_space.is_fixed, sizeof *lm_space.is_fixed, block, count);
    table_forget(lm_space.has_freed, sizeof *lm_space.has_freed, block, count);
}

size_t lm_space_table_bytes(void) {
    return lm_space_used_blocks() * SPACE_TABLE_BYTES;
}

void lm_space_fini(void) {
    lm_memory_release((void *)lm_space.base, lm_space.reserved_bytes); // NOLINT
    lm_memory_release(lm_space.tables, lm_space.tables_bytes);
    lm_space = (struct lm_space){0};
}

// How much more than is needed is made writable: an eighth, up to 64 MiB.
#define SPACE_MORE_SHIFT 3
#define SPACE_MORE_MAX_BYTES ((size_t)64 << 20)

static bool space_commit(size_t bytes, bool huge) {
    size_t have = lm_space.ready_bytes;
    if (bytes > have &&
        !lm_memory_commit((void *)(lm_space.base + have), // NOLINT
                          bytes - have, huge)) {
        return false;
    }
    lm_space.ready_bytes = bytes > have ? bytes : have;
    return true;
}

bool lm_space_ready(size_t bytes, bool huge) {
    size_t more = bytes >> SPACE_MORE_SHIFT;
    more = more < SPACE_MORE_MAX_BYTES ? more : SPACE_MORE_MAX_BYTES;
    size_t need = lm_round_up(bytes, LM_COMMIT_BYTES);
    size_t want = lm_round_up(bytes + more, LM_COMMIT_BYTES);
    if (need <= lm_space.ready_bytes) {
        return true;
    }
    return (want <= lm_space.reserved_bytes && space_commit(want, huge)) ||
           space_commit(need, huge);
}

bool lm_space_grow(size_t block, bool huge) {
    if (block > lm_space_block_count() ||
        !lm_space_ready(block << LM_BLOCK_SHIFT, huge)) {
        return false;
    }
    // Relaxed: see lm_space_used_blocks.
    __atomic_store_n(&lm_space.bytes, block << LM_BLOCK_SHIFT,
                     __ATOMIC_RELAXED);
    return true;
}
