// SPDX-License-Identifier: MIT
// lines_test.c: words that stay as they are, and lead to another object.
//
// A marking is driven by hand, so that what the program does comes between the
// same two visits of a page each time.

#include "mark/lines.h"

#include <loam.h>

#include "alloc/cache.h"
#include "alloc/sweep.h"
#include "collect/cycle.h"
#include "mark/phase.h"
#include "mark/rescan.h"
#include "mark/team.h"
#include "os/track_scan.h"
#include "support/framework.h"
#include "support/survivors.h"
#include "world/stop.h"

struct node {
    struct node *next;
    long value;
};
LOAM_TYPE(struct node, next)

struct holder {
    struct node *node;
    long value;
};
LOAM_TYPE(struct holder, node)

#define NODES 8000

static struct node *nodes[NODES];
static struct holder *holder;

// Blocks of nodes that are half full and that nobody has taken yet.
static void nodes_make(void) {
    holder = loam_new(struct holder);
    assert_non_null(holder);
    for (size_t i = 0; i < NODES; i++) {
        nodes[i] = loam_new(struct node);
        assert_non_null(nodes[i]);
    }
    for (size_t i = 0; i < NODES; i += 2) {
        loam_free(nodes[i]);
        nodes[i] = NULL;
    }
    loam_collect();
    lm_cycle_hold();
    lm_sweep_rest();
    lm_cycle_let();
}

static void marking_begin(void) {
    lm_cycle_hold();
    lm_sweep_forget_freed();
    lm_world_stop();
    lm_cache_retire_all();
    lm_sweep_prepare();
    lm_space.is_marking = true;
    struct loam_marker *m = lm_team_begin(false);
    lm_world_start();
    lm_lines_begin();
    lm_stack_push(m, (uintptr_t)holder);
    assert_true(lm_team_drain(true, 0));
    lm_cycle_let(); // nothing could be allocated
}

static void marking_visit(void) {
    uintptr_t start = (uintptr_t)holder & ~(uintptr_t)(LM_PAGE_BYTES - 1);
    lm_phase_set(false, true, 0);
    lm_rescan_pages(lm_team_marker(), start, start + LM_PAGE_BYTES);
    assert_true(lm_team_drain(true, 0));
}

static void marking_end(void) {
    lm_cycle_hold();
    lm_world_stop();
    lm_cache_retire_all();
    lm_team_abandon();
    lm_sweep_forget_marks();
    lm_space.is_marking = false;
    lm_world_start();
    lm_cycle_let();
    for (size_t i = 0; i < NODES; i++) {
        nodes[i] = NULL;
    }
    loam_collect();
    loam_verify();
}

static bool is_marked(const void *p) {
    struct lm_object object;
    return lm_phase_find((uintptr_t)p, &object) && lm_phase_keeps(&object);
}

// Makes nodes until one is where another was; without it the test is void.
static struct node *node_at(uintptr_t place) {
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = loam_new(struct node);
        assert_non_null(node);
        if ((uintptr_t)node == place) {
            return node;
        }
    }
    fail_msg("nothing came back to %p", (void *)place); // NOLINT
    return NULL;
}

static void what_takes_a_freed_objects_place_is_found(void **state) {
    (void)state;
    nodes_make();
    struct node *node = nodes[NODES / 2 + 1];
    assert_non_null(node);
    holder->node = node;
    marking_begin();
    marking_visit(); // the line is known now
    assert_true(is_marked(node));
    loam_free(node);
    holder->node = node_at((uintptr_t)node);
    marking_visit();
    assert_true(is_marked(holder->node));
    marking_end();
}

// The word was there before the object that it leads to.
static void what_comes_to_a_stale_words_place_is_found(void **state) {
    (void)state;
    nodes_make();
    struct node *node = nodes[NODES / 2 + 1];
    assert_non_null(node);
    holder->node = node;
    loam_free(node);
    marking_begin();
    marking_visit();
    assert_false(is_marked(node));
    holder->node = node_at((uintptr_t)node);
    marking_visit();
    assert_true(is_marked(holder->node));
    marking_end();
}

int main(void) {
    // No collection but those that are asked for.
    loam_heap_min_set((size_t)256 << 20);
    loam_generations_set(LOAM_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_a_freed_objects_place_is_found),
        cmocka_unit_test(what_comes_to_a_stale_words_place_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
