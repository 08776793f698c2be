// SPDX-License-Identifier: MIT
// track.c: choosing a rung.
//
//   track.1  A page is reported as written unless it has been armed since its
//            last store.

#include "os/track.h"

#include "base/format.h"
#include "base/settings.h"
#include "os/track_card.h"
#include "os/track_kernel.h"
#include "os/track_page.h"

#include <loam/barrier.h>

#include <unistd.h>

static struct {
    enum lm_track_rung rung; // atomic
    uintptr_t base;
    uintptr_t end;
    char reason[160];
    bool is_lost; // the kernel's was in use
} track;

struct loam_barrier_ loam_barrier_;

enum lm_track_rung lm_track_rung(void) {
    return __atomic_load_n(&track.rung, __ATOMIC_RELAXED);
}

const char *lm_track_name(enum lm_track_rung rung) {
    static const char *const names[] = {"auto", "kernel", "barrier", "mprotect",
                                        "none"};
    return names[rung];
}

const char *lm_track_reason(void) {
    return track.reason;
}

// ---- Choosing --------------------------------------------------------------------

static void track_say(const char *reason) {
    lm_format(track.reason, sizeof track.reason, "%s", reason);
}

static enum lm_track_rung track_cards(enum lm_track_rung rung,
                                      const char *reason) {
    if (!lm_track_card_open(track.base, track.end)) {
        track_say("the system refused memory for a table of pages");
        return LM_TRACK_NONE;
    }
    track_say(reason);
    return rung;
}

// Release: loam_store looks at the cards first. Nothing is armed before the
// program's next stop, so it does not matter who sees them when.
static enum lm_track_rung track_barrier(void) {
    if (track_cards(LM_TRACK_BARRIER, "LOAM_TRACK=barrier") == LM_TRACK_NONE) {
        return LM_TRACK_NONE;
    }
    loam_barrier_.base = track.base;
    loam_barrier_.bytes = track.end - track.base;
    __atomic_store_n(&loam_barrier_.cards, lm_track_card_of(track.base),
                     __ATOMIC_RELEASE);
    return LM_TRACK_BARRIER;
}

static enum lm_track_rung track_choose(void) {
    switch (lm_settings.track) {
    case LM_TRACK_NONE:
        track_say("LOAM_TRACK=none");
        return LM_TRACK_NONE;
    case LM_TRACK_BARRIER:
        return track_barrier();
    case LM_TRACK_MPROTECT:
        if ((size_t)getpagesize() != LM_PAGE_BYTES) {
            track_say("the system's pages are not of 4 KiB");
            return LM_TRACK_NONE;
        }
        return track_cards(LM_TRACK_MPROTECT, "LOAM_TRACK=mprotect");
    default:
        break;
    }
    if (lm_track_kernel_open(track.base, track.end, track.reason,
                             sizeof track.reason)) {
        track_say("userfaultfd and PAGEMAP_SCAN passed the probe");
        return LM_TRACK_KERNEL;
    }
    return LM_TRACK_NONE;
}

static void track_set(enum lm_track_rung rung) {
    __atomic_store_n(&track.rung, rung, __ATOMIC_RELAXED);
    if (lm_settings.log_track || lm_settings.log_gc) {
        lm_print(2, "loam track %s: %s\n", lm_track_name(rung), track.reason);
    }
}

// Whoever asked for something by name is told that it cannot be had.
static void track_complain(void) {
    const char *asked = lm_settings.track != LM_TRACK_AUTO
                            ? lm_track_name(lm_settings.track)
                            : NULL;
    if (asked == NULL && lm_settings.generations != LM_ON &&
        lm_settings.concurrent != LM_ON) {
        return;
    }
    lm_print(2,
             "loam: %s%s cannot be had: %s\n"
             "  going on without write tracking: collections stop the program "
             "while they mark\n"
             "  what to do: see LOAM_TRACK in docs/settings.md\n",
             asked ? "LOAM_TRACK=" : "write tracking", asked ? asked : "",
             track.reason);
}

// The kernel's can be lost on the way: a filter of system calls that the program
// set up later, descriptors that it closed where no new ones can be had.
static void track_look_after(void) {
    if (track.rung == LM_TRACK_KERNEL && lm_track_kernel_is_lost()) {
        track.is_lost = true;
        track_set(LM_TRACK_NONE);
    } else if (track.is_lost && lm_track_kernel_restore()) {
        track.is_lost = false;
        track_say("userfaultfd and PAGEMAP_SCAN can be had again");
        track_set(LM_TRACK_KERNEL);
    }
}

bool lm_track_open(uintptr_t base, size_t bytes) {
    if (track.rung == LM_TRACK_AUTO) {
        track.base = base;
        track.end = base + bytes;
        track_set(track_choose());
        if (track.rung == LM_TRACK_NONE && lm_settings.track != LM_TRACK_NONE) {
            track_complain();
        }
    } else {
        track_look_after();
    }
    return track.rung != LM_TRACK_NONE;
}

void lm_track_close(void) {
    if (track.rung == LM_TRACK_MPROTECT) {
        lm_track_page_close();
    }
    __atomic_store_n(&track.rung, LM_TRACK_AUTO, __ATOMIC_RELAXED);
    __atomic_store_n(&loam_barrier_.cards, NULL, __ATOMIC_RELAXED);
    lm_track_kernel_fini();
    lm_track_card_close();
}

// ---- For all rungs ------------------------------------------------------------------

bool lm_track_arm(uintptr_t start, uintptr_t end) {
    switch (track.rung) {
    case LM_TRACK_KERNEL:
        return lm_track_kernel_arm(start, end);
    case LM_TRACK_BARRIER:
        lm_track_card_set(start, end, LM_CARD_ARMED);
        // Before the scan that follows: a store that it misses sets its card
        // after this.
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return true;
    case LM_TRACK_MPROTECT:
        return lm_track_page_arm(start, end);
    default:
        return false;
    }
}

static void track_disarm(uintptr_t start, uintptr_t end, bool is_all) {
    switch (track.rung) {
    case LM_TRACK_KERNEL:
        lm_track_kernel_disarm(start, end, is_all);
        break;
    case LM_TRACK_BARRIER:
        lm_track_card_set(start, end, LM_CARD_WRITTEN);
        break;
    case LM_TRACK_MPROTECT:
        lm_track_page_disarm(start, end);
        break;
    default:
        break;
    }
}

void lm_track_disarm(uintptr_t start, uintptr_t end) {
    track_disarm(start, end, false);
}

void lm_track_disarm_all(uintptr_t start, uintptr_t end) {
    track_disarm(start, end, true);
}

void lm_track_scan_begin(struct lm_track_scan *scan, uintptr_t start,
                         uintptr_t end, size_t step) {
    scan->step = step;
    scan->at = start;
    scan->end = end;
    scan->next = scan->count = 0;
}

static bool track_card_next(struct lm_track_scan *scan, uintptr_t *start,
                            uintptr_t *end) {
    bool is_more = lm_track_card_next(scan, start, end);
    if (is_more && scan->step) {
        lm_track_arm(*start, *end);
    }
    return is_more;
}

bool lm_track_scan_next(struct lm_track_scan *scan, uintptr_t *start,
                        uintptr_t *end) {
    switch (track.rung) {
    case LM_TRACK_KERNEL:
        return lm_track_kernel_next(scan, start, end);
    case LM_TRACK_BARRIER:
    case LM_TRACK_MPROTECT:
        return track_card_next(scan, start, end);
    default:
        *start = scan->at;
        *end = scan->at = scan->end;
        return *start < *end;
    }
}

void lm_track_note(uintptr_t start, size_t bytes) {
    uintptr_t end = start + bytes;
    if (track.rung != LM_TRACK_BARRIER || start < track.base ||
        end > track.end || bytes == 0) {
        return;
    }
    // What was stored is seen by who sees the cards.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    lm_track_card_set(start & ~(LM_PAGE_BYTES - 1),
                      (end + LM_PAGE_BYTES - 1) & ~(LM_PAGE_BYTES - 1),
                      LM_CARD_WRITTEN);
}

bool lm_track_fault(const siginfo_t *info, const void *context) {
    return lm_track_rung() == LM_TRACK_MPROTECT &&
           lm_track_page_fault(info, context);
}

void lm_track_fork_child(uintptr_t used_end) {
    switch (track.rung) {
    case LM_TRACK_KERNEL:
        if (!lm_track_kernel_restore()) {
            // All pages count as written, which is slow and right.
            lm_track_kernel_close();
        }
        break;
    case LM_TRACK_BARRIER:
        lm_track_card_set(track.base, used_end, LM_CARD_WRITTEN);
        break;
    case LM_TRACK_MPROTECT:
        // Another thread of the parent's may have been in the middle of a
        // fault.
        lm_track_page_release();
        break;
    default:
        break;
    }
}
