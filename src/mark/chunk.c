// SPDX-License-Identifier: MIT
// chunk.c: a free list of chunks, filled a slab at a time.

#include "mark/chunk.h"

#include "os/lock.h"
#include "os/memory.h"

// A slab holds LM_CHUNK_SLAB chunks, the first of which links the slabs.
//
//   chunk.1  Between phases all chunks of the first slab are free.
static struct {
    struct lm_lock lock; // guards all below
    struct lm_chunk *free;
    struct lm_chunk *slabs;
    size_t count; // chunks in all slabs; atomic for readers
} chunk_pool;

#define CHUNK_SLAB_BYTES (LM_CHUNK_SLAB * sizeof(struct lm_chunk))

static void chunk_set_count(size_t count) {
    __atomic_store_n(&chunk_pool.count, count, __ATOMIC_RELAXED);
}

size_t lm_chunk_bytes(void) {
    size_t count = __atomic_load_n(&chunk_pool.count, __ATOMIC_RELAXED);
    return count * sizeof(struct lm_chunk);
}

static void slab_add(struct lm_chunk *slab) {
    for (size_t i = LM_CHUNK_SLAB - 1; i >= 1; i--) {
        slab[i].next = chunk_pool.free;
        chunk_pool.free = &slab[i];
    }
}

static void chunk_grow(void) {
    if (chunk_pool.count >= LM_CHUNK_MAX_COUNT) {
        return;
    }
    struct lm_chunk *slab = lm_memory_map(CHUNK_SLAB_BYTES);
    if (slab == NULL) {
        return;
    }
    slab->next = chunk_pool.slabs;
    chunk_pool.slabs = slab;
    chunk_set_count(chunk_pool.count + LM_CHUNK_SLAB);
    slab_add(slab);
}

struct lm_chunk *lm_chunk_new(void) {
    lm_lock_acquire(&chunk_pool.lock);
    if (chunk_pool.free == NULL) {
        chunk_grow();
    }
    struct lm_chunk *chunk = chunk_pool.free;
    if (chunk) {
        chunk_pool.free = chunk->next;
        chunk->next = NULL;
        chunk->count = 0;
    }
    lm_lock_release(&chunk_pool.lock);
    return chunk;
}

void lm_chunk_free(struct lm_chunk *chunk) {
    lm_lock_acquire(&chunk_pool.lock);
    chunk->next = chunk_pool.free;
    chunk_pool.free = chunk;
    lm_lock_release(&chunk_pool.lock);
}

bool lm_chunk_init(void) {
    chunk_pool.lock = (struct lm_lock){0};
    chunk_pool.free = chunk_pool.slabs = NULL;
    chunk_set_count(0);
    chunk_grow();
    return chunk_pool.free != NULL;
}

void lm_chunk_trim(void) {
    lm_lock_acquire(&chunk_pool.lock);
    while (chunk_pool.slabs->next) {
        struct lm_chunk *slab = chunk_pool.slabs;
        chunk_pool.slabs = slab->next;
        lm_memory_release(slab, CHUNK_SLAB_BYTES);
    }
    chunk_pool.free = NULL;
    chunk_set_count(LM_CHUNK_SLAB);
    slab_add(chunk_pool.slabs);
    lm_lock_release(&chunk_pool.lock);
}

void lm_chunk_fini(void) {
    if (chunk_pool.slabs) {
        lm_chunk_trim();
    }
    lm_memory_release(chunk_pool.slabs, CHUNK_SLAB_BYTES);
    chunk_pool.slabs = chunk_pool.free = NULL;
    chunk_set_count(0);
}

// Those that other markers had are free: there are none.
void lm_chunk_fork_child(void) {
    lm_lock_reset(&chunk_pool.lock);
    chunk_pool.free = NULL;
    chunk_set_count(0);
    struct lm_chunk *slab = chunk_pool.slabs;
    for (; slab; slab = slab->next) {
        chunk_set_count(chunk_pool.count + LM_CHUNK_SLAB);
        slab_add(slab);
    }
}
