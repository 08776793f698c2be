// SPDX-License-Identifier: MIT
// libc.c: the next definition of a name after ours.

#include "os/libc.h"

#include "base/check.h"

#include <dlfcn.h>
#include <string.h>

bool lm_libc_has_runtime;

static struct lm_libc libc_table;
static bool libc_is_found; // atomic; set after the table is whole

// POSIX gives function pointers the size of data pointers; C has no cast.
static void libc_find(void *into, const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        lm_caller_error("libloam stands in front of libc's threads and signals "
                        "and needs the real functions behind it",
                        "link dynamically, with libloam before libc",
                        "the dynamic loader knows no %s after libloam", name);
    }
    memcpy(into, &found, sizeof found);
}

// What older versions of libc do not have stays NULL.
static void libc_find_new(void *into, const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(into, &found, sizeof found);
}

static void libc_fill(void) {
    struct lm_libc *t = &libc_table;
    libc_find(&t->pthread_create, "pthread_create");
    libc_find(&t->thrd_create, "thrd_create");
    libc_find(&t->pthread_exit, "pthread_exit");
    libc_find(&t->pthread_join, "pthread_join");
    libc_find(&t->pthread_tryjoin_np, "pthread_tryjoin_np");
    libc_find(&t->pthread_timedjoin_np, "pthread_timedjoin_np");
    libc_find(&t->pthread_clockjoin_np, "pthread_clockjoin_np");
    libc_find(&t->pthread_detach, "pthread_detach");
    libc_find(&t->pthread_sigmask, "pthread_sigmask");
    libc_find(&t->sigprocmask, "sigprocmask");
    libc_find(&t->sigaction, "sigaction");
    libc_find(&t->poll, "poll");
    libc_find(&t->ppoll, "ppoll");
    libc_find(&t->select, "select");
    libc_find(&t->pselect, "pselect");
    libc_find(&t->epoll_wait, "epoll_wait");
    libc_find(&t->epoll_pwait, "epoll_pwait");
    libc_find(&t->nanosleep, "nanosleep");
    libc_find(&t->clock_nanosleep, "clock_nanosleep");
    libc_find(&t->usleep, "usleep");
    libc_find(&t->sleep, "sleep");
    libc_find(&t->pause, "pause");
    libc_find(&t->sigtimedwait, "sigtimedwait");
    libc_find(&t->sigwait, "sigwait");
    libc_find(&t->sigsuspend, "sigsuspend");
    libc_find(&t->signalfd, "signalfd");
    libc_find(&t->sem_timedwait, "sem_timedwait");
    libc_find(&t->sem_clockwait, "sem_clockwait");
    libc_find(&t->semop, "semop");
    libc_find(&t->semtimedop, "semtimedop");
    libc_find(&t->msgrcv, "msgrcv");
    libc_find(&t->msgsnd, "msgsnd");
    libc_find_new(&t->attr_getsigmask, "pthread_attr_getsigmask_np");
    libc_find_new(&t->epoll_pwait2, "epoll_pwait2");
    libc_find_new(&t->poll_chk, "__poll_chk");
    libc_find_new(&t->ppoll_chk, "__ppoll_chk");
}

const struct lm_libc *lm_libc(void) {
    // Two threads may fill the table at once; they write the same values.
    // Release and acquire: who sees the flag sees the table.
    if (lm_unlikely(!__atomic_load_n(&libc_is_found, __ATOMIC_ACQUIRE))) {
        libc_fill();
        __atomic_store_n(&libc_is_found, true, __ATOMIC_RELEASE);
    }
    return &libc_table;
}
