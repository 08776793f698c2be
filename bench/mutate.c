// SPDX-License-Identifier: MIT
// mutate.c: what does it cost to keep changing a large old structure in
// random places?
//
// One linked list of 170 MiB, each node with a payload of its own, and an
// index of every 64th node. Each step goes to a random place of the index
// and renews what follows: half of the nodes are replaced by new ones, the
// others get a new payload. Generations help only a collector that can tell
// the few changed places from the many that are as they were.
//
//   mutate LIVE_MIB STEPS

#include "backend.h"
#include "measure.h"

struct payload {
    struct payload *unused; // makes it an object that must be looked at
    uint64_t value;
};
TYPE(struct payload, unused)

struct node {
    struct node *next;
    struct payload *payload;
    uint64_t position;
};
TYPE(struct node, next, payload)

struct station {
    struct node *node;
};
TYPE(struct station, node)

enum { STRIDE = 64 };

static struct payload *payload_new(uint64_t value) {
    struct payload *payload = NEW(struct payload);
    payload->unused = NULL;
    payload->value = value;
    return payload;
}

static struct node *node_new(struct node *next, uint64_t position,
                             uint64_t value) {
    struct node *node = NEW(struct node);
    node->next = next;
    node->payload = payload_new(value);
    node->position = position;
    return node;
}

// Stations are never replaced, so that the index stays right.
static void mutate(struct node *at, uint64_t random) {
    for (int i = 1; i < STRIDE; i++) {
        struct node *old = at == NULL ? NULL : at->next;
        if (old == NULL) {
            bench_fail("the list ends too early");
        }
        FREE_EXPLICIT(old->payload);
        if ((random >> i) % 2 == 0) {
            at->next = node_new(old->next, old->position, random + (uint64_t)i);
            FREE_EXPLICIT(old);
        } else {
            old->payload = payload_new(random + (uint64_t)i);
        }
        at = at->next;
    }
}

static struct station *stations; // static data, where collectors look

int main(int argc, char **argv) {
    bench_start();
    long live_mib = bench_argument(argc, argv, 1, 170);
    long steps = bench_argument(argc, argv, 2, 400000);
    if (live_mib < 1 || steps < 0) {
        bench_fail("usage: mutate LIVE_MIB STEPS");
    }
    uint64_t station_count =
        ((uint64_t)live_mib << 20) /
        (STRIDE * (sizeof(struct node) + sizeof(struct payload)) +
         sizeof(struct station));
    stations = NEW_ARRAY(struct station, station_count);
    uint64_t node_count = station_count * STRIDE;

    // From the end, so that each node can point at the next.
    struct node *list = NULL;
    for (uint64_t i = node_count; i-- > 0;) {
        list = node_new(list, i, bench_mix(i));
        if (i % STRIDE == 0) {
            stations[i / STRIDE].node = list;
        }
    }

    struct bench_random random = bench_random_from(7);
    for (long i = 0; i < steps; i++) {
        uint64_t at = bench_random_below(&random, station_count);
        mutate(stations[at].node, bench_random_next(&random));
    }

    uint64_t answer = 0;
    uint64_t position = 0;
    for (struct node *node = list; node != NULL; node = node->next) {
        if (node->position != position++) {
            bench_fail("the list is out of order");
        }
        answer = bench_mix(answer ^ node->payload->value);
    }
    if (position != node_count) {
        bench_fail("the list lost nodes");
    }
    bench_say(answer, bench_pauses(), "%s", "");
    return 0;
}
