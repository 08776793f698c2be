// SPDX-License-Identifier: MIT
// pool.c: what does it cost to use an object again, where nobody is in the way?
//
//   pool bounded        lend and give back, one of 8 objects, one thread
//   pool cache THREADS  take out and put back, each thread its own
//   pool burst THREADS  the same, 16 objects at a time
//
// Each prints "value", nanoseconds for both together. Objects are 1 KiB, and
// each is looked at while it is out: nobody else may have it.

#include "backend.h"
#include "measure.h"

#include <pthread.h>
#include <string.h>

enum {
    BUFFER_BYTES = 1024,
    BURST = 16,
    ROUNDS = 90, // short ones, so that some have the processor to themselves
    ROUND_COUNT = 200000,
    THREADS_MAX = 64,
};

struct buffer {
    uint64_t is_out;
    char bytes[BUFFER_BYTES - 8];
};
LOAM_TYPE_LEAF(struct buffer)

static struct loam_pool *pool;
static struct loam_cache *cache;
static int thread_count = 1;

static void begin(struct buffer *buffer) {
    if (buffer == NULL || buffer->is_out) {
        bench_fail("an object is out twice, or there is none");
    }
    buffer->is_out = 1;
}

static void end(struct buffer *buffer) {
    buffer->is_out = 0;
}

static void run_bounded(void) {
    for (int i = 0; i < ROUND_COUNT; i++) {
        struct buffer *buffer = loam_pool_acquire(pool);
        begin(buffer);
        end(buffer);
        loam_pool_release(pool, buffer);
    }
}

static void run_cache(void) {
    for (int i = 0; i < ROUND_COUNT; i++) {
        struct buffer *buffer = loam_cache_get(cache);
        begin(buffer);
        end(buffer);
        loam_cache_put(cache, buffer);
    }
}

static void run_burst(void) {
    struct buffer *buffers[BURST];
    for (int i = 0; i < ROUND_COUNT / BURST; i++) {
        for (int j = 0; j < BURST; j++) {
            buffers[j] = loam_cache_get(cache);
            begin(buffers[j]);
        }
        for (int j = 0; j < BURST; j++) {
            end(buffers[j]);
            loam_cache_put(cache, buffers[j]);
        }
    }
}

// A thread's fastest round.
static void *measure(void *run) {
    double *best = malloc(sizeof *best);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t began = bench_now_ns();
        ((void (*)(void))run)();
        double ns = (double)(bench_now_ns() - began) / ROUND_COUNT;
        *best = round == 0 || ns < *best ? ns : *best;
    }
    return best;
}

// The slowest thread's.
static double measure_all(void (*run)(void)) {
    pthread_t threads[THREADS_MAX];
    double worst = 0;
    for (int i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], NULL, measure, (void *)run) != 0) {
            bench_fail("no thread");
        }
    }
    for (int i = 0; i < thread_count; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        worst = *(double *)result > worst ? *(double *)result : worst;
        free(result);
    }
    return worst;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    void (*run)(void) = strcmp(what, "bounded") == 0 ? run_bounded
                        : strcmp(what, "cache") == 0 ? run_cache
                        : strcmp(what, "burst") == 0 ? run_burst
                                                     : NULL;
    thread_count = (int)bench_argument(argc, argv, 2, 1);
    if (run == NULL || thread_count < 1 || thread_count > THREADS_MAX) {
        bench_fail("usage: pool bounded | cache THREADS | burst THREADS");
    }
    bench_start();
    const struct loam_type *type = loam_type_get(struct buffer);
    cache = loam_cache_new(&(struct loam_cache_options){.type = type});
    pool = loam_pool_new(
        &(struct loam_pool_options){.max_count = 8, .type = type});
    if (cache == NULL || pool == NULL) {
        bench_fail(loam_last_error());
    }
    double value = measure_all(run);
    bench_say((uint64_t)thread_count, bench_pauses(), ", \"value\": %.3f",
              value);
    return 0;
}
