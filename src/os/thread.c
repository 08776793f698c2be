// SPDX-License-Identifier: MIT
// thread.c: threads of Linux and glibc.

#include "os/thread.h"

#include "base/format.h"
#include "base/settings.h"
#include "os/descriptor.h"
#include "os/libc.h"
#include "os/lock.h"
#include "os/machine.h"
#include "os/memory.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t lm_thread_id(void) {
    return (pid_t)syscall(SYS_gettid);
}

enum lm_signal_result lm_thread_signal(pid_t thread, int signal) {
    int saved = errno;
    long rc = syscall(SYS_tgkill, getpid(), thread, signal);
    int error = errno;
    errno = saved;
    return rc == 0           ? LM_SIGNAL_SENT
           : error == EAGAIN ? LM_SIGNAL_FULL
                             : LM_SIGNAL_GONE;
}

void lm_thread_let_faults_in(sigset_t *set) {
    if (lm_settings.track == LM_TRACK_MPROTECT) {
        sigdelset(set, SIGSEGV);
    }
}

sigset_t lm_thread_block_signals(void) {
    sigset_t all, before;
    sigfillset(&all);
    lm_thread_let_faults_in(&all);
    lm_libc()->pthread_sigmask(SIG_SETMASK, &all, &before);
    return before;
}

void lm_thread_restore_signals(const sigset_t *before) {
    lm_libc()->pthread_sigmask(SIG_SETMASK, before, NULL);
}

void lm_thread_requeue(int signal, siginfo_t *info) {
    int saved = errno;
    while (syscall(SYS_rt_tgsigqueueinfo, getpid(), lm_thread_id(), signal,
                   info) != 0 &&
           errno == EAGAIN) {
        sched_yield(); // the queue of real-time signals is full
    }
    errno = saved;
}

static bool page_is_mapped(uintptr_t page, size_t bytes) {
    unsigned char resident;
    return mincore((void *)page, bytes, &resident) == 0; // NOLINT
}

uintptr_t lm_thread_lowest_mapped(uintptr_t low, uintptr_t high) {
    uintptr_t page = (uintptr_t)getpagesize();
    uintptr_t at = high & ~(page - 1);
    while (at > low && page_is_mapped(at - page, page)) {
        at -= page;
    }
    return at > low ? at : low;
}

uintptr_t lm_thread_highest_mapped(uintptr_t low, uintptr_t high) {
    uintptr_t page = (uintptr_t)getpagesize();
    uintptr_t at = low & ~(page - 1);
    while (at < high && page_is_mapped(at, page)) {
        at += page;
    }
    return at < high ? at : high;
}

// Pages that mincore is asked about at a time: a byte each, on the stack.
#define THREAD_PAGES 256

bool lm_thread_is_mapped(uintptr_t low, uintptr_t high) {
    unsigned char resident[THREAD_PAGES];
    uintptr_t page = (uintptr_t)getpagesize();
    uintptr_t bottom = low & ~(page - 1);
    uintptr_t at = (high + page - 1) & ~(page - 1);
    // Downwards: below a stack that grows the system leaves a gap.
    while (at > bottom) {
        uintptr_t bytes = at - bottom;
        bytes = bytes < THREAD_PAGES * page ? bytes : THREAD_PAGES * page;
        at -= bytes;
        if (mincore((void *)at, bytes, resident) != 0) { // NOLINT
            return false;
        }
    }
    return true;
}

// Where the loader found the main thread's stack.
extern void *__libc_stack_end; // NOLINT

// Where the main thread's stack has no limit, libc's answer reaches down to
// whatever is mapped below it, and more may be mapped in between later: other
// stacks, for instance. No stack is deeper than this, nor anything so close.
#define THREAD_STACK_MAX ((uintptr_t)64 << 30)

// Where the main thread's stack begins, for libc cannot tell without /proc: the
// name of the program is the last that the kernel puts above the arguments.
static uintptr_t thread_main_high(void) {
    uintptr_t last = getauxval(AT_EXECFN);
    uintptr_t begin = (uintptr_t)__libc_stack_end;
    uintptr_t page = getauxval(AT_PAGESZ);
    last = last > begin ? last : begin;
    return (last + page) & ~(page - 1);
}

bool lm_thread_stack(uintptr_t *low, uintptr_t *high) {
    pthread_attr_t attributes;
    void *start = NULL;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &start, &bytes);
        pthread_attr_destroy(&attributes);
    } else if (lm_thread_id() == getpid()) {
        *high = thread_main_high();
        *low = *high - THREAD_STACK_MAX;
        return true;
    }
    *low = (uintptr_t)start;
    *high = (uintptr_t)start + bytes;
    bool is_main = (uintptr_t)__libc_stack_end - *low < bytes;
    if (is_main && bytes > THREAD_STACK_MAX) {
        *low = *high - THREAD_STACK_MAX;
    }
    return is_main;
}

// Stack of a thread of ours. They keep nothing large on it; 256 KiB leaves
// room for a deep mark function.
#define THREAD_STACK_BYTES ((size_t)256 << 10)

// The frames of a thread that has just begun.
#define THREAD_FRAMES_BYTES 1024

bool lm_thread_start(void *(*fn)(void *), void *argument, const char *name,
                     bool is_for_program) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (lm_memory_is_refused() || pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (!is_for_program) {
        pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    }
    sigset_t before = lm_thread_block_signals();
    int rc = lm_libc()->pthread_create(&thread, &attributes, fn, argument);
    if (rc == 0) {
        pthread_setname_np(thread, name);
    }
    lm_thread_restore_signals(&before);
    pthread_attr_destroy(&attributes);
    return rc == 0;
}

// On which processors the process may run, a bit each: as many as Linux can
// have (NR_CPUS of arch/x86/Kconfig), where cpu_set_t has 1,024.
enum { PROCESSORS_BYTES = 8192 / 8 };
static union {
    cpu_set_t set;
    char bytes[PROCESSORS_BYTES];
} processors;
static bool processors_are_known;

unsigned lm_thread_processors_init(void) {
    processors_are_known =
        sched_getaffinity(0, PROCESSORS_BYTES, &processors.set) == 0;
    int count = processors_are_known
                    ? CPU_COUNT_S(PROCESSORS_BYTES, &processors.set)
                    : 1;
    return count > 0 ? (unsigned)count : 1;
}

// struct sched_attr of linux/sched/types.h, which older headers do not have.
struct thread_schedule {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

// Of the address sanitizer's library, where that is loaded.
extern void __asan_unpoison_memory_region(const void *start, size_t bytes)
    __attribute__((weak));

void lm_thread_begin(uint64_t slice_ns) {
    struct thread_schedule s = {.size = sizeof s};
    if (__asan_unpoison_memory_region) {
        // In a forked child the stack may be that of a thread of the parent's,
        // and the marks of its frames are still there. Before any other call:
        // what it intercepts looks at them.
        uintptr_t sp = lm_machine_sp();
        __asan_unpoison_memory_region(
            (const void *)(sp - THREAD_STACK_BYTES), // NOLINT
            THREAD_STACK_BYTES + THREAD_FRAMES_BYTES);
    }
    if (processors_are_known) {
        // Where none of them is left, it stays where it is.
        sched_setaffinity(0, PROCESSORS_BYTES, &processors.set);
    }
    if (syscall(SYS_sched_getattr, 0, &s, sizeof s, 0) == 0 &&
        s.policy == SCHED_OTHER) {
        s.runtime_ns = slice_ns;
        syscall(SYS_sched_setattr, 0, &s, 0);
    }
}

void lm_thread_sleep(uint64_t ns) {
    static const uint32_t never = 0;
    lm_futex_wait(&never, 0, ns);
}

void lm_thread_yield(void) {
    sched_yield();
}

bool lm_thread_blocks(pid_t thread, int signal) {
    char path[64];
    char text[4096];
    lm_format(path, sizeof path, "/proc/self/task/%d/status", (int)thread);
    if (!lm_file_text(path, text, sizeof text)) {
        return false;
    }
    const char *mask = strstr(text, "SigBlk:");
    return mask != NULL && (strtoull(mask + 7, NULL, 16) >> (signal - 1)) & 1;
}
