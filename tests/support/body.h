// SPDX-License-Identifier: MIT
// body.h: objects that can tell whether they are still themselves.
//
// A body knows its own address and fills itself with a pattern derived from
// its address, length and tag. If the collector reuses a live body's memory,
// or hands one cell out twice, a check finds it: memory comes zeroed or
// with another body's pattern.

#ifndef LOAM_TESTS_SUPPORT_BODY_H
#define LOAM_TESTS_SUPPORT_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/chance.h"

#define BODY_LINKS 3

struct body {
    struct body *links[BODY_LINKS];
    unsigned char *text; // a leaf of text_bytes
    uint64_t magic;      // a constant mixed with the body's address
    uint32_t text_bytes;
    uint32_t pattern_bytes;
    uint64_t tag; // whatever the owner likes
    unsigned char pattern[];
};

// body_new makes a body of a random kind (typed or conservatively scanned)
// and size, up to max_bytes of pattern. NULL when there is no room. Aborts
// where fresh memory is not zeroed.
struct body *body_new(struct chance *chance, uint64_t tag, size_t max_bytes);

// body_check aborts, with what it saw, where a body is not itself.
void body_check(const struct body *body);

// body_wipe makes a body unrecognisable, before it is freed by hand.
void body_wipe(struct body *body);

// body_walk checks `steps` bodies on a random path and returns the last.
struct body *body_walk(struct chance *chance, struct body *from, size_t steps);

#endif // LOAM_TESTS_SUPPORT_BODY_H
