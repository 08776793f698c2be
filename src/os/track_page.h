// SPDX-License-Identifier: MIT
// os/track_page.h: write tracking by protected pages and faults, for os/track.
//
// It needs the table of cards.

#ifndef OS_TRACK_PAGE_H
#define OS_TRACK_PAGE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

// lm_track_page_arm and disarm are those of os/track.
bool lm_track_page_arm(uintptr_t start, uintptr_t end);
void lm_track_page_disarm(uintptr_t start, uintptr_t end);

// lm_track_page_release makes all there is writable; every page counts as
// written then. False when refused: then the next fault will try again.
bool lm_track_page_release(void);

void lm_track_page_close(void);

// lm_track_page_fault is lm_track_fault.
bool lm_track_page_fault(const siginfo_t *info, const ucontext_t *context);

#endif // OS_TRACK_PAGE_H
