// SPDX-License-Identifier: MIT
// aged.h: a large old heap whose pages can be dirtied one by one.
//
// Chains of 64 nodes of 64 bytes, made one after the other, so that a chain
// fills about a page; an array of stations knows the head of each. A store
// into a chain's head dirties one page. Nodes on the chain live to the end.

#ifndef BENCH_AGED_H
#define BENCH_AGED_H

#include "backend.h"
#include "measure.h"

struct aged_node {
    struct aged_node *next;
    struct aged_node *other; // what a store changes
    uint64_t number;
    uint64_t unused[5];
};
TYPE(struct aged_node, next, other)

struct aged_station {
    struct aged_node *head;
};
TYPE(struct aged_station, head)

enum { AGED_CHAIN = 64 };

static struct aged_station *aged_stations; // where collectors look
static uint64_t aged_station_count;

static struct aged_node *aged_node_new(struct aged_node *next,
                                       uint64_t number) {
    struct aged_node *node = NEW(struct aged_node);
    node->next = next;
    node->other = NULL;
    node->number = number;
    return node;
}

static void aged_build(long live_mib) {
    aged_station_count =
        ((uint64_t)live_mib << 20) / (AGED_CHAIN * sizeof(struct aged_node));
    aged_stations = NEW_ARRAY(struct aged_station, aged_station_count);
    for (uint64_t i = 0; i < aged_station_count; i++) {
        struct aged_node *head = NULL;
        for (uint64_t j = 0; j < AGED_CHAIN; j++) {
            head = aged_node_new(head, i * AGED_CHAIN + j);
        }
        aged_stations[i].head = head;
    }
}

// aged_check returns a number made of every node and of what it refers to.
static uint64_t aged_check(void) {
    uint64_t answer = 0;
    for (uint64_t i = 0; i < aged_station_count; i++) {
        uint64_t left = AGED_CHAIN;
        for (const struct aged_node *node = aged_stations[i].head; node != NULL;
             node = node->next) {
            if (left == 0 || node->number != i * AGED_CHAIN + --left) {
                bench_fail("an old node changed");
            }
            uint64_t other = node->other == NULL ? 0 : node->other->number;
            answer = bench_mix(answer ^ other);
        }
        if (left != 0) {
            bench_fail("an old node was lost");
        }
    }
    return answer;
}

#endif // BENCH_AGED_H
