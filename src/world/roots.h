// SPDX-License-Identifier: MIT
// world/roots.h: everything that keeps objects alive from outside the heap.

#ifndef WORLD_ROOTS_H
#define WORLD_ROOTS_H

#include "mark/marker.h"
#include "os/image.h"
#include "world/member.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Explicit roots: see loam/root.h. False when the table cannot grow, or when
// nothing was added at that start.
bool lm_roots_add(uintptr_t start, size_t bytes);
bool lm_roots_remove(uintptr_t start);

// Pins of an object, by its start.
bool lm_roots_pin(uintptr_t start);
bool lm_roots_unpin(uintptr_t start);

// Coroutine stacks: see loam/thread.h.
struct loam_stack *lm_roots_stack_add(uintptr_t low, uintptr_t high);
void lm_roots_stack_remove(struct loam_stack *stack);

// lm_roots_mark_data gives what is not in threads: static data, roots and pins.
void lm_roots_mark_data(struct loam_marker *marker,
                        const struct lm_images *images);

// lm_roots_mark gives all roots to a marker. The program is stopped; the
// calling thread has put its own stack pointer and registers in its record.
void lm_roots_mark(struct loam_marker *marker, const struct lm_images *images);

void lm_roots_fini(void);
void lm_roots_fork_prepare(void);
void lm_roots_fork_done(bool in_child);

#endif // WORLD_ROOTS_H
