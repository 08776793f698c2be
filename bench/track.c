// SPDX-License-Identifier: MIT
// track.c: what does it cost to have the kernel note which pages are written?
//
// No heap, only the kernel: asynchronous write protection by userfaultfd (from
// Linux 6.7 on), where the first store to an armed page traps into the kernel,
// is noted there and goes on, and PAGEMAP_SCAN tells the pages that were
// written and arms them again; and for comparison mprotect with a signal
// handler. Pages are those of 4 KiB; with `huge` as the last argument they are
// of 2 MiB until the first store to each, which splits it.
//
//   track arm             arm pages that have been written: us a MiB
//   track arm-again       the same where they are armed already: us a MiB
//   track scan PERMILLE   find and arm again so many written pages: us a MiB
//   track first-store     a store to an armed page: ns
//   track later-store     a store to a page that was stored to: ns
//   track split           a store to an armed page of 2 MiB: ns
//   track mprotect        a store that faults, handled by a signal: ns
//
// Where the kernel cannot do it, the last line says "skip" and why.

#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

// What headers older than Linux 6.7 do not have yet.
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define TRACK_FEATURE_WP_UNPOPULATED (1u << 13)
#define TRACK_FEATURE_WP_ASYNC (1u << 15)
#define TRACK_PAGE_IS_WRITTEN (1u << 1)
#define TRACK_SCAN_WP_MATCHING (1u << 0)
#define TRACK_SCAN_CHECK_WPASYNC (1u << 1)

struct track_region {
    uint64_t begin;
    uint64_t end;
    uint64_t categories;
};

struct track_scan_arg {
    uint64_t size;
    uint64_t flags;
    uint64_t begin;
    uint64_t end;
    uint64_t walk_end;
    uint64_t regions;
    uint64_t region_count;
    uint64_t page_max;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};
#define TRACK_PAGEMAP_SCAN _IOWR('f', 16, struct track_scan_arg)

enum {
    PAGE_BYTES = 4096,
    AREA_MIB = 512,
    PAGE_COUNT = (AREA_MIB << 20) / PAGE_BYTES,
    ROUNDS = 7,
    REGION_ROOM = 4096,
    HUGE_BYTES = 2 << 20,
};

static unsigned char *area;
static int uffd = -1;
static int pagemap = -1;

_Noreturn static void track_fail(const char *what) {
    fprintf(stderr, "track: %s: %s\n", what, strerror(errno));
    exit(1);
}

_Noreturn static void track_skip(const char *what) {
    printf("{\"answer\": \"skip\", \"skip\": \"%s: %s\"}\n", what,
           strerror(errno));
    exit(0);
}

static void track_say(uint64_t answer, double value) {
    bench_say(bench_mix(answer), (struct bench_pauses){.max_ms = -1},
              ", \"value\": %.3f", value);
    exit(0);
}

static void area_map(int is_huge) {
    area = mmap(NULL, ((size_t)AREA_MIB << 20) + HUGE_BYTES,
                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) {
        track_fail("no memory");
    }
    area += -(uintptr_t)area % HUGE_BYTES;
    (void)madvise(area, (size_t)AREA_MIB << 20,
                  is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(area, 1, (size_t)AREA_MIB << 20);
}

static void tracking_open(void) {
    uffd = (int)syscall(SYS_userfaultfd,
                        O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (uffd < 0) {
        track_skip("userfaultfd");
    }
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = TRACK_FEATURE_WP_ASYNC | TRACK_FEATURE_WP_UNPOPULATED,
    };
    if (ioctl(uffd, UFFDIO_API, &api) != 0) {
        track_skip("UFFD_FEATURE_WP_ASYNC");
    }
    struct uffdio_register it = {
        .range = {(uintptr_t)area, (uint64_t)AREA_MIB << 20},
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    if (ioctl(uffd, UFFDIO_REGISTER, &it) != 0) {
        track_fail("UFFDIO_REGISTER");
    }
    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0) {
        track_skip("/proc/self/pagemap");
    }
}

static void arm(void) {
    struct uffdio_writeprotect it = {
        .range = {(uintptr_t)area, (uint64_t)AREA_MIB << 20},
        .mode = UFFDIO_WRITEPROTECT_MODE_WP,
    };
    if (ioctl(uffd, UFFDIO_WRITEPROTECT, &it) != 0) {
        track_fail("UFFDIO_WRITEPROTECT");
    }
}

// Arms again what was written and returns how many pages that was.
static uint64_t scan(void) {
    static struct track_region regions[REGION_ROOM];
    uint64_t pages = 0;
    uint64_t at = (uintptr_t)area;
    uint64_t end = at + ((uint64_t)AREA_MIB << 20);
    while (at < end) {
        struct track_scan_arg it = {
            .size = sizeof it,
            .flags = TRACK_SCAN_WP_MATCHING | TRACK_SCAN_CHECK_WPASYNC,
            .begin = at,
            .end = end,
            .regions = (uintptr_t)regions,
            .region_count = REGION_ROOM,
            .category_mask = TRACK_PAGE_IS_WRITTEN,
            .return_mask = TRACK_PAGE_IS_WRITTEN,
        };
        int count = ioctl(pagemap, TRACK_PAGEMAP_SCAN, &it);
        if (count < 0) {
            track_skip("PAGEMAP_SCAN");
        }
        for (int i = 0; i < count; i++) {
            pages += (regions[i].end - regions[i].begin) / PAGE_BYTES;
        }
        at = it.walk_end;
    }
    return pages;
}

// Pages in an order that no prefetcher guesses, each once: an odd multiplier
// of a power of two visits all.
static size_t page_at(size_t i) {
    return (i * 40503 + 12345) % PAGE_COUNT;
}

static void store_to(size_t pages) {
    for (size_t i = 0; i < pages; i++) {
        volatile unsigned char *p = area + page_at(i) * PAGE_BYTES + 128;
        (*p)++;
    }
}

static void expect_written(uint64_t seen, uint64_t written) {
    if (seen != written) {
        fprintf(stderr, "track: %llu pages written, the kernel tells %llu\n",
                (unsigned long long)written, (unsigned long long)seen);
        exit(1);
    }
}

static void track_arm(int is_again) {
    double us[ROUNDS];
    tracking_open();
    arm();
    for (int i = 0; i < ROUNDS; i++) {
        if (!is_again) {
            store_to(PAGE_COUNT);
        }
        int64_t begin = bench_now_ns();
        arm();
        us[i] = (double)(bench_now_ns() - begin) / 1e3 / AREA_MIB;
        expect_written(scan(), 0);
    }
    track_say(PAGE_COUNT, bench_median(us, ROUNDS));
}

static void track_scan(long permille) {
    double us[ROUNDS];
    size_t pages = (size_t)PAGE_COUNT * (size_t)permille / 1000;
    tracking_open();
    arm();
    for (int i = 0; i < ROUNDS; i++) {
        store_to(pages);
        int64_t begin = bench_now_ns();
        uint64_t seen = scan();
        us[i] = (double)(bench_now_ns() - begin) / 1e3 / AREA_MIB;
        expect_written(seen, pages);
        expect_written(scan(), 0);
    }
    track_say(pages, bench_median(us, ROUNDS));
}

static void track_store(int is_later) {
    double ns[ROUNDS];
    tracking_open();
    for (int i = 0; i < ROUNDS; i++) {
        arm();
        if (is_later) {
            store_to(PAGE_COUNT);
        }
        int64_t begin = bench_now_ns();
        store_to(PAGE_COUNT);
        ns[i] = (double)(bench_now_ns() - begin) / PAGE_COUNT;
        expect_written(scan(), PAGE_COUNT);
    }
    track_say(PAGE_COUNT, bench_median(ns, ROUNDS));
}

// Once only: the pages stay split.
static void track_split(void) {
    enum { HUGE_COUNT = (AREA_MIB << 20) / HUGE_BYTES };
    tracking_open();
    arm();
    int64_t begin = bench_now_ns();
    for (size_t i = 0; i < HUGE_COUNT; i++) {
        volatile unsigned char *p = area + i * HUGE_BYTES + 128;
        (*p)++;
    }
    double ns = (double)(bench_now_ns() - begin) / HUGE_COUNT;
    if (scan() < HUGE_COUNT) {
        track_fail("a store was not seen");
    }
    track_say(HUGE_COUNT, ns);
}

static volatile uint64_t fault_count;

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    (void)context;
    uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE_BYTES - 1);
    if (page - (uintptr_t)area >= (uintptr_t)AREA_MIB << 20 ||
        mprotect((void *)page, PAGE_BYTES, PROT_READ | PROT_WRITE) != 0) {
        _exit(3);
    }
    fault_count++;
}

// Every other page of a part of the area: a mapping may have 65530 pieces.
static void track_mprotect(void) {
    enum { FAULTS = 16384 };
    double ns[ROUNDS];
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        if (mprotect(area, (size_t)AREA_MIB << 20, PROT_READ) != 0) {
            track_fail("mprotect");
        }
        int64_t begin = bench_now_ns();
        for (size_t j = 0; j < FAULTS; j++) {
            volatile unsigned char *p =
                area + 2 * (j * 4051 % FAULTS) * PAGE_BYTES;
            (*p)++;
        }
        ns[i] = (double)(bench_now_ns() - begin) / FAULTS;
    }
    expect_written(fault_count, (uint64_t)FAULTS * ROUNDS);
    track_say(fault_count, bench_median(ns, ROUNDS));
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int is_huge = strcmp(what, "split") == 0 ||
                  strcmp(argc > 1 ? argv[argc - 1] : "", "huge") == 0;
    area_map(is_huge);
    if (strcmp(what, "arm") == 0) {
        track_arm(0);
    } else if (strcmp(what, "arm-again") == 0) {
        track_arm(1);
    } else if (strcmp(what, "scan") == 0) {
        track_scan(bench_argument(argc, argv, 2, 0));
    } else if (strcmp(what, "first-store") == 0) {
        track_store(0);
    } else if (strcmp(what, "later-store") == 0) {
        track_store(1);
    } else if (strcmp(what, "split") == 0) {
        track_split();
    } else if (strcmp(what, "mprotect") == 0) {
        track_mprotect();
    }
    fprintf(stderr, "track: no such row: track.c lists them\n");
    return 1;
}
