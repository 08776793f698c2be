// SPDX-License-Identifier: MIT
// dirty.c: how does the longest pause depend on how fast a large old heap is
// being written to?
//
// Beside a live heap the program allocates objects that die at once, 200 MiB a
// second of them, so that collections begin by themselves. Meanwhile it stores
// pointers into old objects, each in a random page, at a given rate: one half
// to new objects, one half to other old ones. Work comes in portions of a
// millisecond, at its time; the program sleeps in between.
//
//   dirty LIVE_MIB PAGES_PER_SECOND SECONDS

#include "aged.h"

enum { TICKS_PER_SECOND = 1000, GARBAGE_PER_TICK = (200 << 20) / 64 / 1000 };

static struct aged_node *garbage;

static void garbage_make(uint64_t tick) {
    for (uint64_t i = 0; i < GARBAGE_PER_TICK; i++) {
        struct aged_node *node = aged_node_new(NULL, tick);
        FREE_EXPLICIT(garbage);
        garbage = node;
    }
}

static void page_dirty(struct bench_random *random) {
    struct aged_station *stations = aged_stations;
    uint64_t at = bench_random_below(random, aged_station_count);
    struct aged_node *old = stations[at].head;
    // Only new ones have numbers this large, and only `other` refers to them.
    uint64_t fresh = aged_station_count * AGED_CHAIN;
    if (old->other != NULL && old->other->number >= fresh) {
        FREE_EXPLICIT(old->other);
    }
    uint64_t r = bench_random_next(random);
    if (r >> 63 == 0) {
        old->other = aged_node_new(NULL, fresh + (r & 0xffff));
    } else {
        old->other = stations[r % aged_station_count].head;
    }
}

int main(int argc, char **argv) {
    bench_start();
    long live_mib = bench_argument(argc, argv, 1, 1024);
    long rate = bench_argument(argc, argv, 2, 50000);
    long seconds = bench_argument(argc, argv, 3, 8);
    if (live_mib < 1 || rate < 0 || seconds < 1) {
        bench_fail("usage: dirty LIVE_MIB PAGES_PER_SECOND SECONDS");
    }
    aged_build(live_mib);
    struct bench_pauses before = bench_pauses();
    double longest_ms = 0; // of those that building the heap did not have
    struct bench_random random = bench_random_from(23);
    int64_t begin = bench_now_ns();
    long done = 0;
    for (long tick = 0; tick < seconds * TICKS_PER_SECOND; tick++) {
        garbage_make((uint64_t)tick);
        for (; done < (tick + 1) * rate / TICKS_PER_SECOND; done++) {
            page_dirty(&random);
        }
        bench_sleep_until_ns(begin +
                             (tick + 1) * (1000000000 / TICKS_PER_SECOND));
        if (bench_pause_last_ms() > longest_ms &&
            bench_pauses().collection_count > before.collection_count) {
            longest_ms = bench_pause_last_ms();
        }
    }
    double took_s = (double)(bench_now_ns() - begin) / 1e9;
    struct bench_pauses pauses = bench_pauses();
    if (pauses.max_ms > before.max_ms) {
        longest_ms = pauses.max_ms; // also where several came in one tick
    }
    bench_say(aged_check(), pauses,
              ", \"value\": %.3f, \"pages_per_s\": %.0f"
              ", \"collections_meanwhile\": %llu",
              longest_ms, (double)done / took_s,
              (unsigned long long)(pauses.collection_count -
                                   before.collection_count));
    return 0;
}
