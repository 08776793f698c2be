// SPDX-License-Identifier: MIT
// crew.h: threads that take files from a queue and index them.

#ifndef WORDINDEX_CREW_H
#define WORDINDEX_CREW_H

#include <pthread.h>
#include <stddef.h>

#include "index.h"
#include "source.h"

struct crew {
    char **names; // the files to index
    size_t name_count;
    struct index *index;
    struct source **sources; // what became of each name: a source,
    const char **problems;   // or a sentence on why there is none
    pthread_mutex_t lock;    // guards next
    size_t next;             // the first name that nobody has taken
};

// crew_run makes an index of the files in names with `thread_count` threads,
// the calling one among them, and returns how many there were in fact: fewer
// where the system gave no more.
size_t crew_run(struct crew *crew, char **names, size_t name_count,
                size_t thread_count);

#endif // WORDINDEX_CREW_H
