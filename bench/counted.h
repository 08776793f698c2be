// SPDX-License-Identifier: MIT
// counted.h: what the programs that count references have in common: which row
// is asked for, the clock around it, and the last line.
//
//   counted pair      retain and release an object that others refer to, too, in
//                     a program that has had two threads
//   counted everyone  the same where two threads count the object at once
//   counted chain     the last release of a chain of a million
//
// Each includes it and says how by three functions.

#ifndef BENCH_COUNTED_H
#define BENCH_COUNTED_H

#include "measure.h"

#include <pthread.h>
#include <string.h>

enum {
    COUNTED_PAIRS = 20000000,
    COUNTED_CHAIN = 1000000,
    COUNTED_ROUNDS = 7,
};

static void pair_begin(void);           // makes the object
static void pair_count(long count);     // retains and releases it so often
static uint64_t chain_drop(double *ns); // builds, times the last release,
                                        // and returns how many died

static void *counted_thread(void *argument) {
    pair_count(*(long *)argument);
    return argument;
}

static int counted_compare(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static pthread_t counted_start(long *pairs) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, counted_thread, pairs) != 0) {
        fprintf(stderr, "bench: no thread\n");
        exit(1);
    }
    return thread;
}

// From its first thread on a program counts for several: libstdc++ asks.
static double counted_pair(long pairs_beside) {
    int64_t begin = bench_now_ns();
    pthread_t thread = counted_start(&pairs_beside);
    pair_count(COUNTED_PAIRS);
    pthread_join(thread, NULL);
    return (double)(bench_now_ns() - begin) / COUNTED_PAIRS;
}

static double counted_chain(void) {
    long none = 0;
    double ns = 0;
    pthread_join(counted_start(&none), NULL);
    if (chain_drop(&ns) != COUNTED_CHAIN) {
        fprintf(stderr, "bench: a chain did not die\n");
        exit(1);
    }
    return ns / COUNTED_CHAIN;
}

static int counted_main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    double ns[COUNTED_ROUNDS];
    struct bench_pauses pauses = {-1, -1, -1, 0};
    if (strcmp(what, "pair") != 0 && strcmp(what, "everyone") != 0 &&
        strcmp(what, "chain") != 0) {
        fprintf(stderr, "bench: no such row: counted.h lists them\n");
        return 1;
    }
    pair_begin();
    for (int i = 0; i < COUNTED_ROUNDS; i++) {
        ns[i] =
            strcmp(what, "chain") == 0
                ? counted_chain()
                : counted_pair(strcmp(what, "pair") == 0 ? 0 : COUNTED_PAIRS);
    }
    qsort(ns, COUNTED_ROUNDS, sizeof *ns, counted_compare);
    bench_say(bench_mix(COUNTED_CHAIN), pauses, ", \"value\": %.3f",
              ns[COUNTED_ROUNDS / 2]);
    return 0;
}

#endif // BENCH_COUNTED_H
