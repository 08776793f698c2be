// SPDX-License-Identifier: MIT
// restart.c: rseq(2), as glibc registers it, and membarrier(2).

#include "os/restart.h"

#include <loam/machine.h>

#include <errno.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc's, from 2.35 on; the size is 0 where the kernel has no rseq, or
// glibc.pthread.rseq=0 was set.
extern const ptrdiff_t __rseq_offset __attribute__((weak)); // NOLINT
extern const unsigned __rseq_size __attribute__((weak));    // NOLINT

static long restart_barrier(int command) {
    return syscall(SYS_membarrier, command, 0, 0);
}

bool lm_restart_init(void) {
    int before = errno;
    bool ok =
        LOAM_HAS_STEPS_ && &__rseq_size != NULL && __rseq_size != 0 &&
        restart_barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) == 0;
    errno = before;
    return ok;
}

void *lm_restart_area(void) {
    if (&__rseq_size == NULL || __rseq_size == 0) {
        return NULL;
    }
    int32_t *area =
        (int32_t *)((char *)__builtin_thread_pointer() + __rseq_offset);
    // The second word is the processor, below 0 where the kernel keeps none.
    return __atomic_load_n(&area[1], __ATOMIC_RELAXED) >= 0 ? area : NULL;
}

bool lm_restart_others(void) {
    int before = errno;
    bool ok = restart_barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0;
    errno = before;
    return ok;
}
