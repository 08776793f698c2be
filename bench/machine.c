// SPDX-License-Identifier: MIT
// machine.c: how long does this machine itself keep a program waiting?
//
// No heap. A thread on each processor does nothing but look at the clock; what it
// misses somebody else had the processor for: another program, the system, or the
// host of a virtual machine. No pause can be expected to be shorter than that, in
// any runtime. And the first touch of fresh memory, during which a thread does not
// stop for a collection either.
//
//   machine held SECONDS    the longest that a thread was held up: ms
//   machine often SECONDS   held up for more than a millisecond: times a second
//   machine huge            first touch of a page of 2 MiB: us
//   machine huge-worst      the slowest of them: us
//   machine small           first touch of 2 MiB in pages of 4 KiB: us

#include "measure.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

enum { THREADS_MAX = 256, LONG_NS = 1000000 };

#define HUGE_BYTES ((size_t)2 << 20)
#define HUGE_COUNT 128
#define PAGE_BYTES ((size_t)4096)

static int64_t until_ns;

struct watch {
    pthread_t thread;
    int processor;
    int64_t longest_ns;
    long count; // of those that were longer than LONG_NS
};

_Noreturn static void machine_fail(const char *what) {
    fprintf(stderr, "machine: %s\n", what);
    exit(1);
}

_Noreturn static void say(double value) {
    bench_say(bench_mix(1), (struct bench_pauses){.max_ms = -1},
              ", \"value\": %.3f", value);
    exit(0);
}

static void *watch_run(void *argument) {
    struct watch *w = argument;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(w->processor, &set);
    sched_setaffinity(0, sizeof set, &set);
    int64_t last = bench_now_ns();
    while (last < until_ns) {
        int64_t now = bench_now_ns();
        int64_t gap = now - last;
        w->longest_ns = gap > w->longest_ns ? gap : w->longest_ns;
        w->count += gap > LONG_NS;
        last = now;
    }
    return NULL;
}

static void measure_held(long seconds, int is_often) {
    static struct watch watch[THREADS_MAX];
    int count = 0;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        machine_fail("sched_getaffinity");
    }
    until_ns = bench_now_ns() + (int64_t)seconds * 1000000000;
    for (int i = 0; i < CPU_SETSIZE && count < THREADS_MAX; i++) {
        if (CPU_ISSET(i, &set)) {
            struct watch *w = &watch[count++];
            w->processor = i;
            if (pthread_create(&w->thread, NULL, watch_run, w) != 0) {
                machine_fail("pthread_create");
            }
        }
    }
    int64_t longest = 0;
    long often = 0;
    for (int i = 0; i < count; i++) {
        pthread_join(watch[i].thread, NULL);
        longest = longest > watch[i].longest_ns ? longest : watch[i].longest_ns;
        often += watch[i].count;
    }
    say(is_often ? (double)often / (double)seconds : (double)longest / 1e6);
}

static void measure_touch(int is_huge, int is_worst) {
    static double us[HUGE_COUNT];
    size_t bytes = (HUGE_COUNT + 1) * HUGE_BYTES;
    unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        machine_fail("mmap");
    }
    p += HUGE_BYTES - (uintptr_t)p % HUGE_BYTES;
    madvise(p, HUGE_COUNT * HUGE_BYTES,
            is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (int i = 0; i < HUGE_COUNT; i++) {
        int64_t begin = bench_now_ns();
        for (size_t at = 0; at < HUGE_BYTES; at += PAGE_BYTES) {
            ((volatile unsigned char *)p)[(size_t)i * HUGE_BYTES + at] = 1;
        }
        us[i] = (double)(bench_now_ns() - begin) / 1e3;
    }
    double median = bench_median(us, HUGE_COUNT);
    say(is_worst ? us[HUGE_COUNT - 1] : median);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long seconds = bench_argument(argc, argv, 2, 10);
    if (seconds < 1) {
        machine_fail(
            "usage: machine held|often|huge|huge-worst|small [SECONDS]");
    }
    if (strcmp(what, "held") == 0 || strcmp(what, "often") == 0) {
        measure_held(seconds, what[0] == 'o');
    }
    if (strcmp(what, "huge") == 0 || strcmp(what, "huge-worst") == 0) {
        measure_touch(1, strcmp(what, "huge") != 0);
    }
    if (strcmp(what, "small") == 0) {
        measure_touch(0, 0);
    }
    machine_fail("no such row: machine.c lists them");
}
