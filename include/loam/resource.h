// SPDX-License-Identifier: MIT
// loam/resource.h: files, connections and the like that are closed at the latest
// when nobody can reach them any more.
//
//     struct loam_resource *log = loam_file_own(fopen("log", "w"));
//     fprintf(loam_resource_get(log), "begun\n");
//     loam_resource_close(log);
//
// What is forgotten instead is closed by a finalizer, and reported on standard
// error with the place where it was opened: descriptors may run out long before a
// collection comes, so closing is the program's business.

#ifndef LOAM_RESOURCE_H
#define LOAM_RESOURCE_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct loam_resource; // an object of the heap that holds something to be closed

// loam_close_fn closes something: 0, or another number with errno.
typedef int loam_close_fn(void *held);

struct loam_resource *loam_resource_own_(void *held, loam_close_fn *close,
                                         const char *what, const char *place);
struct loam_resource *loam_file_own_(void *file, const char *place);
struct loam_resource *loam_fd_own_(int fd, const char *place);

// loam_resource_get returns what a resource holds, or NULL once it is closed.
//
//   threads  any       collects  never       cost  a load
void *loam_resource_get(const struct loam_resource *resource);

// loam_fd_get returns the descriptor that a resource of loam_fd_own holds, or -1
// once it is closed.
//
//   threads  any       collects  never       cost  a load
int loam_fd_get(const struct loam_resource *resource);

// loam_resource_close closes what a resource holds and returns what that returned;
// 0 if it is closed already, also by another thread at the same time. NULL is
// ignored.
//
//   threads  any       collects  never       cost  closing it
int loam_resource_close(struct loam_resource *resource);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#define LOAM_PLACE_ LOAM_PLACE2_(__FILE__, __LINE__)
#define LOAM_PLACE2_(file, line) LOAM_PLACE3_(file, line)
#define LOAM_PLACE3_(file, line) file ":" #line

// loam_resource_own(held, close, what) returns a resource that holds something, to
// be closed by `close`; `what` is its name in reports, as "connection". NULL when
// held is NULL, and with loam_last_error when there is no memory: then it has been
// closed.
//
//   threads  any       collects  may         cost  about 200 ns
#define loam_resource_own(held, close, what)                                   \
    loam_resource_own_((held), (close), (what), LOAM_PLACE_)

// loam_file_own(file) is loam_resource_own of a FILE *, for fclose.
//
//   threads  any       collects  may         cost  about 200 ns
#define loam_file_own(file) loam_file_own_((file), LOAM_PLACE_)

// loam_fd_own(fd) is loam_resource_own of a descriptor: NULL when it is negative.
//
//   threads  any       collects  may         cost  about 200 ns
#define loam_fd_own(fd) loam_fd_own_((fd), LOAM_PLACE_)

#endif // LOAM_RESOURCE_H
