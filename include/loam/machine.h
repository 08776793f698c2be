// SPDX-License-Identifier: MIT
// loam/machine.h: the few instructions of inline functions that differ by
// machine.

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

// struct loam_count_ is the count of a counted object, in front of it. Steps add
// to `local`, as long as `owner` is who takes them.
struct loam_count_ {
    uint32_t local;  // references counted by the owner
    uint32_t owner;  // the thread that made the object
    uint64_t shared; // the others, twice, and 1 where there is no owner; atomic
};

// What a thread takes steps with: its number as an owner, and the area that the
// kernel looks at when it interrupts the thread (rseq(2)).
struct loam_stepper_ {
    uint32_t owner;
    void *area;
};

// loam_step_up_ adds 1 to a count's `local`, in a step that happens as a whole or
// not at all: while the kernel runs the thread without interruption. False, and
// nothing done, where it was interrupted, somebody else is the owner, or the
// count is at its highest. loam_step_down_ takes 1 off, and leaves the last.
//
// Another thread that has set `owner` to something else, and has waited until no
// step is under way (membarrier(2)), can rely on `local` from there on.
//
// Internal to counted objects; programs do not call them.
#if defined(__x86_64__) && defined(__linux__)
#define LOAM_HAS_STEPS_ 1

// The kernel finds the step's bounds through the area; where it goes on stands
// behind four bytes that prove it (RSEQ_SIG).
#define LOAM_STEP_(limit, instruction)                                         \
    __asm__ goto(".pushsection __rseq_cs,\"aw\",@progbits\n\t"                 \
                 ".balign 32\n"                                                \
                 "1:\t.long 0, 0\n\t"                                          \
                 ".quad 2f, 3f - 2f, 4f\n\t"                                   \
                 ".popsection\n\t"                                             \
                 "leaq 1b(%%rip), %%rax\n\t"                                   \
                 "movq %%rax, 8(%[area])\n"                                    \
                 "2:\tcmpl %[owner], 4(%[count])\n\t"                          \
                 "jne 4f\n\t"                                                  \
                 "cmpl $" limit ", (%[count])\n\t"                             \
                 "je 4f\n\t" instruction "\n"                                  \
                 "3:\tmovq $0, 8(%[area])\n\t"                                 \
                 ".pushsection __rseq_failure,\"ax\",@progbits\n\t"            \
                 ".byte 0x0f, 0xb9, 0x3d\n\t"                                  \
                 ".long 0x53053053\n"                                          \
                 "4:\tmovq $0, 8(%[area])\n\t"                                 \
                 "jmp %l[undone]\n\t"                                          \
                 ".popsection"                                                 \
                 :                                                             \
                 : [count] "r"(count), [owner] "r"(stepper->owner),            \
                   [area] "r"(stepper->area)                                   \
                 : "memory", "cc", "rax"                                       \
                 : undone)

static inline int loam_step_up_(struct loam_count_ *count,
                                const struct loam_stepper_ *stepper) {
    LOAM_STEP_("-1", "addl $1, (%[count])");
    return 1;
undone:
    return 0;
}

static inline int loam_step_down_(struct loam_count_ *count,
                                  const struct loam_stepper_ *stepper) {
    LOAM_STEP_("1", "subl $1, (%[count])");
    return 1;
undone:
    return 0;
}
#else
#define LOAM_HAS_STEPS_ 0

static inline int loam_step_up_(struct loam_count_ *count,
                                const struct loam_stepper_ *stepper) {
    (void)count;
    (void)stepper;
    return 0;
}

static inline int loam_step_down_(struct loam_count_ *count,
                                  const struct loam_stepper_ *stepper) {
    (void)count;
    (void)stepper;
    return 0;
}
#endif

#ifdef __cplusplus
}
#endif

#endif // LOAM_MACHINE_H
