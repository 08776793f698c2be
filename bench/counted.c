// SPDX-License-Identifier: MIT
// counted.c: what does a counted object cost? See counted.h for the rows.

#include "counted.h"

#include <loam.h>

struct node {
    struct node *next;
    long number;
};
LOAM_TYPE(struct node, next)

static uint64_t died;

static void node_end(void *object) {
    died += ((struct node *)object)->number == 42;
}
LOAM_COUNTED_OWNS(struct node, node_end, next)

static struct node *common;

static void pair_begin(void) {
    common = loam_counted_new(struct node);
}

static void pair_count(long count) {
    struct node *node = common;
    for (long i = 0; i < count; i++) {
        struct node *mine = loam_retain(node);
        __asm__ volatile("" : : "r"(mine) : "memory");
        loam_release(mine);
    }
}

static uint64_t chain_drop(double *ns) {
    struct node *head = NULL;
    died = 0;
    for (long i = 0; i < COUNTED_CHAIN; i++) {
        struct node *node = loam_counted_new(struct node);
        node->number = 42;
        node->next = head;
        head = node;
    }
    int64_t begin = bench_now_ns();
    loam_release(head);
    *ns = (double)(bench_now_ns() - begin);
    return died;
}

int main(int argc, char **argv) {
    return counted_main(argc, argv);
}
