// SPDX-License-Identifier: MIT
// memory.c: mmap, mprotect and madvise.
//
// Space is reserved without permissions, which counts for nothing in any mode
// of overcommit, and made usable in order by mprotect: neighbouring pieces
// with the same permissions stay one mapping, so that a large heap does not
// run into vm.max_map_count. Nothing inside is ever unmapped.

#include "os/memory.h"

#include "base/bits.h"
#include "base/settings.h"
#include "os/descriptor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static unsigned memory_requests; // atomic; counts only under torture

bool lm_memory_is_refused(void) {
    unsigned every = lm_settings.torture_refuse;
    if (every == 0) {
        return false;
    }
    // Relaxed: a count, which orders nothing.
    unsigned n = __atomic_add_fetch(&memory_requests, 1, __ATOMIC_RELAXED);
    return n % every == 0;
}

static void *memory_mmap(size_t bytes, int protection) {
    if (lm_memory_is_refused()) {
        return NULL;
    }
    void *p = mmap(NULL, bytes, protection,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void *lm_memory_reserve(size_t bytes, size_t align) {
    char *p = memory_mmap(bytes + align, PROT_NONE);
    if (p == NULL) {
        return NULL;
    }
    char *start = (char *)lm_round_up((uintptr_t)p, align);
    size_t before = (size_t)(start - p);
    if (before > 0) {
        munmap(p, before);
    }
    if (align > before) {
        munmap(start + bytes, align - before);
    }
    // Core files would otherwise list a terabyte.
    madvise(start, bytes, MADV_DONTDUMP);
    return start;
}

bool lm_memory_commit(void *start, size_t bytes, bool huge) {
    if (lm_memory_is_refused() ||
        mprotect(start, bytes, PROT_READ | PROT_WRITE) != 0) {
        return false;
    }
    madvise(start, bytes, MADV_DODUMP);
    if (huge) {
        madvise(start, bytes, MADV_HUGEPAGE);
    }
    return true;
}

void *lm_memory_map(size_t bytes) {
    return memory_mmap(bytes, PROT_READ | PROT_WRITE);
}

bool lm_memory_discard(void *start, size_t bytes) {
    return !lm_memory_is_refused() && madvise(start, bytes, MADV_DONTNEED) == 0;
}

// Since Linux 5.14; older headers do not have it.
#define MEMORY_POPULATE_WRITE 23

void lm_memory_populate(void *start, size_t bytes) {
    madvise(start, bytes, MADV_HUGEPAGE);
    if (madvise(start, bytes, MEMORY_POPULATE_WRITE) == 0) {
        return;
    }
    for (size_t i = 0; i < bytes; i += 4096) {
        // Changes nothing, whoever else writes there.
        __atomic_fetch_or((char *)start + i, 0, __ATOMIC_RELAXED);
    }
}

void lm_memory_release(void *start, size_t bytes) {
    if (start) {
        munmap(start, bytes);
    }
}

// The second number of /proc/self/statm is resident, the first all of it.
static size_t memory_space_used(void) {
    char text[128];
    if (!lm_file_text("/proc/self/statm", text, sizeof text)) {
        return 0;
    }
    return (size_t)strtoull(text, NULL, 10) * (size_t)getpagesize();
}

size_t lm_memory_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return SIZE_MAX;
    }
    size_t used = memory_space_used();
    return limit.rlim_cur > used ? (size_t)limit.rlim_cur - used : 0;
}

size_t lm_memory_physical(void) {
    struct sysinfo info;
    if (sysinfo(&info) != 0) {
        return SIZE_MAX;
    }
    return (size_t)info.totalram * info.mem_unit;
}

bool lm_memory_has_huge_pages(void) {
    char text[64];
    return lm_file_text("/sys/kernel/mm/transparent_hugepage/enabled", text,
                        sizeof text) &&
           strstr(text, "[never]") == NULL;
}
