// SPDX-License-Identifier: MIT
// collect/verify.h: checking every invariant of the heap.

#ifndef COLLECT_VERIFY_H
#define COLLECT_VERIFY_H

#include <stddef.h>

// lm_verify_heap stops the program, walks the heap and aborts at the first
// invariant that is broken. Returns how many objects there are.
size_t lm_verify_heap(void);

#endif // COLLECT_VERIFY_H
