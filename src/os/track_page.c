// SPDX-License-Identifier: MIT
// track_page.c: the first store to an armed page faults.
//
// The collector arms with the card first and the protection second; the fault
// takes the protection away first and sets the card second. So, whatever comes
// in between, in whichever order:
//
//   page.1  A page that may be written and counts as unwritten is in the middle
//           of a fault, which no stop interrupts.
//
// The other way round, a page may be protected and count as written: that costs
// a fault, and nothing else. A fault on a page that was never armed is not ours.
//
// Each change of protection along the heap takes the kernel a mapping, of which
// a process may have 65,530 (vm.max_map_count). Where it refuses another, all of
// the heap is made writable, which takes none.

#include "os/track_page.h"

#include "os/machine.h"
#include "os/thread.h"
#include "os/track_card.h"

#include <errno.h>
#include <sys/mman.h>

// All that was ever armed lies between; atomic. It only grows. Numbers of pages,
// since an address of the heap in static data keeps what is there alive.
static struct {
    uintptr_t low;
    uintptr_t high;
} page;

static bool page_protect(uintptr_t start, uintptr_t end, int protection) {
    int error = errno;
    int rc = mprotect((void *)start, end - start, protection); // NOLINT
    errno = error;
    return rc == 0;
}

bool lm_track_page_release(void) {
    uintptr_t low = __atomic_load_n(&page.low, __ATOMIC_RELAXED)
                    << LM_PAGE_SHIFT;
    uintptr_t high = __atomic_load_n(&page.high, __ATOMIC_RELAXED)
                     << LM_PAGE_SHIFT;
    if (low >= high) {
        return true;
    }
    if (!page_protect(low, high, PROT_READ | PROT_WRITE)) {
        return false;
    }
    lm_track_card_set(low, high, LM_CARD_WRITTEN);
    return true;
}

// By the collector alone; a fault sees both bounds wide enough for the page it
// is about, which was armed after they were set.
static void page_widen(uintptr_t start, uintptr_t end) {
    start >>= LM_PAGE_SHIFT;
    end >>= LM_PAGE_SHIFT;
    if (page.low >= page.high || start < page.low) {
        __atomic_store_n(&page.low, start, __ATOMIC_RELAXED);
    }
    if (end > page.high) {
        __atomic_store_n(&page.high, end, __ATOMIC_RELAXED);
    }
}

void lm_track_page_close(void) {
    lm_track_page_release();
    page.low = page.high = 0;
}

bool lm_track_page_arm(uintptr_t start, uintptr_t end) {
    page_widen(start, end);
    lm_track_card_set(start, end, LM_CARD_ARMED);
    if (page_protect(start, end, PROT_READ)) {
        return true;
    }
    lm_track_card_set(start, end, LM_CARD_WRITTEN);
    return false;
}

void lm_track_page_disarm(uintptr_t start, uintptr_t end) {
    if (!lm_track_card_has_armed(start, end)) {
        return;
    }
    if (page_protect(start, end, PROT_READ | PROT_WRITE)) {
        lm_track_card_set(start, end, LM_CARD_WRITTEN);
    } else {
        lm_track_page_release();
    }
}

bool lm_track_page_fault(const siginfo_t *info, const ucontext_t *context) {
    uintptr_t at = (uintptr_t)info->si_addr & ~(LM_PAGE_BYTES - 1);
    uint8_t *card = lm_track_card_of(at);
    if (info->si_code != SEGV_ACCERR || card == NULL ||
        __atomic_load_n(card, __ATOMIC_RELAXED) == LM_CARD_FRESH ||
        !lm_machine_context_is_write(context, (uintptr_t)info->si_addr)) {
        return false;
    }
    sigset_t before = lm_thread_block_signals(); // no stop now (page.1)
    bool ok = page_protect(at, at + LM_PAGE_BYTES, PROT_READ | PROT_WRITE);
    if (ok) {
        __atomic_store_n(card, LM_CARD_WRITTEN, __ATOMIC_RELEASE);
    } else {
        ok = lm_track_page_release();
    }
    lm_thread_restore_signals(&before);
    return ok;
}
