// SPDX-License-Identifier: MIT
// loam/garbage.h: looking at what has died instead of freeing it.
//
// In a program that is run with LOAM_KEEP=unreachable nothing is freed by a
// collection, and loam_compact moves nothing. What would have been is listed here:
// to find out what becomes garbage, and whether it is in cycles. (Python has
// gc.DEBUG_SAVEALL for that.)

#ifndef LOAM_GARBAGE_H
#define LOAM_GARBAGE_H

#include <stddef.h>

#include <loam/type.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// struct loam_garbage is an object that the last collection found dead.
struct loam_garbage {
    void *object;
    const struct loam_type *type; // NULL for untyped memory
    size_t bytes;
    int is_referred; // 1: by another one; a cycle has no other members
};

// loam_garbage_count returns how many objects the last collection of all found
// dead; those of collections before it, too, unless they are used again. 0
// without LOAM_KEEP=unreachable.
//
//   threads  any       collects  never       cost  a lock
size_t loam_garbage_count(void);

// loam_garbage_each calls fn with each of them and returns how many it was called
// with. It may allocate and collect: the list is that of the beginning. What has
// been freed by hand since is left out. 0 also where there is no memory for a copy
// of the list (8 bytes each): see loam_last_error.
//
//   threads  any       collects  may         cost  linear
size_t loam_garbage_each(void (*fn)(const struct loam_garbage *garbage,
                                    void *argument),
                         void *argument);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_GARBAGE_H
