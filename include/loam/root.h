// SPDX-License-Identifier: MIT
// loam/root.h: keeping objects alive from places the collector does not look.
//
// The collector looks at every thread's stack, registers and thread-local
// storage and at the static data of the program and its libraries. It does not
// look into malloc's memory, files, or memory that the program maps itself.

#ifndef LOAM_ROOT_H
#define LOAM_ROOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_root_add makes `bytes` bytes at `start` a root: whatever their aligned
// words point to stays alive. Returns 0, or -1 with loam_last_error: a NULL
// start or an empty range is LOAM_BAD_ARGUMENT. Adding the same start again
// replaces its length.
//
//   threads  any       collects  never       cost  a lock and a look-up
int loam_root_add(void *start, size_t bytes);

// loam_root_remove ends what loam_root_add began at `start`. One that was not
// added is an error of the caller.
//
//   threads  any       collects  never       cost  a lock and a look-up
void loam_root_remove(void *start);

// loam_pin keeps the object that p points at or into alive, and where it is,
// until loam_unpin has been called as often as loam_pin. Returns p, or NULL
// with loam_last_error when p is no object or the table of pins cannot grow.
//
//   threads  any       collects  never       cost  a lock and a look-up
void *loam_pin(void *p);

// loam_unpin takes back one loam_pin. An object that is not pinned is an error
// of the caller.
//
//   threads  any       collects  never       cost  a lock and a look-up
void loam_unpin(void *p);

// loam_address returns p as a number that stays right: the object that p points
// at or into will never be moved (see loam_compact). Unlike a pin it keeps
// nothing alive. For hashing by address, and for keeping a pointer where the
// collector does not look. 0 with loam_last_error when p is no object.
//
//   threads  any       collects  never       cost  about 5 ns
uintptr_t loam_address(const void *p);

// loam_keep_alive makes the compiler keep p until this point, where an
// optimiser would otherwise have dropped the last pointer to the object.
//
//   threads  any       collects  never       cost  nothing
static inline void loam_keep_alive(const void *p) {
    __asm__ volatile("" : : "r"(p) : "memory");
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_ROOT_H
