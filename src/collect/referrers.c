// SPDX-License-Identifier: MIT
// referrers.c: the marker's ways of finding words, without marking.

#include "collect/referrers.h"

#include "alloc/sweep.h"
#include "collect/cycle.h"
#include "collect/pause.h"
#include "world/roots.h"

#include <string.h>

struct looking {
    lm_word_fn *fn;
    void *argument;
};

// What the marker that spills is for; the program is stopped.
static const struct looking *spilling;

static void spill(struct loam_marker *m) {
    while (m->top > m->bottom) {
        spilling->fn(0, *--m->top, spilling->argument);
    }
}

static void look(const struct lm_images *images, uint64_t began,
                 void *argument) {
    const struct looking *l = argument;
    struct loam_marker m;
    (void)began;
    memset(&m, 0, sizeof m);
    lm_marker_begin(&m, NULL); // there is a chunk: nobody is marking (chunk.1)
    lm_marker_each_word(&m, l->fn, l->argument);
    spilling = l;
    m.spill = spill;
    lm_roots_mark_data(&m, images);
    spill(&m);
    m.spill = NULL;
    lm_marker_end(&m);
}

void lm_referrers_each(lm_word_fn *fn, void *argument) {
    struct looking looking = {fn, argument};
    lm_cycle_hold();
    lm_sweep_rest();
    lm_sweep_large();
    lm_pause_run(look, &looking);
    lm_cycle_let();
}
