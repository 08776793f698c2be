// SPDX-License-Identifier: MIT
// loam/scope.h: memory that goes back all at once.
//
//     struct loam_scope *scope = loam_scope_begin();
//     struct token *t = loam_scope_new(scope, struct token);
//     char *line = loam_scope_alloc(scope, 80);
//     ...
//     loam_scope_end(scope); // t and line are gone, without a collection
//
// What is made in a scope lies side by side in pieces of the heap that are
// scanned conservatively: it may refer to any object, and keeps it alive. No
// object of a scope has a type, none can be freed or resized by itself, and the
// collector keeps or drops a piece as a whole. A scope that is not ended, but
// forgotten, is collected like anything else.
//
// Scopes know nothing of each other: one may be begun within another, and each
// ends when its own loam_scope_end says so. A scope is used by one thread at a
// time, and not by a signal handler that interrupts that thread in it.

#ifndef LOAM_SCOPE_H
#define LOAM_SCOPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// struct loam_scope is a scope; its fields are the library's.
struct loam_scope {
    uintptr_t next; // free from here
    uintptr_t end;  // up to here
    void *newest;   // piece
    void *unused;
};

// loam_scope_begin returns a new scope, or NULL where there is no room (see
// loam_alloc). The scope is alive as long as the pointer is where the collector
// looks.
//
//   threads  any       collects  may         cost  about 100 ns
struct loam_scope *loam_scope_begin(void);

// loam_scope_end gives back all that was made in a scope, and the scope. NULL is
// ignored. What is no scope, or was ended before, is an error of the caller.
//
// Nothing may refer to it afterwards: its memory is used again at once. With
// LOAM_CHECK=2 what still does is reported, after a collection of all: objects,
// static data and roots, but not stacks.
//
//   threads  any       collects  never       cost  about 200 ns a piece of 32 KiB
void loam_scope_end(struct loam_scope *scope);

void *loam_scope_slow_(struct loam_scope *scope, size_t bytes);

// loam_scope_alloc returns `bytes` zeroed bytes, aligned to 16, that live as long
// as the scope. NULL as for loam_alloc. 0 bytes give an address of their own.
//
//   threads  one       collects  may         cost  about 1 ns up to 8 KiB
static inline void *loam_scope_alloc(struct loam_scope *scope, size_t bytes) {
    uintptr_t p = scope->next;
    bytes += bytes == 0;
    if (__builtin_expect(bytes <= scope->end - p, 1)) {
        scope->next = p + ((bytes + 15) & ~(size_t)15);
        return (void *)p;
    }
    return loam_scope_slow_(scope, bytes);
}

// Elements of an array in a scope; a size that overflows is LOAM_TOO_LARGE.
static inline void *loam_scope_array_(struct loam_scope *scope, size_t element,
                                      size_t n) {
    size_t bytes;
    if (__builtin_mul_overflow(element, n, &bytes)) {
        bytes = SIZE_MAX;
    }
    return loam_scope_alloc(scope, bytes);
}

static inline void loam_scoped_memory_end_(struct loam_scope *const *scope) {
    loam_scope_end(*scope);
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

// loam_scope_new(scope, T) returns a zeroed T that lives as long as the scope, or
// NULL.
//
//   threads  one       collects  may         cost  as loam_scope_alloc
#define loam_scope_new(scope, T) ((T *)loam_scope_alloc((scope), sizeof(T)))

// loam_scope_new_array(scope, T, n) returns n zeroed elements of T, or NULL; a
// size that overflows is LOAM_TOO_LARGE.
//
//   threads  one       collects  may         cost  as loam_scope_alloc
#define loam_scope_new_array(scope, T, n)                                      \
    ((T *)loam_scope_array_((scope), sizeof(T), (n)))

// LOAM_SCOPED_MEMORY, before the declaration of a struct loam_scope *, ends the
// scope of memory with the scope of the variable; see loam/defer.h.
#define LOAM_SCOPED_MEMORY                                                     \
    __attribute__((cleanup(loam_scoped_memory_end_), unused))

#endif // LOAM_SCOPE_H
