// SPDX-License-Identifier: MIT
// cycle_test.c: what a collection takes, as its listener is told.

#include "collect/cycle.h"

#include <loam.h>
#include <string.h>

#include "support/framework.h"

struct node {
    struct node *next;
    long value;
};
LOAM_TYPE(struct node, next)

static struct node *nodes[100000]; // static data, which is looked at in stops
static unsigned stops;             // the most of a marking beside the program

static void note_stops(const struct lm_cycle_event *event) {
    if (event->kind == LM_CYCLE_BESIDE && event->pause_count > stops) {
        stops = event->pause_count;
    }
}

// In each stop that may be the last all static data is looked at. While all that
// it leads to was looked at once more there was no time for it in any stop, and
// they ended only after 2,800.
static void a_marking_ends_soon_with_much_static_data(void **state) {
    (void)state;
    enum loam_choice before = loam_concurrent_get();
    loam_concurrent_set(LOAM_ON);
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        nodes[i] = loam_new(struct node);
        assert_non_null(nodes[i]);
        nodes[i]->next = loam_new(struct node);
    }
    lm_cycle_listen(note_stops, false);
    for (size_t i = 0; i < 3; i++) {
        nodes[i * 100] = loam_new(struct node);
        nodes[i * 200] = nodes[i * 300 + 1];
        loam_collect();
    }
    assert_in_range(stops, strcmp(loam_track_name(), "none") ? 2 : 0, 200);
    loam_verify();
    memset(nodes, 0, sizeof nodes);
    loam_concurrent_set(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_marking_ends_soon_with_much_static_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
