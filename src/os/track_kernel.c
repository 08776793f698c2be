// SPDX-License-Identifier: MIT
// track_kernel.c: userfaultfd and the scan of the page map.
//
// UFFD_FEATURE_WP_ASYNC and the ioctl PAGEMAP_SCAN are both there since Linux
// 6.7; see ioctl_userfaultfd(2) and Documentation/admin-guide/mm/pagemap.rst.
// Nobody ever reads the descriptor: a store to a protected page lifts the
// protection inside the kernel and goes on, also a store by a system call.

#include "os/track_kernel.h"

#include "base/bits.h"
#include "base/format.h"
#include "os/descriptor.h"
#include "os/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// What the headers of older systems do not have yet; numbers of the kernel's
// interface.
#define TRACK_USER_MODE_ONLY 1
#define TRACK_FEATURES                                                         \
    (((uint64_t)1 << 0) | ((uint64_t)1 << 13) | ((uint64_t)1 << 15))
#define TRACK_WRITTEN ((uint64_t)1 << 1)
#define TRACK_CHECK_ASYNC ((uint64_t)1 << 1)
#define TRACK_PROTECT ((uint64_t)1 << 0)
struct track_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define TRACK_PAGEMAP_SCAN _IOWR('f', 16, struct track_scan_arg)

static struct {
    uintptr_t base;
    uintptr_t end;
    struct lm_descriptor faults;
    struct lm_descriptor map;
    char *reason; // where to say why not
    size_t room;
    uint8_t *has_armed; // by region; atomic. NULL: all may have
    uint8_t *is_own;    // a byte that is 0 in a child. NULL: there is none
    bool is_probing;
    const char *refused; // what the system refused meanwhile
    int error;           // and why
    bool is_lost;        // it could not be had again
} kernel = {.faults = LM_DESCRIPTOR_NONE, .map = LM_DESCRIPTOR_NONE};

// ---- Where pages may be armed --------------------------------------------------------
//
// Disarming costs by what is mapped, armed or not. So it is remembered which regions
// have had armed pages since all were disarmed; most memory without pointers never
// has.

#define REGION_SHIFT 21

static size_t region_of(uintptr_t address) {
    return (address - kernel.base) >> REGION_SHIFT;
}

static size_t regions_bytes(void) {
    size_t count = region_of(kernel.end - 1) + 1;
    return (count + LM_PAGE_BYTES - 1) & ~(LM_PAGE_BYTES - 1);
}

// Relaxed: whoever has to know has met who arms since.
static void regions_note(uintptr_t start, uintptr_t end) {
    for (size_t r = region_of(start);
         kernel.has_armed && start < end && r <= region_of(end - 1); r++) {
        __atomic_store_n(&kernel.has_armed[r], 1, __ATOMIC_RELAXED);
    }
}

// The part of [start, end) that lies in the regions at its beginning that are all
// noted, or all not.
static uintptr_t regions_alike(uintptr_t start, uintptr_t end,
                               bool *has_armed) {
    size_t last = region_of(end - 1);
    size_t r = region_of(start);
    *has_armed = kernel.has_armed == NULL ||
                 __atomic_load_n(&kernel.has_armed[r], __ATOMIC_RELAXED);
    while (kernel.has_armed && r <= last &&
           __atomic_load_n(&kernel.has_armed[r], __ATOMIC_RELAXED) ==
               *has_armed) {
        r++;
    }
    uintptr_t stop = kernel.base + (r << REGION_SHIFT);
    return kernel.has_armed && stop < end ? stop : end;
}

// ---- Whose descriptors they are ---------------------------------------------------
//
// In a child they tell of, and arm, its parent's memory. A child of fork is told and
// opens its own; one of _Fork or clone is not, and must not do its parent harm.

static void own_begin(void) {
    if (kernel.is_own == NULL) {
        kernel.is_own = lm_memory_map(LM_PAGE_BYTES);
        if (kernel.is_own) {
            madvise(kernel.is_own, LM_PAGE_BYTES, MADV_WIPEONFORK);
        }
    }
    if (kernel.is_own) {
        *kernel.is_own = 1;
    }
}

static bool is_own(void) {
    return kernel.is_own == NULL || *kernel.is_own != 0;
}

// ---- Its calls ------------------------------------------------------------------

void lm_track_kernel_close(void) {
    lm_descriptor_close(&kernel.faults);
    lm_descriptor_close(&kernel.map);
}

void lm_track_kernel_fini(void) {
    lm_track_kernel_close();
    if (kernel.has_armed) {
        lm_memory_release(kernel.has_armed, regions_bytes());
        kernel.has_armed = NULL;
    }
    if (kernel.is_own) {
        lm_memory_release(kernel.is_own, LM_PAGE_BYTES);
        kernel.is_own = NULL;
    }
}

static bool kernel_register(uintptr_t start, uintptr_t end) {
    struct uffdio_register r = {.range = {start, end - start},
                                .mode = UFFDIO_REGISTER_MODE_WP};
    return ioctl(kernel.faults.fd, UFFDIO_REGISTER, &r) == 0;
}

// What probing is told: with errno as it is.
static void kernel_note(bool ok, const char *what) {
    if (!ok && kernel.is_probing && kernel.refused == NULL) {
        kernel.refused = what;
        kernel.error = errno;
    }
}

static bool kernel_protect(uintptr_t start, uintptr_t end, bool on) {
    struct uffdio_writeprotect w = {.range = {start, end - start},
                                    .mode =
                                        on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
    int error = errno;
    bool ok;
    if (!is_own()) {
        return false;
    }
    do {
        ok = ioctl(kernel.faults.fd, UFFDIO_WRITEPROTECT, &w) == 0;
    } while (!ok && errno == EAGAIN);
    kernel_note(ok, "userfaultfd's write protection");
    errno = error;
    return ok;
}

bool lm_track_kernel_arm(uintptr_t start, uintptr_t end) {
    regions_note(start, end);
    return kernel_protect(start, end, true);
}

void lm_track_kernel_disarm(uintptr_t start, uintptr_t end, bool is_all) {
    while (start < end) {
        bool has_armed;
        uintptr_t stop = regions_alike(start, end, &has_armed);
        if (has_armed && is_all && kernel.has_armed) {
            memset(kernel.has_armed + region_of(start), 0,
                   region_of(stop - 1) - region_of(start) + 1);
        }
        if (has_armed) {
            kernel_protect(start, stop, false);
        }
        start = stop;
    }
}

// Fills in the walk's regions; false when the kernel does not tell.
static bool kernel_scan(struct lm_track_scan *scan) {
    struct track_scan_arg arg = {
        .size = sizeof arg,
        .flags = TRACK_CHECK_ASYNC | (scan->step ? TRACK_PROTECT : 0),
        .start = scan->at,
        .end = scan->end,
        .vec = (uint64_t)(uintptr_t)scan->region,
        .vec_len = sizeof scan->region / sizeof *scan->region,
        .max_pages = scan->step,
        .category_mask = TRACK_WRITTEN,
        .return_mask = TRACK_WRITTEN,
    };
    if (!is_own()) {
        return false;
    }
    if (scan->step) {
        regions_note(scan->at, scan->end);
    }
    int error = errno;
    int count = ioctl(kernel.map.fd, TRACK_PAGEMAP_SCAN, &arg);
    kernel_note(count >= 0, "PAGEMAP_SCAN");
    errno = error;
    if (count < 0) {
        return false;
    }
    scan->at = (uintptr_t)arg.walk_end;
    scan->next = 0;
    scan->count = (size_t)count;
    return true;
}

static bool kernel_open(void) {
    int fd = (int)syscall(SYS_userfaultfd,
                          O_CLOEXEC | O_NONBLOCK | TRACK_USER_MODE_ONLY);
    if (!lm_descriptor_keep(&kernel.faults, fd)) {
        lm_format(kernel.reason, kernel.room, "userfaultfd is refused: %s",
                  strerror(errno));
        return false;
    }
    struct uffdio_api api = {.api = UFFD_API, .features = TRACK_FEATURES};
    if (ioctl(kernel.faults.fd, UFFDIO_API, &api) != 0) {
        lm_format(kernel.reason, kernel.room,
                  "the kernel has no asynchronous write protection "
                  "(Linux 6.7 has)");
        return false;
    }
    fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (!lm_descriptor_keep(&kernel.map, fd)) {
        lm_format(kernel.reason, kernel.room,
                  "/proc/self/pagemap cannot be opened: %s", strerror(errno));
        return false;
    }
    own_begin();
    return true;
}

// ---- Probing ----------------------------------------------------------------------

#define PROBE_PAGES 8
#define PROBE_HUGE ((size_t)2 << 20)

// Whether exactly the pages whose bits are set count as written.
static bool probe_sees(uintptr_t start, size_t pages, uint64_t expected) {
    struct lm_track_scan scan = {.at = start,
                                 .end = start + (pages << LM_PAGE_SHIFT)};
    uint64_t seen = 0;
    while (scan.at < scan.end) {
        if (!kernel_scan(&scan)) {
            return false;
        }
        for (size_t i = 0; i < scan.count; i++) {
            for (uint64_t p = scan.region[i].start; p < scan.region[i].end;
                 p += LM_PAGE_BYTES) {
                seen |= (uint64_t)1 << ((p - start) >> LM_PAGE_SHIFT);
            }
        }
    }
    return seen == expected;
}

// Stores by the program and by a system call, to pages that are there and to
// one that is not.
static bool probe_small(volatile char *p) {
    uintptr_t start = (uintptr_t)p;
    uintptr_t end = start + PROBE_PAGES * LM_PAGE_BYTES;
    int ends[2];
    char byte = 1;
    for (size_t i = 0; i + 1 < PROBE_PAGES; i++) {
        p[i << LM_PAGE_SHIFT] = 1; // but for the last
    }
    if (!kernel_protect(start, end, true) ||
        !probe_sees(start, PROBE_PAGES, 0) || pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    p[1 << LM_PAGE_SHIFT] = 2;
    p[(PROBE_PAGES - 1) << LM_PAGE_SHIFT] = 2;
    bool ok = write(ends[1], &byte, 1) == 1 &&
              read(ends[0], (char *)p + 3 * LM_PAGE_BYTES, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    uint64_t last = (uint64_t)1 << (PROBE_PAGES - 1);
    return ok && probe_sees(start, PROBE_PAGES, last | 1 << 3 | 1 << 1) &&
           kernel_protect(start, end, true) &&
           probe_sees(start, PROBE_PAGES, 0);
}

// A store to a huge page, and to a hole made in one.
static bool probe_huge(volatile char *p) {
    uintptr_t start = (uintptr_t)p;
    madvise((void *)start, PROBE_HUGE, MADV_HUGEPAGE); // NOLINT
    p[0] = 1;
    madvise((void *)(start + 4 * LM_PAGE_BYTES), LM_PAGE_BYTES, // NOLINT
            MADV_DONTNEED);
    if (!kernel_protect(start, start + PROBE_HUGE, true)) {
        return false;
    }
    p[2 << LM_PAGE_SHIFT] = 2;
    p[4 << LM_PAGE_SHIFT] = 2;
    return probe_sees(start, 8, 1 << 4 | 1 << 2);
}

static bool kernel_probe(void) {
    size_t bytes = 2 * PROBE_HUGE;
    char *p = lm_memory_map(bytes);
    if (p == NULL) {
        lm_format(kernel.reason, kernel.room,
                  "the system refused memory to probe with");
        return false;
    }
    uintptr_t huge = lm_round_up((uintptr_t)p, PROBE_HUGE);
    kernel.is_probing = true;
    kernel.refused = NULL;
    bool ok = kernel_register((uintptr_t)p, (uintptr_t)p + bytes);
    if (!ok) {
        lm_format(kernel.reason, kernel.room,
                  "userfaultfd refuses to register memory: %s",
                  strerror(errno));
    } else if (!probe_huge((volatile char *)huge) || // NOLINT
               !probe_small((volatile char *)huge +  // NOLINT
                            16 * LM_PAGE_BYTES)) {
        ok = false;
        if (kernel.refused) {
            lm_format(kernel.reason, kernel.room, "%s is refused: %s",
                      kernel.refused, strerror(kernel.error));
        } else {
            lm_format(kernel.reason, kernel.room,
                      "the kernel's write protection misses stores when "
                      "probed");
        }
    }
    kernel.is_probing = false;
    lm_memory_release(p, bytes);
    return ok;
}

bool lm_track_kernel_open(uintptr_t base, uintptr_t end, char *reason,
                          size_t room) {
    kernel.base = base;
    kernel.end = end;
    kernel.reason = reason;
    kernel.room = room;
    bool ok = kernel_open() && kernel_probe();
    if (ok && !kernel_register(kernel.base, kernel.end)) {
        ok = false;
        lm_format(kernel.reason, kernel.room,
                  "userfaultfd refuses to register the heap: %s",
                  strerror(errno));
    }
    if (!ok) {
        lm_track_kernel_close();
        return false;
    }
    kernel.has_armed = lm_memory_map(regions_bytes());
    return true;
}

// Whatever was lost (the program closed our descriptors), we begin again; all
// pages count as written until they are armed anew.
bool lm_track_kernel_restore(void) {
    int error = errno;
    lm_track_kernel_close();
    bool ok = kernel_open() && kernel_register(kernel.base, kernel.end);
    kernel.is_lost = !ok;
    errno = error;
    return ok;
}

bool lm_track_kernel_is_lost(void) {
    return kernel.is_lost;
}

bool lm_track_kernel_next(struct lm_track_scan *scan, uintptr_t *start,
                          uintptr_t *end) {
    while (scan->next == scan->count) {
        if (scan->at >= scan->end) {
            return false;
        }
        if (!kernel_scan(scan)) {
            *start = scan->at;
            *end = scan->at = scan->end;
            lm_track_kernel_restore();
            return true;
        }
    }
    *start = (uintptr_t)scan->region[scan->next].start;
    *end = (uintptr_t)scan->region[scan->next].end;
    scan->next++;
    return true;
}
