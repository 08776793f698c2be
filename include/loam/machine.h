// SPDX-License-Identifier: MIT
// loam/machine.h: the one instruction of the allocator that differs by machine.

#ifndef LOAM_MACHINE_H
#define LOAM_MACHINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// loam_claim_ adds to *word and returns what *word held before, in one step that
// neither a signal handler nor the collector's stop can split. That is all the
// synchronisation the allocator's fast path has: the word belongs to one
// thread, so the addition need not be atomic towards other processors.
//
// Internal to the inline allocator; programs do not call it.
static inline uintptr_t loam_claim_(uintptr_t *word, uintptr_t addend) {
#if defined(__x86_64__)
    // xadd without a lock prefix: atomic towards this processor's interrupts
    // only, and as quick as the load, add and store it replaces.
    __asm__ volatile("xaddq %0, %1"
                     : "+r"(addend), "+m"(*word)
                     :
                     : "memory", "cc");
    return addend;
#else
    // Relaxed: only signal handlers of this same thread compete for the word.
    uintptr_t before = __atomic_fetch_add(word, addend, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return before;
#endif
}

#ifdef __cplusplus
}
#endif

#endif // LOAM_MACHINE_H
