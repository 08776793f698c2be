// SPDX-License-Identifier: MIT
// thread.c: threads of Linux and glibc.

#include "os/thread.h"

#include "base/format.h"
#include "os/libc.h"
#include "os/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

sigset_t lm_thread_block_signals(void) {
    sigset_t all, before;
    sigfillset(&all);
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

void lm_thread_stack(uintptr_t *low, uintptr_t *high) {
    pthread_attr_t attributes;
    void *start = NULL;
    size_t bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &start, &bytes);
        pthread_attr_destroy(&attributes);
    }
    *low = (uintptr_t)start;
    *high = (uintptr_t)start + bytes;
}

// Stack of a thread of ours. They keep nothing large on it; 256 KiB leaves
// room for a deep mark function.
#define THREAD_STACK_BYTES ((size_t)256 << 10)

bool lm_thread_start(void *(*fn)(void *), void *argument, const char *name) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (lm_memory_is_refused() || pthread_attr_init(&attributes) != 0) {
        return false;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    sigset_t before = lm_thread_block_signals();
    int rc = lm_libc()->pthread_create(&thread, &attributes, fn, argument);
    if (rc == 0) {
        pthread_setname_np(thread, name);
    }
    lm_thread_restore_signals(&before);
    pthread_attr_destroy(&attributes);
    return rc == 0;
}

unsigned lm_thread_processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count > 0 ? (unsigned)count : 1;
}

void lm_thread_yield(void) {
    sched_yield();
}

bool lm_thread_blocks(pid_t thread, int signal) {
    char path[64];
    char text[4096];
    lm_format(path, sizeof path, "/proc/self/task/%d/status", (int)thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *mask = strstr(text, "SigBlk:");
    if (mask == NULL) {
        return false;
    }
    return (strtoull(mask + 7, NULL, 16) >> (signal - 1)) & 1;
}
