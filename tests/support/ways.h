// SPDX-License-Identifier: MIT
// ways.h: all the ways in which a program can store a pointer.
//
// The collector is told of stores by pages, whatever instruction or system call
// made them. Here is one of each kind.

#ifndef LOAM_TESTS_SUPPORT_WAYS_H
#define LOAM_TESTS_SUPPORT_WAYS_H

#include <stddef.h>

// struct ways holds what the system's ways need, for one thread.
struct ways {
    int pipe[2];
    int socket[2];
    int file; // in memory
};

void ways_begin(struct ways *ways);
void ways_end(struct ways *ways);

// ways_count is how many there are: without the system's where pages are
// protected. ways_name tells one of them.
size_t ways_count(void);
const char *ways_name(size_t way);

// ways_store puts a pointer into row[at], of `count` words; the others keep what
// they hold. No other thread may store into the row meanwhile.
void ways_store(struct ways *ways, size_t way, void **row, size_t count,
                size_t at, void *pointer);

#endif // LOAM_TESTS_SUPPORT_WAYS_H
