// SPDX-License-Identifier: MIT
// stack.c: what one thread has still to mark.

#include "mark/stack.h"

#include "mark/share.h"

#include <string.h>

#define WORD sizeof(uintptr_t)

void lm_stack_set(struct loam_marker *m, struct lm_chunk *chunk) {
    m->chunk = chunk;
    m->bottom = chunk->entry;
    m->top = chunk->entry + chunk->count;
    m->limit = chunk->entry + LM_CHUNK_ENTRIES;
}

static void stack_offer(struct loam_marker *m, struct lm_chunk *chunk) {
    m->is_parallel |= m->has_company;
    lm_share_offer(chunk);
}

bool lm_stack_grow(struct loam_marker *m) {
    if (m->spill) {
        m->spill(m);
        return true;
    }
    struct lm_chunk *chunk = lm_chunk_new();
    if (chunk == NULL) {
        m->has_lost = true;
        return false;
    }
    m->chunk->count = lm_stack_count(m);
    stack_offer(m, m->chunk);
    lm_stack_set(m, chunk);
    return true;
}

void lm_stack_split(struct loam_marker *m) {
    size_t count = lm_stack_count(m);
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
