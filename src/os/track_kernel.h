// SPDX-License-Identifier: MIT
// os/track_kernel.h: the kernel's own write tracking, for os/track.

#ifndef OS_TRACK_KERNEL_H
#define OS_TRACK_KERNEL_H

#include "os/track_scan.h"

// lm_track_kernel_open probes it, and registers the heap; where that fails, the
// reason is left in words.
bool lm_track_kernel_open(uintptr_t base, uintptr_t end, char *reason,
                          size_t room);
void lm_track_kernel_close(void);

// lm_track_kernel_fini closes it for good.
void lm_track_kernel_fini(void);

// lm_track_kernel_restore begins anew; every page counts as written then. False
// when it cannot.
bool lm_track_kernel_restore(void);

// lm_track_kernel_is_lost says whether the last lm_track_kernel_restore could not;
// the reason is left in words.
bool lm_track_kernel_is_lost(void);

// lm_track_kernel_arm and disarm are lm_track_arm and lm_track_disarm, or
// lm_track_disarm_all.
bool lm_track_kernel_arm(uintptr_t start, uintptr_t end);
void lm_track_kernel_disarm(uintptr_t start, uintptr_t end, bool is_all);

// lm_track_kernel_next is lm_track_scan_next.
bool lm_track_kernel_next(struct lm_track_scan *scan, uintptr_t *start,
                          uintptr_t *end);

#endif // OS_TRACK_KERNEL_H
