// SPDX-License-Identifier: MIT
// alloc/large.h: objects that have a run of blocks to themselves.

#ifndef ALLOC_LARGE_H
#define ALLOC_LARGE_H

#include "alloc/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_large_new makes a large object of a kind, aligned to `align` bytes (a
// power of two; blocks are aligned anyway). Zeroed if the kind says so.
enum lm_refill lm_large_new(uint32_t kind, size_t bytes, size_t align,
                            enum lm_effort effort, void **object);

// lm_large_free gives an object's run back at once and returns its size; 0 when
// another has freed it already.
size_t lm_large_free(uint32_t kind, uint32_t block);

// lm_large_resize changes the size in place, into free blocks behind it or by
// giving the last ones back. False when it does not fit.
bool lm_large_resize(uint32_t kind, uint32_t block, size_t bytes);

#endif // ALLOC_LARGE_H
