// SPDX-License-Identifier: MIT
// heap/freed.h: what was freed by hand, for the checks of the highest level.
//
// An object that nobody can reach, but that a stray word keeps, may refer to
// memory that was freed by hand and that something else has come into since.
// That owes it nothing: a collection that does not look at the old object again
// need not mark it. So the check for missed marks leaves it alone.

#ifndef HEAP_FREED_H
#define HEAP_FREED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_freed_init begins, at check level 3; without memory nothing is noted.
void lm_freed_init(void);
void lm_freed_fini(void);

// lm_freed_note says that memory was freed by hand, or that a reference to it
// has outlived its object. Any thread.
void lm_freed_note(uintptr_t start, size_t bytes);

// lm_freed_has says whether that was said of the word at an address, since
// lm_freed_forget.
bool lm_freed_has(uintptr_t address);

// lm_freed_forget begins anew; the program is stopped.
void lm_freed_forget(void);

#endif // HEAP_FREED_H
