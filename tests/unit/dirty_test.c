// SPDX-License-Identifier: MIT
// dirty_test.c: visits of written pages that are done in parts.

#include "collect/dirty.h"

#include <loam.h>
#include <stdio.h>
#include <string.h>

#include "collect/cycle.h"
#include "collect/pause.h"
#include "heap/space.h"
#include "mark/phase.h"
#include "mark/team.h"
#include "os/track.h"
#include "support/framework.h"
#include "support/scene.h"
#include "support/survivors.h"

#define PAGES ((size_t)8192) // 32 MiB
#define PAGE_WORDS (LM_PAGE_BYTES / sizeof(uintptr_t))

typedef uintptr_t page[PAGE_WORDS];

static page *pages; // of an object that may hold pointers

static void pages_make(void) {
    pages = loam_alloc(PAGES * LM_PAGE_BYTES);
    must(pages != NULL && (uintptr_t)pages % LM_PAGE_BYTES == 0);
}

static void pages_write(size_t first, size_t step) {
    for (size_t i = first; i < PAGES; i += step) {
        pages[i][1]++;
    }
}

// ---- Scenes: each runs in a process of its own ------------------------------

// Visits all that was written, about `most` pages at a time; returns how many
// there were. Parts says in how many it was done.
static size_t visit_in_parts(size_t most, size_t *parts) {
    size_t count = 0;
    size_t block = 1;
    *parts = 1;
    while (!lm_dirty_visit_some(lm_team_marker(), &count, &block, most)) {
        must(++*parts <= PAGES);
    }
    return count;
}

// Whether a part ends in the middle of a block or with it depends on which of
// its two pages were written.
static void parts_visit(void *unused) {
    static const struct {
        size_t first, step;
    } written[] = {{0, 1}, {0, 2}, {1, 2}, {1, 3}, {0, 8}};
    size_t parts;
    (void)unused;
    must(lm_dirty_open());
    lm_team_begin(false);
    lm_dirty_visit_all(lm_team_marker());
    must(visit_in_parts(PAGES, &parts) == 0);
    for (size_t i = 0; i < COUNT_OF(written); i++) {
        for (size_t most = 1; most <= 512; most *= 8) {
            size_t step = written[i].step;
            pages_write(written[i].first, step);
            size_t count = (PAGES - written[i].first + step - 1) / step;
            must(visit_in_parts(most, &parts) == count && parts > 1);
            must(visit_in_parts(most, &parts) == 0);
        }
    }
    lm_team_abandon();
}

static void scene_parts(void) {
    pages_make();
    lm_cycle_stopped(parts_visit, NULL);
    puts(lm_track_name(lm_track_rung()));
}

struct node {
    struct node *next;
    long value;
};
LOAM_TYPE(struct node, next)

#define FRONT 64     // pages, with a node each
#define LAST_PAUSE 5 // after which the marking has to end in one stop

static struct survivors front; // what goes to the first pages
static unsigned pauses;

// The program, between two stops. It cannot allocate here: so what nobody has
// marked are objects that were hidden before.
static void between_stops(uint64_t ns) {
    (void)ns;
    pauses++;
    if (pauses == 1) {
        loam_pause_target_set(1); // no time for anything in the next stop
    } else if (pauses <= LAST_PAUSE) {
        loam_pause_target_set(200000); // for a part of all these pages
        pages_write(0, 1);
    }
    if (pauses == LAST_PAUSE) {
        for (size_t i = 0; i < FRONT; i++) {
            pages[i][0] = (uintptr_t)unhide(front.hidden[i]);
        }
        lm_phase_hurry(true);
    }
}

static OWN_FRAME void front_make(void) {
    front = survivors_new(FRONT);
    for (size_t i = 0; i < FRONT; i++) {
        struct node *node = loam_new(struct node);
        must(node != NULL);
        survivors_note(&front, node);
    }
}

static void scene_behind(void) {
    loam_heap_min_set((size_t)1 << 30); // no collection but this one
    pages_make();
    pages_write(0, 1);
    front_make();
    stack_clear();
    lm_pause_listen(between_stops);
    must(
        lm_cycle_collect(LM_CYCLE_BESIDE, LM_CAUSE_REQUEST, lm_cycle_number()));
    lm_pause_listen(NULL);
    must(pauses > LAST_PAUSE);
    must(survivors_count(&front) == FRONT);
    puts(lm_track_name(lm_track_rung()));
}

static const struct scene scenes[] = {
    {"parts", scene_parts},
    {"behind", scene_behind},
};

// ---- Tests ---------------------------------------------------------------------

static void expect_said(const struct outcome *o, const char *text) {
    if (o->exit_code != 0 || strstr(o->out, text) == NULL) {
        print_message("exit %d, signal %d, out: %s, err: %s\n", o->exit_code,
                      o->signal, o->out, o->err);
    }
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->out, text));
}

// On all rungs where the system is asked for written pages.
static void expect_on_rungs(const char *scene) {
    static const char *const mprotect_beside[] = {"LOAM_TRACK=mprotect",
                                                  "LOAM_CONCURRENT=on",
                                                  "LOAM_GENERATIONS=off", NULL};
    static const char *const kernel_beside[] = {"LOAM_TRACK=kernel",
                                                "LOAM_CONCURRENT=on",
                                                "LOAM_GENERATIONS=off", NULL};
    expect_said(scene_play(scene, mprotect_beside), "mprotect");
    if (lm_dirty_open() && lm_track_rung() == LM_TRACK_KERNEL) {
        expect_said(scene_play(scene, kernel_beside), "kernel");
    }
}

static void a_visit_in_parts_leaves_no_written_page_out(void **state) {
    (void)state;
    expect_on_rungs("parts");
}

// Where the last stop goes on with a visit, what was written since on the pages
// before is seen in a second one.
static void the_last_stop_visits_what_is_behind_it_again(void **state) {
    (void)state;
    expect_on_rungs("behind");
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    loam_heap_min_set((size_t)1 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_visit_in_parts_leaves_no_written_page_out),
        cmocka_unit_test(the_last_stop_visits_what_is_behind_it_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
