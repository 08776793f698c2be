// SPDX-License-Identifier: MIT
// list.c: what does a large old list cost a program that mostly makes objects
// which die at once, and now and then changes the list?
//
// The list has no index: what hangs on a single thread of pointers cannot be
// marked by two threads. Each step makes a short chain of new nodes, adds it up
// and forgets it, moves a few nodes along the list, and puts a new node in the
// place of the next; so one in seventeen new objects lives long.
//
//   list LIVE_MIB STEPS

#include "backend.h"
#include "measure.h"

struct node {
    struct node *next;
    uint64_t position;
    uint64_t value;
};
TYPE(struct node, next)

enum { CHAIN_LENGTH = 16 };

static struct node *list; // static data, where collectors look

static struct node *node_new(struct node *next, uint64_t position,
                             uint64_t value) {
    struct node *node = NEW(struct node);
    node->next = next;
    node->position = position;
    node->value = value;
    return node;
}

// From the end, so that each node can point at the next.
static void list_build(uint64_t node_count) {
    for (uint64_t i = node_count; i-- > 0;) {
        list = node_new(list, i, bench_mix(i));
    }
}

// Adds up a chain of new nodes, and all of them are garbage.
static uint64_t chain_visit(uint64_t value) {
    struct node *chain = NULL;
    for (uint64_t i = 0; i < CHAIN_LENGTH; i++) {
        chain = node_new(chain, i, value + i);
    }
    uint64_t sum = 0;
    struct node *next;
    for (struct node *node = chain; node != NULL; node = next) {
        next = node->next;
        sum += node->value ^ node->position;
        FREE_EXPLICIT(node);
    }
    return sum;
}

// Returns the node `count` places on, beginning again where the list ends.
static struct node *node_after(struct node *node, uint64_t count) {
    for (; count > 0; count--) {
        node = node->next == NULL ? list : node->next;
    }
    return node;
}

static void list_mutate(long steps, struct bench_random *random) {
    struct node *at = list;
    for (long i = 0; i < steps; i++) {
        uint64_t value = chain_visit(bench_random_next(random));
        at = node_after(at, 1 + bench_random_below(random, 4));
        struct node *old = at->next;
        if (old != NULL) {
            at->next = node_new(old->next, old->position, value);
            FREE_EXPLICIT(old);
        }
    }
}

int main(int argc, char **argv) {
    bench_start();
    long live_mib = bench_argument(argc, argv, 1, 504);
    long steps = bench_argument(argc, argv, 2, 10000000);
    if (live_mib < 1 || steps < 0) {
        bench_fail("usage: list LIVE_MIB STEPS");
    }
    uint64_t node_count = ((uint64_t)live_mib << 20) / sizeof(struct node);
    struct bench_random random = bench_random_from(17);
    list_build(node_count);
    list_mutate(steps, &random);
    uint64_t answer = 0;
    uint64_t position = 0;
    for (struct node *node = list; node != NULL; node = node->next) {
        if (node->position != position++) {
            bench_fail("the list is out of order");
        }
        answer = bench_mix(answer ^ node->value);
    }
    if (position != node_count) {
        bench_fail("the list lost nodes");
    }
    bench_say(answer, bench_pauses(), "%s", "");
    return 0;
}
