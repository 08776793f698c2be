// SPDX-License-Identifier: MIT
// micro.c: what does one operation of the heap cost, with nothing around it?
//
// One question a run, so that no row inherits another's heap:
//
//   micro fresh          allocate 32 bytes in memory never used before
//   micro empty          the same where everything has died
//   micro fragmented     the same where a random half has died
//   micro mark-ordered   full collection of a tree laid out as it is walked
//   micro mark-shuffled  the same, laid out at random
//   micro full           full collection of 1 GiB built depth first
//   micro interior       from an address inside an object to its start
//   micro batch          make 1,000 objects of 32 bytes and let them go
//   micro scope          the same in a scope, where there are scopes
//   micro stop THREADS   a collection of next to nothing, threads blocked
//
// Each prints "value" in the unit that its name in the last line says.

#include "backend.h"
#include "measure.h"

#include <string.h>

struct cell {
    struct cell *left;
    struct cell *right;
    uint64_t number;
    uint64_t unused;
};
TYPE(struct cell, left, right)

struct place {
    struct cell *cell;
};
TYPE(struct place, cell)

enum {
    ALLOCATE_COUNT = 4000000, // 122 MiB
    MARK_COUNT = 4000000,
    ROUNDS = 5,
};

static struct cell *kept; // static data, where collectors look
static struct place *places;

static void say(uint64_t answer, double value, const char *more_name,
                double more) {
    bench_say(answer, bench_pauses(), ", \"value\": %.3f, \"%s\": %.3f", value,
              more_name, more);
}

static struct cell *chain_build(long count) {
    struct cell *head = NULL;
    for (long i = 0; i < count; i++) {
        struct cell *cell = NEW(struct cell);
        cell->left = head;
        cell->number = (uint64_t)i;
        head = cell;
    }
    return head;
}

// The numbers of the chain's cells, added up: n(n-1)/2 for n of them.
static uint64_t chain_sum(const struct cell *cell) {
    uint64_t sum = 0;
    for (; cell != NULL; cell = cell->left) {
        sum += cell->number;
    }
    return sum;
}

static void chain_expect(const struct cell *cell, long count) {
    if (chain_sum(cell) != (uint64_t)count * (uint64_t)(count - 1) / 2) {
        bench_fail("a chain lost cells");
    }
}

__attribute__((noinline)) static double time_chain(long count) {
    int64_t begin = bench_now_ns();
    kept = chain_build(count);
    double ns = (double)(bench_now_ns() - begin) / (double)count;
    chain_expect(kept, count);
    return ns;
}

// Overwrites dead stack, where a stale pointer could keep what has died.
__attribute__((noinline)) static void stack_clear(void) {
    char area[16384];
    memset(area, 0, sizeof area);
    __asm__ volatile("" : : "r"(area) : "memory");
}

static void micro_fresh(void) {
    // No collection may fall into a row that asks what an allocation costs.
    bench_collect_never();
    double ns = time_chain(ALLOCATE_COUNT);
    say(bench_mix(chain_sum(kept)), ns, "bytes", sizeof(struct cell));
}

static void micro_empty(void) {
    double ns[ROUNDS];
    uint64_t sum = 0;
    bench_collect_never();
    for (int i = 0; i <= ROUNDS; i++) {
        double t = time_chain(ALLOCATE_COUNT);
        if (i > 0) {
            ns[i - 1] = t; // the first round finds fresh memory
        }
        sum = chain_sum(kept);
        struct cell *next;
        for (struct cell *c = kept; !BENCH_COLLECTS && c != NULL; c = next) {
            next = c->left;
            FREE_EXPLICIT(c);
        }
        kept = NULL;
        stack_clear();
        bench_collect();
    }
    say(bench_mix(sum), bench_median(ns, ROUNDS), "bytes", sizeof(struct cell));
}

// A random half of the chain dies; the others go to places[0].
__attribute__((noinline)) static long half_drop(void) {
    struct cell *survivors = NULL;
    long dead = 0;
    struct bench_random random = bench_random_from(3);
    struct cell *next;
    for (struct cell *c = kept; c != NULL; c = next) {
        next = c->left;
        if (bench_random_below(&random, 2) == 0) {
            FREE_EXPLICIT(c);
            dead++;
        } else {
            c->left = survivors;
            survivors = c;
        }
    }
    places = NEW_ARRAY(struct place, 1);
    places[0].cell = survivors;
    kept = NULL;
    return dead;
}

static void micro_fragmented(void) {
    bench_collect_never();
    kept = chain_build(ALLOCATE_COUNT);
    long dead = half_drop();
    uint64_t survivors = chain_sum(places[0].cell);
    stack_clear();
    bench_collect();
    double ns = time_chain(dead / 10 * 9);
    if (chain_sum(places[0].cell) != survivors) {
        bench_fail("survivors were lost");
    }
    say(bench_mix(survivors ^ (uint64_t)dead), ns, "bytes",
        sizeof(struct cell));
}

static double time_collections(long objects) {
    double ns[ROUNDS];
    bench_collect();
    for (int i = 0; i < ROUNDS; i++) {
        int64_t begin = bench_now_ns();
        bench_collect();
        ns[i] = (double)(bench_now_ns() - begin) / (double)objects;
    }
    return bench_median(ns, ROUNDS);
}

// Cell i of a complete tree has cells 2i+1 and 2i+2 below it. Where the layout
// is random, number and address have nothing to do with each other.
static void micro_mark(int is_shuffled) {
    // Of libc's malloc, so that no collector takes it for roots.
    uint32_t *order = bench_checked(malloc(MARK_COUNT * sizeof *order));
    for (uint32_t i = 0; i < MARK_COUNT; i++) {
        order[i] = i;
    }
    struct bench_random random = bench_random_from(5);
    for (uint32_t i = MARK_COUNT - 1; is_shuffled && i > 0; i--) {
        uint32_t j = (uint32_t)bench_random_below(&random, (uint64_t)i + 1);
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    bench_collect_never();
    places = NEW_ARRAY(struct place, MARK_COUNT);
    for (uint32_t i = 0; i < MARK_COUNT; i++) {
        struct cell *cell = NEW(struct cell);
        cell->number = order[i];
        places[order[i]].cell = cell;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < MARK_COUNT; i++) {
        struct cell *cell = places[i].cell;
        sum = bench_mix(sum ^ cell->number);
        cell->left = 2 * i + 1 < MARK_COUNT ? places[2 * i + 1].cell : NULL;
        cell->right = 2 * i + 2 < MARK_COUNT ? places[2 * i + 2].cell : NULL;
    }
    kept = places[0].cell;
    FREE_EXPLICIT(places);
    places = NULL;
    free(order);
    stack_clear();
    double ns = time_collections(MARK_COUNT);
    say(sum, ns, "objects", MARK_COUNT);
}

static struct cell *tree_build(int depth) {
    struct cell *cell = NEW(struct cell);
    cell->left = depth > 0 ? tree_build(depth - 1) : NULL;
    cell->right = depth > 0 ? tree_build(depth - 1) : NULL;
    return cell;
}

static uint64_t tree_count(const struct cell *cell) {
    return cell == NULL ? 0
                        : 1 + tree_count(cell->left) + tree_count(cell->right);
}

// 2^25 cells of 32 bytes are 1 GiB. The value is a whole collection in ms.
static void micro_full(void) {
    bench_collect_never();
    kept = tree_build(24);
    stack_clear();
    double ms = time_collections(1) / 1e6;
    uint64_t count = tree_count(kept);
    if (count != ((uint64_t)1 << 25) - 1) {
        bench_fail("the tree lost cells");
    }
    say(bench_mix(count), ms, "objects", (double)count);
}

// Sizes of 16 bytes to 32 KiB; the addresses are drawn before the clock runs,
// so that only the look-ups are timed.
static void micro_interior(void) {
    enum { OBJECTS = 20000, LOOKUPS = 4000000 };
    unsigned char **objects = ALLOC(OBJECTS * sizeof *objects);
    unsigned char **inside = ALLOC(LOOKUPS * sizeof *inside);
    uint32_t *of = ALLOC_LEAF(LOOKUPS * sizeof *of);
    uint32_t sizes[OBJECTS];
    struct bench_random random = bench_random_from(9);
    for (int i = 0; i < OBJECTS; i++) {
        uint64_t base = (uint64_t)16 << bench_random_below(&random, 11);
        sizes[i] = (uint32_t)(base + bench_random_below(&random, base));
        objects[i] = ALLOC_LEAF(sizes[i]);
    }
    for (int i = 0; i < LOOKUPS; i++) {
        of[i] = (uint32_t)bench_random_below(&random, OBJECTS);
        inside[i] = objects[of[i]] + bench_random_below(&random, sizes[of[i]]);
    }
    double ns[ROUNDS];
    uint64_t found = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin = bench_now_ns();
        for (int i = 0; i < LOOKUPS; i++) {
            found += bench_base_of(inside[i]) == objects[of[i]];
        }
        ns[round] = (double)(bench_now_ns() - begin) / LOOKUPS;
    }
    if (found != (uint64_t)ROUNDS * LOOKUPS) {
        bench_fail("a look-up was wrong");
    }
    say(bench_mix(found), bench_median(ns, ROUNDS), "objects", OBJECTS);
}

// What a request makes, uses, and has no use for afterwards.
enum { BATCH = 1000, BATCHES = 10000 };

static uint64_t batch_sum(const struct cell *cell) {
    uint64_t sum = 0;
    for (; cell != NULL; cell = cell->left) {
        sum += cell->number;
    }
    return sum;
}

static struct cell *batch_add(struct cell *made, struct cell *list, int i) {
    made->left = list;
    made->right = NULL;
    made->number = (uint64_t)i;
    return made;
}

__attribute__((noinline)) static uint64_t batch_run(void) {
    struct cell *list = NULL;
    for (int i = 0; i < BATCH; i++) {
        list = batch_add(NEW(struct cell), list, i);
    }
    uint64_t sum = batch_sum(list);
    struct cell *next;
    for (; !BENCH_COLLECTS && list != NULL; list = next) {
        next = list->left;
        FREE_EXPLICIT(list);
    }
    return sum;
}

#ifdef LOAM_SCOPE_H
__attribute__((noinline)) static uint64_t scope_run(void) {
    struct loam_scope *scope = bench_checked(loam_scope_begin());
    struct cell *list = NULL;
    for (int i = 0; i < BATCH; i++) {
        list = batch_add(bench_checked(loam_scope_new(scope, struct cell)),
                         list, i);
    }
    uint64_t sum = batch_sum(list);
    loam_scope_end(scope);
    return sum;
}
#else
#define scope_run batch_run
#endif

static void micro_batch(uint64_t (*run)(void)) {
    double ns[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sum = 0;
        int64_t begin = bench_now_ns();
        for (int i = 0; i < BATCHES; i++) {
            sum += run();
        }
        ns[round] =
            (double)(bench_now_ns() - begin) / ((double)BATCH * BATCHES);
        if (sum != (uint64_t)BATCHES * BATCH * (BATCH - 1) / 2) {
            bench_fail("a batch lost cells");
        }
    }
    say(bench_mix(BATCHES), bench_median(ns, ROUNDS), "bytes",
        sizeof(struct cell));
}

// Threads that wait for a lock, as most threads of a server wait for something.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all_here;

static void *wait_at_gate(void *argument) {
    pthread_barrier_wait(&all_here);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return argument;
}

// The value is the median time of a whole collection, in microseconds: with so
// little to mark, stopping and starting the threads is most of it.
static void micro_stop(int threads) {
    enum { THREADS_MAX = 1024, COLLECTIONS = 201 };
    static pthread_t ids[THREADS_MAX];
    static double us[COLLECTIONS];
    if (threads < 1 || threads > THREADS_MAX) {
        bench_fail("usage: micro stop THREADS(1..1024)");
    }
    pthread_barrier_init(&all_here, NULL, (unsigned)threads + 1);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, wait_at_gate, NULL) != 0) {
            bench_fail("no thread");
        }
    }
    pthread_barrier_wait(&all_here);
    for (int i = 0; i < COLLECTIONS; i++) {
        int64_t begin = bench_now_ns();
        bench_collect();
        us[i] = (double)(bench_now_ns() - begin) / 1e3;
    }
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    say(bench_mix((uint64_t)threads), bench_median(us, COLLECTIONS),
        "stop_max_us", bench_stop_max_us());
}

int main(int argc, char **argv) {
    bench_start();
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "fresh") == 0) {
        micro_fresh();
    } else if (strcmp(what, "empty") == 0) {
        micro_empty();
    } else if (strcmp(what, "fragmented") == 0) {
        micro_fragmented();
    } else if (strcmp(what, "mark-ordered") == 0) {
        micro_mark(0);
    } else if (strcmp(what, "mark-shuffled") == 0) {
        micro_mark(1);
    } else if (strcmp(what, "full") == 0) {
        micro_full();
    } else if (strcmp(what, "interior") == 0) {
        micro_interior();
    } else if (strcmp(what, "batch") == 0) {
        micro_batch(batch_run);
    } else if (strcmp(what, "scope") == 0) {
        micro_batch(scope_run);
    } else if (strcmp(what, "stop") == 0) {
        micro_stop((int)bench_argument(argc, argv, 2, 2));
    } else {
        bench_fail("no such row: micro.c lists them");
    }
    return 0;
}
