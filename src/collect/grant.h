// SPDX-License-Identifier: MIT
// collect/grant.h: memory for an object: collect, grow, or say no.

#ifndef COLLECT_GRANT_H
#define COLLECT_GRANT_H

#include "alloc/cache.h"
#include "world/member.h"

#include <stddef.h>
#include <stdint.h>

// lm_grant_cell gets a cell of a kind for the calling member.
enum lm_refill lm_grant_cell(struct lm_member *self, uint32_t kind,
                             void **object);

// lm_grant_large gets a large object.
enum lm_refill lm_grant_large(struct lm_member *self, uint32_t kind,
                              size_t bytes, size_t align, void **object);

#endif // COLLECT_GRANT_H
