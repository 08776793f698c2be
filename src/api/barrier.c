// SPDX-License-Identifier: MIT
// barrier.c: loam/barrier.h.
//
// A stop between moving pointers and noting it could find them where nobody
// looks, and not find them where they were. So there is none.

#include <loam/barrier.h>

#include "os/track.h"
#include "world/member.h"

#include <string.h>

// What is moved before a stop that waits may come: some microseconds' worth.
#define BARRIER_PIECE_BYTES ((size_t)64 << 10)

static void barrier_move(char *to, const char *from, size_t bytes) {
    struct lm_member *self = lm_self;
    if (self) {
        lm_member_inside(self);
    }
    memmove(to, from, bytes);
    lm_track_note((uintptr_t)to, bytes);
    if (self) {
        lm_member_outside(self);
    }
}

void loam_store_range(void *to, const void *from, size_t bytes) {
    char *at = to;
    const char *source = from;
    if (lm_track_rung() != LM_TRACK_BARRIER) {
        memmove(to, from, bytes);
        return;
    }
    // As memmove does it: from the end where the source would be overwritten.
    bool is_upward = (uintptr_t)at - (uintptr_t)source >= bytes;
    for (size_t done = 0; done < bytes;) {
        size_t left = bytes - done;
        size_t piece = left < BARRIER_PIECE_BYTES ? left : BARRIER_PIECE_BYTES;
        size_t offset = is_upward ? done : left - piece;
        barrier_move(at + offset, source + offset, piece);
        done += piece;
    }
}

void loam_touched(const void *p, size_t bytes) {
    lm_track_note((uintptr_t)p, bytes);
}
