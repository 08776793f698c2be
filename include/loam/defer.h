// SPDX-License-Identifier: MIT
// loam/defer.h: what is done when a scope ends, however it ends.
//
//     LOAM_SCOPED_FILE FILE *file = fopen(path, "r");
//     if (file == NULL) {
//         return -1;
//     }
//     LOAM_DEFER(unlock_table, table);
//     ... // return, break, continue, goto: the table is unlocked, then the
//         // file closed
//
// Memory needs none of this; descriptors, files, locks and mappings do. It is a
// matter between the compiler and the program (the attribute `cleanup` of gcc and
// clang): nothing here needs the heap, and errno stays as it was.
//
// Things end in the order in which they began, turned round: newest first. They
// do not end when the scope is left by longjmp or exit, or when the thread ends in
// it, by pthread_exit or cancellation; except that C++, and C that is compiled
// with -fexceptions, ends them in the latter two cases, and C++ at exceptions. A
// goto must not jump over one into its scope.

#ifndef LOAM_DEFER_H
#define LOAM_DEFER_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <loam/counted.h>

#ifdef __cplusplus
extern "C" {
#endif

// loam_defer_fn is what LOAM_DEFER calls, with its argument.
typedef void loam_defer_fn(void *argument);

// struct loam_mapping is memory that mmap has returned, for LOAM_SCOPED_MAPPING.
struct loam_mapping {
    void *start; // MAP_FAILED or NULL: there is none
    size_t bytes;
};

struct loam_defer_ {
    loam_defer_fn *fn;
    void *argument;
};

static inline void loam_defer_end_(struct loam_defer_ *defer) {
    int before = errno;
    defer->fn(defer->argument);
    errno = before;
}

static inline void loam_scoped_file_end_(FILE **file) {
    int before = errno;
    if (*file != NULL) {
        fclose(*file);
    }
    errno = before;
}

static inline void loam_scoped_fd_end_(const int *fd) {
    int before = errno;
    if (*fd >= 0) {
        close(*fd);
    }
    errno = before;
}

static inline void loam_scoped_mapping_end_(const struct loam_mapping *m) {
    int before = errno;
    if (m->start != NULL && m->start != MAP_FAILED) {
        munmap(m->start, m->bytes);
    }
    errno = before;
}

static inline pthread_mutex_t *loam_scoped_lock_begin_(pthread_mutex_t *m) {
    return pthread_mutex_lock(m) == 0 ? m : NULL;
}

static inline void loam_scoped_lock_end_(pthread_mutex_t **mutex) {
    if (*mutex != NULL) {
        pthread_mutex_unlock(*mutex);
    }
}

static inline void loam_scoped_counted_end_(void *at) {
    int before = errno;
    void *p;
    memcpy(&p, at, sizeof p); // a pointer of any type
    loam_release(p);
    errno = before;
}

#ifdef __cplusplus
}
#endif

#define LOAM_AT_END_(fn) __attribute__((cleanup(fn), unused))

// LOAM_DEFER(fn, argument) calls fn(argument) when the scope ends in which it
// stands as a statement. The argument is a pointer, evaluated now.
//
//   threads  any       collects  never       cost  two stores and the call
#define LOAM_DEFER(fn, argument) LOAM_DEFER_(__COUNTER__, fn, argument)
#define LOAM_DEFER_(id, fn, argument)                                          \
    struct loam_defer_ LOAM_CAT_(loam_defer_, id)                              \
        LOAM_AT_END_(loam_defer_end_) = {(fn), (argument)}

// LOAM_SCOPED_FILE, before the declaration of a FILE *, closes the file when the
// scope ends, if it is not NULL then. What fclose returns is lost: call fflush
// where it matters whether all was written.
#define LOAM_SCOPED_FILE LOAM_AT_END_(loam_scoped_file_end_)

// LOAM_SCOPED_FD, before the declaration of an int, closes the descriptor when
// the scope ends, if it is not negative then.
#define LOAM_SCOPED_FD LOAM_AT_END_(loam_scoped_fd_end_)

// LOAM_SCOPED_MAPPING, before the declaration of a struct loam_mapping, unmaps it
// when the scope ends.
#define LOAM_SCOPED_MAPPING LOAM_AT_END_(loam_scoped_mapping_end_)

// LOAM_SCOPED_LOCK(mutex) locks a pthread_mutex_t, given by its address, until
// the scope ends in which it stands as a statement. Where pthread_mutex_lock
// fails, as only mutexes of special kinds do, nothing is unlocked either.
#define LOAM_SCOPED_LOCK(mutex) LOAM_SCOPED_LOCK_(__COUNTER__, mutex)
#define LOAM_SCOPED_LOCK_(id, mutex)                                           \
    pthread_mutex_t *LOAM_CAT_(loam_lock_, id)                                 \
        LOAM_AT_END_(loam_scoped_lock_end_) = loam_scoped_lock_begin_(mutex)

// LOAM_SCOPED_COUNTED, before the declaration of a pointer to a counted object,
// releases it when the scope ends, if it is not NULL then.
#define LOAM_SCOPED_COUNTED LOAM_AT_END_(loam_scoped_counted_end_)

// LOAM_TAKE(variable) returns the value of a scoped file or counted pointer and
// sets the variable to NULL, so that nothing ends with the scope; LOAM_TAKE_FD
// does it for a descriptor. For functions that return what they have made.
#define LOAM_TAKE(variable)                                                    \
    (__extension__({                                                           \
        __typeof__(variable) loam_kept_ = (variable);                          \
        (variable) = NULL;                                                     \
        loam_kept_;                                                            \
    }))

// LOAM_TAKE_FD(variable) returns the value of a scoped descriptor, which is not
// closed with the scope then: the variable is -1.
#define LOAM_TAKE_FD(variable)                                                 \
    (__extension__({                                                           \
        int loam_kept_ = (variable);                                           \
        (variable) = -1;                                                       \
        loam_kept_;                                                            \
    }))

#endif // LOAM_DEFER_H
