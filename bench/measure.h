// SPDX-License-Identifier: MIT
// measure.h: what every workload needs to measure and to say the result:
// a clock, reproducible random numbers, a histogram of times, the last line.
// go/measure.go and java/Bench.java are the same in other languages.

#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static inline int64_t bench_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// bench_sleep_until_ns waits for a moment of bench_now_ns's clock.
static inline void bench_sleep_until_ns(int64_t moment_ns) {
    struct timespec t = {.tv_sec = moment_ns / 1000000000,
                         .tv_nsec = moment_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0) {
    }
}

static inline int bench_compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

// bench_median sorts the values and returns the one in the middle.
static inline double bench_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, bench_compare_doubles);
    return values[count / 2];
}

// bench_mix turns one number into another that looks random (splitmix64). The
// answers of the workloads are such numbers, folded into each other.
static inline uint64_t bench_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// struct bench_random is a sequence of random numbers (xorshift64*), the same
// on every run.
struct bench_random {
    uint64_t state;
};

static inline struct bench_random bench_random_from(uint64_t seed) {
    return (struct bench_random){bench_mix(seed) | 1};
}

static inline uint64_t bench_random_next(struct bench_random *random) {
    uint64_t x = random->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * 0x2545f4914f6cdd1du;
}

// bench_random_below returns a number from 0 to n - 1, n at most 2^32.
static inline uint64_t bench_random_below(struct bench_random *random,
                                          uint64_t n) {
    return ((bench_random_next(random) >> 32) * n) >> 32;
}

// bench_random_unit returns a number from 0 up to, but never, 1.
static inline double bench_random_unit(struct bench_random *random) {
    return (double)(bench_random_next(random) >> 11) * 0x1p-53;
}

// struct bench_histogram counts times in buckets that are 3 % wide: 32 to each
// power of two. It never allocates.
#define BENCH_BUCKETS (64 * 32)
struct bench_histogram {
    uint64_t counts[BENCH_BUCKETS];
    uint64_t total;
    int64_t max_ns;
};

static inline unsigned bench_bucket(uint64_t ns) {
    if (ns < 32) {
        return (unsigned)ns;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    return (power - 4) * 32 + (unsigned)((ns >> (power - 5)) & 31);
}

static inline double bench_bucket_ns(unsigned bucket) {
    if (bucket < 32) {
        return bucket;
    }
    unsigned power = bucket / 32 + 4;
    return (double)((uint64_t)(32 + bucket % 32) << (power - 5)) +
           (double)(((uint64_t)1 << (power - 5)) >> 1);
}

static inline void bench_histogram_add(struct bench_histogram *h, int64_t ns) {
    h->counts[bench_bucket(ns < 0 ? 0 : (uint64_t)ns)]++;
    h->total++;
    if (ns > h->max_ns) {
        h->max_ns = ns;
    }
}

static inline void bench_histogram_merge(struct bench_histogram *into,
                                         const struct bench_histogram *from) {
    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        into->counts[i] += from->counts[i];
    }
    into->total += from->total;
    if (from->max_ns > into->max_ns) {
        into->max_ns = from->max_ns;
    }
}

static inline double bench_histogram_at(const struct bench_histogram *h,
                                        double share) {
    uint64_t rank = (uint64_t)(share * (double)h->total);
    uint64_t seen = 0;
    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > rank) {
            double ns = bench_bucket_ns(i);
            return ns < (double)h->max_ns ? ns : (double)h->max_ns;
        }
    }
    return (double)h->max_ns;
}

// bench_resident_bytes returns what of this process is in memory now.
static inline uint64_t bench_resident_bytes(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// bench_argument returns the index-th argument as a number, or `otherwise`.
static inline long bench_argument(int argc, char **argv, int index,
                                  long otherwise) {
    return argc > index ? strtol(argv[index], NULL, 10) : otherwise;
}

// struct bench_pauses is how the program stood still until now.
struct bench_pauses {
    double max_ms; // the longest, -1 where nothing ever stops it
    double p99_ms;
    double total_ms;
    uint64_t collection_count;
};

// bench_say prints the last line of a workload: one JSON object. `more` is a
// format for further members, each written as `, "name": value`.
__attribute__((format(printf, 3, 4))) static inline void bench_say(
    uint64_t answer, struct bench_pauses pauses, const char *more, ...) {
    printf("{\"answer\": \"%016llx\"", (unsigned long long)answer);
    if (pauses.max_ms >= 0) {
        printf(", \"pause_max_ms\": %.3f, \"pause_p99_ms\": %.3f"
               ", \"pause_total_ms\": %.1f, \"collections\": %llu",
               pauses.max_ms, pauses.p99_ms, pauses.total_ms,
               (unsigned long long)pauses.collection_count);
    }
    va_list arguments;
    va_start(arguments, more);
    vprintf(more, arguments);
    va_end(arguments);
    printf("}\n");
}

#endif // BENCH_MEASURE_H
