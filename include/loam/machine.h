// SPDX-License-Identifier: MIT
// loam/machine.h: the two instructions of the allocator that differ by machine.

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

// loam_strip_ returns the bits of a claimed word that the mask has. One
// instruction takes it from the word, which a stopped thread's registers or
// stack show to the collector, to the address: written in C, it would let the
// compiler hold something else in between, such as the word shifted, and that
// might be the only trace of a new object.
//
// Internal to the inline allocator; programs do not call it.
static inline uintptr_t loam_strip_(uintptr_t word, uintptr_t mask) {
#if defined(__x86_64__)
    __asm__("andq %1, %0" : "+r"(word) : "r"(mask) : "cc");
#elif defined(__aarch64__)
    __asm__("and %0, %0, %1" : "+r"(word) : "rL"(mask));
#else
    word &= mask;
#endif
    return word;
}

#ifdef __cplusplus
}
#endif

#endif // LOAM_MACHINE_H
