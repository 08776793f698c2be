// SPDX-License-Identifier: MIT
// counts.c: see counts.h.

#include "model/counts.h"

#include <loam.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "support/survivors.h"

struct tally {
    struct tally *owned[COUNTS_OWNED];
    size_t seat;
    uint64_t serial;
};
LOAM_TYPE(struct tally, owned)

#define NOBODY SIZE_MAX

struct seat {
    uint64_t serial; // of the object; 0: the seat is free
    size_t held;
    size_t lost;
    size_t owned[COUNTS_OWNED];
    bool is_ended;
    bool is_reached;
};

// Static, for what is lost may be ended when its program has long been over.
static struct {
    struct seat seats[COUNTS_SEATS];
    struct tally *held[COUNTS_SEATS]; // a root: static data
    uint64_t serial;
} counts;

static void tally_end(void *object) {
    const struct tally *t = object;
    struct seat *seat = &counts.seats[t->seat];
    if (seat->serial == t->serial) {
        must(!seat->is_ended);
        seat->is_ended = true;
    }
}
LOAM_COUNTED_OWNS(struct tally, tally_end, owned)

// ---- The oracle ------------------------------------------------------------------

static void reach(size_t which) {
    struct seat *seat = &counts.seats[which];
    if (seat->serial == 0 || seat->is_reached) {
        return;
    }
    seat->is_reached = true;
    for (size_t i = 0; i < COUNTS_OWNED; i++) {
        if (seat->owned[i] != NOBODY) {
            reach(seat->owned[i]);
        }
    }
}

static bool is_owned(size_t which) {
    for (size_t i = 0; i < COUNTS_SEATS; i++) {
        const struct seat *s = &counts.seats[i];
        for (size_t k = 0; s->serial && k < COUNTS_OWNED; k++) {
            if (s->owned[k] == which) {
                return true;
            }
        }
    }
    return false;
}

static void seat_clear(size_t which) {
    memset(&counts.seats[which], 0, sizeof counts.seats[which]);
    for (size_t i = 0; i < COUNTS_SEATS; i++) {
        for (size_t k = 0; k < COUNTS_OWNED; k++) {
            if (counts.seats[i].owned[k] == which) {
                counts.seats[i].owned[k] = NOBODY;
            }
        }
    }
}

// Who should have ended has, who should not has not, and what has is forgotten.
static void counts_agree(void) {
    for (size_t i = 0; i < COUNTS_SEATS; i++) {
        counts.seats[i].is_reached = false;
    }
    for (size_t i = 0; i < COUNTS_SEATS; i++) {
        if (counts.seats[i].held) {
            reach(i);
        }
    }
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (size_t i = 0; i < COUNTS_SEATS; i++) {
            const struct seat *s = &counts.seats[i];
            if (s->serial == 0) {
                continue;
            }
            must(!(s->is_ended && s->is_reached));
            must(s->is_ended || s->held || s->lost || is_owned(i));
            if (s->is_ended) {
                seat_clear(i);
                has_changed = true;
            }
        }
    }
}

// ---- Steps -----------------------------------------------------------------------

static OWN_FRAME void make(size_t which) {
    struct seat *seat = &counts.seats[which];
    struct tally *t = seat->serial ? NULL : loam_counted_new(struct tally);
    if (t == NULL) {
        return;
    }
    *seat = (struct seat){.serial = ++counts.serial, .held = 1};
    for (size_t k = 0; k < COUNTS_OWNED; k++) {
        seat->owned[k] = NOBODY;
    }
    t->seat = which;
    t->serial = seat->serial;
    counts.held[which] = t;
}

static OWN_FRAME void release(size_t which) {
    struct seat *seat = &counts.seats[which];
    struct tally *t = counts.held[which];
    must(t->serial == seat->serial && t->seat == which);
    if (--seat->held == 0) {
        counts.held[which] = NULL;
    }
    loam_release(t);
}

static OWN_FRAME void own(size_t which, size_t other, size_t slot) {
    struct tally *t = counts.held[which];
    struct tally *before = t->owned[slot];
    bool is_somebody = other < COUNTS_SEATS && counts.seats[other].held;
    t->owned[slot] = is_somebody ? loam_retain(counts.held[other]) : NULL;
    counts.seats[which].owned[slot] = is_somebody ? other : NOBODY;
    if (before) {
        loam_release(before);
    }
}

static OWN_FRAME void lose(size_t which) {
    struct seat *seat = &counts.seats[which];
    seat->lost += seat->held;
    seat->held = 0;
    counts.held[which] = NULL;
}

void counts_step(enum counts_what what, size_t which, size_t other,
                 size_t slot) {
    counts_agree(); // finalizers may have been run since
    if (what == COUNTS_MAKE) {
        make(which);
    } else if (counts.seats[which].held == 0) {
        return;
    } else if (what == COUNTS_RETAIN) {
        must(loam_retain(counts.held[which]) == counts.held[which]);
        counts.seats[which].held++;
    } else if (what == COUNTS_RELEASE) {
        release(which);
    } else if (what == COUNTS_OWN) {
        own(which, other, slot);
    } else {
        lose(which);
    }
    counts_agree();
}

void counts_begin(void) {
    memset(&counts.seats, 0, sizeof counts.seats);
    memset(&counts.held, 0, sizeof counts.held);
}

void counts_end(void) {
    counts_agree();
    for (size_t i = 0; i < COUNTS_SEATS; i++) {
        while (counts.seats[i].held) {
            release(i);
        }
    }
    counts_agree();
    // Those that own others in a circle, and those whose references were lost.
    for (int i = 0; i < 3; i++) {
        collect_clean();
        while (loam_finalizers_run(SIZE_MAX) > 0) {
        }
    }
    counts_agree();
    size_t left = 0;
    for (size_t i = 0; i < COUNTS_SEATS; i++) {
        left += counts.seats[i].serial != 0;
    }
    must(left <= SURVIVORS_SLACK);
    counts_begin();
}
