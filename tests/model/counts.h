// SPDX-License-Identifier: MIT
// counts.h: counted objects, and an oracle that counts them by hand.
//
// The oracle knows who is held how often, whom each object owns, and which
// references were lost: forgotten without a release. An object without references
// ends at once, and so does what only it owned. One that nobody can reach may be
// ended by the collector, where finalizers run. One that can be reached is not.

#ifndef LOAM_TESTS_MODEL_COUNTS_H
#define LOAM_TESTS_MODEL_COUNTS_H

#include <stddef.h>

#define COUNTS_SEATS 32
#define COUNTS_OWNED 2

enum counts_what {
    COUNTS_MAKE,
    COUNTS_RETAIN,
    COUNTS_RELEASE,
    COUNTS_OWN,  // `which` owns `other` in that slot, or nobody
    COUNTS_LOSE, // all that is held of it
    COUNTS_WHAT,
};

// counts_begin starts with no objects, counts_step does something and requires that
// who has ended agrees; what cannot be done is left. counts_end lets go of all and
// requires that all ends.
void counts_begin(void);
void counts_step(enum counts_what what, size_t which, size_t other,
                 size_t slot);
void counts_end(void);

#endif // LOAM_TESTS_MODEL_COUNTS_H
