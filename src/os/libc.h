// SPDX-License-Identifier: MIT
// os/libc.h: the functions of libc that this library stands in front of.
//
// libloam defines pthread_create and a few others itself (src/api), so
// that every thread is known and none can block the signal that stops it. The
// real ones are found here.

#ifndef OS_LIBC_H
#define OS_LIBC_H

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <threads.h>
#include <time.h>

struct lm_libc {
    int (*pthread_create)(pthread_t *, const pthread_attr_t *,
                          void *(*)(void *), void *);
    int (*thrd_create)(thrd_t *, thrd_start_t, void *);
    void (*pthread_exit)(void *);
    int (*pthread_join)(pthread_t, void **);
    int (*pthread_tryjoin_np)(pthread_t, void **);
    int (*pthread_timedjoin_np)(pthread_t, void **, const struct timespec *);
    int (*pthread_clockjoin_np)(pthread_t, void **, clockid_t,
                                const struct timespec *);
    int (*pthread_detach)(pthread_t);
    int (*pthread_sigmask)(int, const sigset_t *, sigset_t *);
    int (*sigprocmask)(int, const sigset_t *, sigset_t *);
    int (*sigaction)(int, const struct sigaction *, struct sigaction *);
    int (*poll)(struct pollfd *, nfds_t, int);
    int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *,
                 const sigset_t *);
    int (*select)(int, fd_set *, fd_set *, fd_set *, struct timeval *);
    int (*pselect)(int, fd_set *, fd_set *, fd_set *, const struct timespec *,
                   const sigset_t *);
    int (*epoll_wait)(int, struct epoll_event *, int, int);
    int (*epoll_pwait)(int, struct epoll_event *, int, int, const sigset_t *);
    int (*nanosleep)(const struct timespec *, struct timespec *);
    int (*clock_nanosleep)(clockid_t, int, const struct timespec *,
                           struct timespec *);
    int (*usleep)(unsigned);
    unsigned (*sleep)(unsigned);
    int (*pause)(void);
    int (*sigtimedwait)(const sigset_t *, siginfo_t *, const struct timespec *);
    int (*sigwait)(const sigset_t *, int *);
    int (*sigsuspend)(const sigset_t *);
    int (*signalfd)(int, const sigset_t *, int);
    int (*sem_timedwait)(sem_t *, const struct timespec *);
    int (*sem_clockwait)(sem_t *, clockid_t, const struct timespec *);
    int (*semop)(int, struct sembuf *, size_t);
    int (*semtimedop)(int, struct sembuf *, size_t, const struct timespec *);
    ssize_t (*msgrcv)(int, void *, size_t, long, int);
    int (*msgsnd)(int, const void *, size_t, int);
    // NULL where libc has none.
    int (*attr_getsigmask)(const pthread_attr_t *, sigset_t *);
    int (*epoll_pwait2)(int, struct epoll_event *, int, const struct timespec *,
                        const sigset_t *);
    int (*poll_chk)(struct pollfd *, nfds_t, int, size_t);
    int (*ppoll_chk)(struct pollfd *, nfds_t, const struct timespec *,
                     const sigset_t *, size_t);
};

// lm_libc_has_runtime says that there is a heap to stand in front of libc for:
// until then our functions do nothing but call the real ones. Set once, before
// there is a second thread that could mind.
extern bool lm_libc_has_runtime;

// lm_libc returns the table, which is filled at the first call.
const struct lm_libc *lm_libc(void);

#endif // OS_LIBC_H
