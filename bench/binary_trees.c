// SPDX-License-Identifier: MIT
// binary_trees.c: how quickly are small objects made, walked and dropped?
//
// The benchmark game's program: a stretch tree, one long-lived tree, and very
// many short-lived ones, each built bottom up and counted. A node is two
// pointers. With more than one thread each takes its share of the short-lived
// trees of every depth.
//
//   binary_trees DEPTH THREADS

#include "backend.h"
#include "measure.h"

struct node {
    struct node *left;
    struct node *right;
};
TYPE(struct node, left, right)

enum { DEPTH_MIN = 4, THREADS_MAX = 64, DEPTHS_MAX = 40 };

static struct node *tree_build(int depth) {
    struct node *node = NEW(struct node);
    if (depth > 0) {
        node->left = tree_build(depth - 1);
        node->right = tree_build(depth - 1);
    } else {
        node->left = NULL;
        node->right = NULL;
    }
    return node;
}

static uint64_t tree_count(const struct node *node) {
    if (node->left == NULL) {
        return 1;
    }
    return 1 + tree_count(node->left) + tree_count(node->right);
}

static void tree_drop(struct node *node) {
    if (BENCH_COLLECTS) {
        return;
    }
    if (node->left != NULL) {
        tree_drop(node->left);
        tree_drop(node->right);
    }
    FREE_EXPLICIT(node);
}

static uint64_t tree_visit(int depth) {
    struct node *tree = tree_build(depth);
    uint64_t count = tree_count(tree);
    tree_drop(tree);
    return count;
}

struct share {
    pthread_t thread;
    int depth_max;
    int index;
    int of;
    uint64_t counts[DEPTHS_MAX];
};

static void *share_run(void *argument) {
    struct share *share = argument;
    for (int depth = DEPTH_MIN; depth <= share->depth_max; depth += 2) {
        long trees = 1L << (share->depth_max - depth + DEPTH_MIN);
        for (long i = share->index; i < trees; i += share->of) {
            share->counts[depth] += tree_visit(depth);
        }
    }
    return NULL;
}

static struct share shares[THREADS_MAX];

int main(int argc, char **argv) {
    bench_start();
    int depth_max = (int)bench_argument(argc, argv, 1, 19);
    int threads = (int)bench_argument(argc, argv, 2, 1);
    if (depth_max < DEPTH_MIN || depth_max >= DEPTHS_MAX || threads < 1 ||
        threads > THREADS_MAX) {
        bench_fail("usage: binary_trees DEPTH(4..39) THREADS(1..64)");
    }
    uint64_t stretch = tree_visit(depth_max + 1);
    struct node *long_lived = tree_build(depth_max);

    for (int i = 0; i < threads; i++) {
        shares[i].depth_max = depth_max;
        shares[i].index = i;
        shares[i].of = threads;
    }
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&shares[i].thread, NULL, share_run, &shares[i])) {
            bench_fail("no thread");
        }
    }
    share_run(&shares[0]);
    for (int i = 1; i < threads; i++) {
        pthread_join(shares[i].thread, NULL);
    }

    uint64_t answer = bench_mix(stretch);
    for (int depth = DEPTH_MIN; depth <= depth_max; depth += 2) {
        uint64_t trees = (uint64_t)1 << (depth_max - depth + DEPTH_MIN);
        uint64_t count = 0;
        for (int i = 0; i < threads; i++) {
            count += shares[i].counts[depth];
        }
        if (count != trees * (((uint64_t)2 << depth) - 1)) {
            bench_fail("a tree lost nodes");
        }
        answer = bench_mix(answer ^ count);
    }
    uint64_t kept = tree_count(long_lived);
    if (kept != ((uint64_t)2 << depth_max) - 1) {
        bench_fail("the long-lived tree lost nodes");
    }
    tree_drop(long_lived);
    bench_say(bench_mix(answer ^ kept), bench_pauses(), "%s", "");
    return 0;
}
