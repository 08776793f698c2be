// SPDX-License-Identifier: MIT
// gcbench.c: what does a long-lived structure cost a program whose other
// objects die young?
//
// Ellis, Kovac and Boehm's GCBench: a tree and an array of doubles live to the
// end, while trees of several depths are built top down and bottom up and
// dropped. Depths are two larger than in the original of 1997, so that the
// run takes seconds again.
//
//   gcbench

#include "backend.h"
#include "measure.h"

enum {
    STRETCH_DEPTH = 20,
    LONG_LIVED_DEPTH = 18,
    ARRAY_COUNT = 2000000,
    DEPTH_MIN = 4,
    DEPTH_MAX = 18,
};

struct node {
    struct node *left;
    struct node *right;
    int i;
    int j;
};
TYPE(struct node, left, right)

static struct node *node_new(struct node *left, struct node *right) {
    struct node *node = NEW(struct node);
    node->left = left;
    node->right = right;
    node->i = 0;
    node->j = 0;
    return node;
}

// Parents first, as a program that descends makes them.
static void tree_populate(int depth, struct node *node) {
    if (depth <= 0) {
        return;
    }
    node->left = node_new(NULL, NULL);
    node->right = node_new(NULL, NULL);
    tree_populate(depth - 1, node->left);
    tree_populate(depth - 1, node->right);
}

// Children first, as a program that returns them makes them.
static struct node *tree_build(int depth) {
    if (depth <= 0) {
        return node_new(NULL, NULL);
    }
    struct node *left = tree_build(depth - 1);
    struct node *right = tree_build(depth - 1);
    return node_new(left, right);
}

static uint64_t tree_count(const struct node *node) {
    return node == NULL ? 0
                        : 1 + tree_count(node->left) + tree_count(node->right);
}

static uint64_t tree_size(int depth) {
    return ((uint64_t)2 << depth) - 1;
}

static void tree_drop(struct node *node) {
    if (BENCH_COLLECTS || node == NULL) {
        return;
    }
    tree_drop(node->left);
    tree_drop(node->right);
    FREE_EXPLICIT(node);
}

static void tree_expect(const struct node *node, int depth) {
    if (tree_count(node) != tree_size(depth)) {
        bench_fail("a tree lost nodes");
    }
}

// Only the last tree of each depth is counted: the original looks at none.
static uint64_t trees_of_depth(int depth) {
    uint64_t trees = 2 * tree_size(STRETCH_DEPTH) / tree_size(depth);
    for (uint64_t i = 1; i <= trees; i++) {
        struct node *tree = node_new(NULL, NULL);
        tree_populate(depth, tree);
        if (i == trees) {
            tree_expect(tree, depth);
        }
        tree_drop(tree);
    }
    for (uint64_t i = 1; i <= trees; i++) {
        struct node *tree = tree_build(depth);
        if (i == trees) {
            tree_expect(tree, depth);
        }
        tree_drop(tree);
    }
    return trees;
}

int main(void) {
    bench_start();
    struct node *stretch = tree_build(STRETCH_DEPTH);
    tree_expect(stretch, STRETCH_DEPTH);
    tree_drop(stretch);
    stretch = NULL;

    struct node *long_lived = node_new(NULL, NULL);
    tree_populate(LONG_LIVED_DEPTH, long_lived);
    double *array = ALLOC_LEAF(ARRAY_COUNT * sizeof *array);
    for (int i = 0; i < ARRAY_COUNT; i++) {
        array[i] = i < ARRAY_COUNT / 2 ? 1.0 / (i + 1) : 0.0;
    }

    uint64_t answer = 0;
    for (int depth = DEPTH_MIN; depth <= DEPTH_MAX; depth += 2) {
        answer = bench_mix(answer ^ trees_of_depth(depth));
    }

    tree_expect(long_lived, LONG_LIVED_DEPTH);
    for (int i = 0; i < ARRAY_COUNT / 2; i++) {
        if (array[i] != 1.0 / (i + 1)) {
            bench_fail("the array changed");
        }
    }
    answer = bench_mix(answer ^ tree_count(long_lived));
    tree_drop(long_lived);
    FREE_EXPLICIT(array);
    bench_say(answer, bench_pauses(), "%s", "");
    return 0;
}
