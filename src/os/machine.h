// SPDX-License-Identifier: MIT
// os/machine.h: registers and stacks of the processor at hand.

#ifndef OS_MACHINE_H
#define OS_MACHINE_H

#include <stdint.h>

#if defined(__x86_64__)
#include "os/machine_x86_64.h"
#elif defined(__aarch64__)
#include "os/machine_aarch64.h"
#else
#error "Loam runs on x86-64 and on 64-bit Arm; this machine is neither"
#endif

// What a machine_*.h provides:
//   LM_MACHINE_REGISTERS  how many registers a callee must preserve
//   lm_machine_pause      tells the processor that this is a waiting loop
//   lm_machine_registers  copies the preserved registers out
//   lm_machine_dtv        where glibc keeps the address of this thread's
//                         vector of thread-local blocks
//   lm_machine_thread_pointer  where its static thread-local storage is
//   LM_MACHINE_TLS_BELOW, ABOVE  how far that reaches on either side
//   lm_machine_prefetch_write  asks for a cache line that will be written
//   lm_machine_sp         the stack pointer itself
//   lm_machine_context_sp the stack pointer that a signal interrupted
//   lm_machine_context_is_write  whether the SIGSEGV at an address was a store

#endif // OS_MACHINE_H
