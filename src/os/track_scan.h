// SPDX-License-Identifier: MIT
// os/track_scan.h: pages, and a walk of those that were written, for os/track
// and its rungs.

#ifndef OS_TRACK_SCAN_H
#define OS_TRACK_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The unit of tracking.
#define LM_PAGE_SHIFT 12
#define LM_PAGE_BYTES ((size_t)1 << LM_PAGE_SHIFT)

// struct lm_track_scan walks the written pages of a range.
struct lm_track_scan {
    uintptr_t at;
    uintptr_t end;
    size_t step; // pages to arm at a time; 0: none
    size_t next;
    size_t count;
    struct {
        uint64_t start;
        uint64_t end;
        uint64_t categories;
    } region[64];
};

#endif // OS_TRACK_SCAN_H
