// SPDX-License-Identifier: MIT
// must.h: what this program does when the heap is full: say so and leave.

#ifndef WORDINDEX_MUST_H
#define WORDINDEX_MUST_H

#include <stdio.h>
#include <stdlib.h>

#include <loam.h>

// must returns p, or ends the program where an allocation gave none.
static inline void *must(void *p) {
    if (p == NULL) {
        fprintf(stderr, "wordindex: %s\n", loam_last_error());
        exit(3);
    }
    return p;
}

#endif // WORDINDEX_MUST_H
