// SPDX-License-Identifier: MIT
// os/memory.h: address space and memory from the system.
//
// Every request may be refused, by the system or by the torture setting
// LOAM_TORTURE=refuse:N; callers handle both alike. Sizes and addresses are
// multiples of the system's page.

#ifndef OS_MEMORY_H
#define OS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_memory_reserve takes address space, aligned to align bytes, that cannot
// be touched yet. NULL when refused.
void *lm_memory_reserve(size_t bytes, size_t align);

// lm_memory_commit makes reserved space usable; it reads as zeroes.
bool lm_memory_commit(void *start, size_t bytes, bool huge);

// lm_memory_map takes usable zeroed memory. NULL when refused.
void *lm_memory_map(size_t bytes);

// lm_memory_discard gives the memory back to the system and keeps the space,
// which then reads as zeroes. False when refused: then nothing has changed.
bool lm_memory_discard(void *start, size_t bytes);

// lm_memory_release gives space and memory back; nothing where start is NULL.
void lm_memory_release(void *start, size_t bytes);

// lm_memory_populate touches memory that may be in use already, so that nobody
// else has to wait for the system to find it, in huge pages where it can.
void lm_memory_populate(void *start, size_t bytes);

// lm_memory_limit returns the bytes of address space the process may still
// take under RLIMIT_AS, or SIZE_MAX.
size_t lm_memory_limit(void);

// lm_memory_physical returns the bytes of memory that the machine has.
size_t lm_memory_physical(void);

// lm_memory_has_huge_pages says whether the system gives huge pages to who
// asks for them.
bool lm_memory_has_huge_pages(void);

// lm_memory_is_refused is the torture setting's word on one more request; the
// other parts of this floor ask it too.
bool lm_memory_is_refused(void);

#endif // OS_MEMORY_H
