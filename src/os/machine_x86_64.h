// SPDX-License-Identifier: MIT
// os/machine_x86_64.h: the System V ABI on x86-64.

#ifndef OS_MACHINE_X86_64_H
#define OS_MACHINE_X86_64_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define LM_MACHINE_REGISTERS 6

static inline void lm_machine_pause(void) {
    __asm__ volatile("pause");
}

// Not setjmp: glibc mangles rbp in a jmp_buf, and rbp may hold a pointer.
static inline void lm_machine_registers(uintptr_t out[LM_MACHINE_REGISTERS]) {
    __asm__ volatile("movq %%rbx, 0(%0)\n\t"
                     "movq %%rbp, 8(%0)\n\t"
                     "movq %%r12, 16(%0)\n\t"
                     "movq %%r13, 24(%0)\n\t"
                     "movq %%r14, 32(%0)\n\t"
                     "movq %%r15, 40(%0)"
                     :
                     : "r"(out)
                     : "memory");
}

static inline uintptr_t lm_machine_thread_pointer(void) {
    uintptr_t block;
    __asm__("movq %%fs:0, %0" : "=r"(block));
    return block;
}

// glibc's thread control block starts with its own address, then the vector.
static inline void *const *const *lm_machine_dtv(void) {
    return (void *const *const *)(lm_machine_thread_pointer() + 8); // NOLINT
}

// Static blocks lie below the thread pointer, glibc's record (2,304 bytes in
// 2.36) from it on.
#define LM_MACHINE_TLS_BELOW(bytes) (bytes)
#define LM_MACHINE_TLS_ABOVE(bytes) ((size_t)2304 + 0 * (bytes))

// The builtin asks for a line to read unless told of a processor that has
// prefetchw; all of 64 bits do, the oldest as an instruction without effect.
static inline void lm_machine_prefetch_write(const void *address) {
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)address));
}

static inline uintptr_t lm_machine_sp(void) {
    uintptr_t sp;
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
    return sp;
}

static inline uintptr_t lm_machine_context_sp(const ucontext_t *context) {
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}

// The bits of a page fault's error code say that it was a store, and that it was
// the fetch of an instruction.
static inline bool lm_machine_context_is_write(const ucontext_t *context,
                                               uintptr_t address) {
    (void)address;
    return ((unsigned long)context->uc_mcontext.gregs[REG_ERR] & 0x12) == 0x02;
}

#endif // OS_MACHINE_X86_64_H
