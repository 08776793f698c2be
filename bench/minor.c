// SPDX-License-Identifier: MIT
// minor.c: what does a minor collection cost beside a large old heap, by how
// much of that has been written to since the one before?
//
// The value is the median of the whole minor collection in milliseconds. A
// minor collection that is free of the old heap's size shows the same value
// for clean heaps of any size.
//
//   minor OLD_MIB DIRTY_PERMILLE ROUNDS

#include "aged.h"

enum { YOUNG_COUNT = (1 << 20) / 64, ROUNDS_MAX = 1000 };

static struct aged_node *young;

// Half of what is new dies, the other half hangs on `young` for a round.
static void young_make(void) {
    young = NULL;
    for (uint64_t i = 0; i < YOUNG_COUNT; i++) {
        struct aged_node *node = aged_node_new(young, i);
        if (i % 2 == 0) {
            young = node;
        }
    }
}

static void pages_dirty(long permille) {
    for (uint64_t i = 0; i < aged_station_count; i++) {
        if ((long)(bench_mix(i) % 1000) < permille) {
            aged_stations[i].head->other = aged_stations[0].head;
        }
    }
}

int main(int argc, char **argv) {
    static double ms[ROUNDS_MAX];
    bench_start();
    long old_mib = bench_argument(argc, argv, 1, 512);
    long permille = bench_argument(argc, argv, 2, 0);
    long rounds = bench_argument(argc, argv, 3, 21);
    if (old_mib < 1 || permille < 0 || permille > 1000 || rounds < 1 ||
        rounds > ROUNDS_MAX) {
        bench_fail("usage: minor OLD_MIB DIRTY_PERMILLE ROUNDS(1..1000)");
    }
    aged_build(old_mib);
    bench_collect_minor(); // generations begin with a collection of all
    bench_collect();
    if (bench_collect_minor() != 0) {
        printf("{\"answer\": \"skip\", \"skip\": \"no minor collections\"}\n");
        return 0;
    }
    for (long i = 0; i < rounds; i++) {
        young_make();
        pages_dirty(permille);
        int64_t begin = bench_now_ns();
        if (bench_collect_minor() != 0) {
            bench_fail("a minor collection was refused");
        }
        ms[i] = (double)(bench_now_ns() - begin) / 1e6;
    }
    qsort(ms, (size_t)rounds, sizeof *ms, bench_compare_doubles);
    bench_say(aged_check(), bench_pauses(),
              ", \"value\": %.4f, \"minor_max_ms\": %.4f", ms[rounds / 2],
              ms[rounds - 1]);
    return 0;
}
