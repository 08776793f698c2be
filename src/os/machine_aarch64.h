// SPDX-License-Identifier: MIT
// os/machine_aarch64.h: the procedure call standard of 64-bit Arm.

#ifndef OS_MACHINE_AARCH64_H
#define OS_MACHINE_AARCH64_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

// x19 to x29, and the low halves of v8 to v15.
#define LM_MACHINE_REGISTERS 20

static inline void lm_machine_pause(void) {
    __asm__ volatile("yield");
}

static inline void lm_machine_registers(uintptr_t out[LM_MACHINE_REGISTERS]) {
    __asm__ volatile("stp x19, x20, [%0]\n\t"
                     "stp x21, x22, [%0, #16]\n\t"
                     "stp x23, x24, [%0, #32]\n\t"
                     "stp x25, x26, [%0, #48]\n\t"
                     "stp x27, x28, [%0, #64]\n\t"
                     "str x29, [%0, #80]\n\t"
                     "stp d8, d9, [%0, #88]\n\t"
                     "stp d10, d11, [%0, #104]\n\t"
                     "stp d12, d13, [%0, #120]\n\t"
                     "stp d14, d15, [%0, #136]\n\t"
                     "str xzr, [%0, #152]"
                     :
                     : "r"(out)
                     : "memory");
}

static inline uintptr_t lm_machine_thread_pointer(void) {
    return (uintptr_t)__builtin_thread_pointer();
}

// glibc's thread control block starts with the vector.
static inline void *const *const *lm_machine_dtv(void) {
    return (void *const *const *)__builtin_thread_pointer();
}

// Static blocks lie above the thread pointer, glibc's record below it.
#define LM_MACHINE_TLS_BELOW(bytes) ((size_t)2304 + 0 * (bytes))
#define LM_MACHINE_TLS_ABOVE(bytes) (bytes)

static inline void lm_machine_prefetch_write(const void *address) {
    __builtin_prefetch(address, 1);
}

static inline uintptr_t lm_machine_sp(void) {
    uintptr_t sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

static inline uintptr_t lm_machine_context_sp(const ucontext_t *context) {
    return (uintptr_t)context->uc_mcontext.sp;
}

// A load does not fault on a page that may be read, so all but the fetch of an
// instruction is a store.
static inline bool lm_machine_context_is_write(const ucontext_t *context,
                                               uintptr_t address) {
    return (uintptr_t)context->uc_mcontext.pc != address;
}

#endif // OS_MACHINE_AARCH64_H
