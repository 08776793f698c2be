// SPDX-License-Identifier: MIT
// os/track.h: which pages have been written since when.
//
// A page that is armed and then written counts as written; so does a page that
// nobody has armed. How the system is made to tell is the rung of the ladder
// that lm_track_open chose:
//
//   kernel    the kernel's asynchronous write protection and its scan
//   barrier   loam_store marks the page; see loam/barrier.h
//   mprotect  a fault on the first store to a page, in a handler; a system
//             call that writes there fails with EFAULT
//   none      nothing is told; there are only collections that stop
//
// Whatever goes wrong later (the program closes our descriptor, maps over the
// heap) makes pages count as written, never as unwritten.

#ifndef OS_TRACK_H
#define OS_TRACK_H

#include "base/settings.h"
#include "os/track_scan.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_track_open probes what the system can do and takes the rung that the
// settings ask for, or the best; false when that is LM_TRACK_NONE. The first
// call costs up to a millisecond; later ones return what it found, unless the
// kernel's was lost since, or can be had again. By who collects, at the beginning.
bool lm_track_open(uintptr_t base, size_t bytes);

// lm_track_close gives back what open took.
void lm_track_close(void);

// lm_track_rung returns the rung in use, LM_TRACK_AUTO before lm_track_open.
enum lm_track_rung lm_track_rung(void);
const char *lm_track_name(enum lm_track_rung rung);

// lm_track_reason says in words why that rung is in use.
const char *lm_track_reason(void);

// lm_track_arm makes whole pages count as unwritten from now on. False when the
// system refused; they count as written then.
bool lm_track_arm(uintptr_t start, uintptr_t end);

// lm_track_disarm makes stores to them cost nothing again. Where nothing has been
// armed it costs next to nothing, else by what is mapped there.
void lm_track_disarm(uintptr_t start, uintptr_t end);

// lm_track_disarm_all is the same for all there is, which makes the others cheap
// again. By who arms, and while nobody else does.
void lm_track_disarm_all(uintptr_t start, uintptr_t end);

// lm_track_scan_begin starts a walk of whole pages; lm_track_scan_next gives
// the next row of written ones, or false at the end. Where step is not 0 they are
// armed before they are given, about so many at a time: at a tenth of the cost of
// arming them one by one.
void lm_track_scan_begin(struct lm_track_scan *scan, uintptr_t start,
                         uintptr_t end, size_t step);
bool lm_track_scan_next(struct lm_track_scan *scan, uintptr_t *start,
                        uintptr_t *end);

// lm_track_note says that bytes were written, which the barrier rung has to be
// told; nothing on the others.
void lm_track_note(uintptr_t start, size_t bytes);

// lm_track_fault is asked first about each SIGSEGV, in its handler: true when it
// was a store to an armed page, which is noted, and the store can be done now.
// With LOAM_TRACK=mprotect it must be asked, and no thread may block SIGSEGV.
bool lm_track_fault(const siginfo_t *info, const void *context);

// lm_track_fork_child forgets what is armed up to that address: in the child of
// a fork nothing is.
void lm_track_fork_child(uintptr_t used_end);

#endif // OS_TRACK_H
