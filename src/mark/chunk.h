// SPDX-License-Identifier: MIT
// mark/chunk.h: the memory of mark stacks.

#ifndef MARK_CHUNK_H
#define MARK_CHUNK_H

#include "base/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_chunk is a piece of a mark stack: words that may point at objects
// still to be marked, or slices of large objects still to be scanned.
struct lm_chunk {
    struct lm_chunk *next;
    size_t count;
    uintptr_t entry[LM_CHUNK_ENTRIES];
};

// lm_chunk_init obtains the first slab, which is kept: so one marker can always
// work. False when refused.
bool lm_chunk_init(void);
void lm_chunk_fini(void);

// lm_chunk_new returns an empty chunk, or NULL: then a mark stack overflows.
struct lm_chunk *lm_chunk_new(void);

void lm_chunk_free(struct lm_chunk *chunk);

// lm_chunk_trim returns the memory of all slabs but the first to the system.
// No chunk may be in use.
void lm_chunk_trim(void);

// lm_chunk_bytes returns how much memory all slabs take.
size_t lm_chunk_bytes(void);

void lm_chunk_fork_child(void);

#endif // MARK_CHUNK_H
