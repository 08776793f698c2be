// SPDX-License-Identifier: MIT
// stores_test.c: the only pointer to a young object, stored in an old place.
//
// A row is a place that has seen collections: an object of some size, static
// data, a stack. Into it go pointers to new objects, by every kind of store,
// while collections of every kind run; what each word should lead to is written
// down outside the heap. An object that is not what was written down was lost,
// and a store with it.

#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"
#include "support/ways.h"

#define PAGE_WORDS (4096 / sizeof(void *))
#define ROWS_LIMIT 512
#define SPOTS 8
#define HEAD_WORDS 600
#define OUTSIDE_WORDS 64 // of a row that is no object
#define THREADS 3

struct quad {
    void *words[4];
};
LOAM_TYPE(struct quad, words)

// A fixed part of more than a page, and a tail.
struct tailed {
    void *head[HEAD_WORDS];
    void *tail[];
};
LOAM_TYPE(struct tailed, head, LOAM_FLEX(tail))

struct row {
    void **words;
    size_t count;
    const char *what;
    size_t spot[SPOTS]; // indices of words that are used
    size_t spot_count;
    uint64_t tag[SPOTS]; // of the body there, 0: none
};

// A coroutine that rests, for the array in its frame.
struct rest {
    ucontext_t here;
    ucontext_t caller;
    void *base;
    struct loam_stack *stack;
    void **words;
};

#define REST_BYTES ((size_t)64 << 10)

// All that one thread stores into.
struct field {
    struct ways ways;
    struct chance chance;
    struct row rows[ROWS_LIMIT];
    size_t row_count;
    void **anchors; // a root in malloc's memory, to the rows that are objects
    void **root;    // a row that is one
    struct rest rest;
    uint64_t last_tag;
    const char *way; // the last
};

static void *static_words[THREADS][OUTSIDE_WORDS];
static _Thread_local void *tls_words[OUTSIDE_WORDS];

// ---- Rows ------------------------------------------------------------------------

static void row_use(struct row *row, size_t word) {
    for (size_t i = 0; i < row->spot_count; i++) {
        if (row->spot[i] == word) {
            return;
        }
    }
    if (word < row->count && row->spot_count < SPOTS) {
        row->spot[row->spot_count++] = word;
    }
}

// The first and the last word, those around the edges of pages, any others.
static void row_choose_spots(struct row *row, struct chance *chance) {
    size_t to_page =
        ((uintptr_t)row->words % 4096 == 0)
            ? PAGE_WORDS
            : (4096 - (uintptr_t)row->words % 4096) / sizeof(void *);
    size_t pages = row->count / PAGE_WORDS;
    size_t edge = to_page + PAGE_WORDS * chance_below(chance, pages + 1);
    row_use(row, 0);
    row_use(row, row->count - 1);
    row_use(row, to_page);
    row_use(row, to_page - 1);
    row_use(row, edge);
    row_use(row, edge - 1);
    while (row->spot_count < SPOTS && row->spot_count < row->count) {
        row_use(row, chance_below(chance, row->count));
    }
}

static void field_add(struct field *f, void **words, size_t count,
                      const char *what) {
    must(words != NULL && f->row_count < ROWS_LIMIT);
    struct row *row = &f->rows[f->row_count++];
    *row = (struct row){.words = words, .count = count, .what = what};
    row_choose_spots(row, &f->chance);
}

static OWN_FRAME void field_add_tailed(struct field *f, size_t bytes) {
    size_t count = bytes / sizeof(void *);
    struct tailed *object =
        loam_new_flex(struct tailed, tail, count - HEAD_WORDS);
    f->anchors[f->row_count] = object;
    field_add(f, (void **)object, count, "an object with a tail");
}

static OWN_FRAME void field_add_object(struct field *f, size_t bytes) {
    size_t count = bytes / sizeof(void *);
    bool is_typed = chance_below(&f->chance, 2) == 0;
    count = is_typed ? (count + 3) / 4 * 4 : count;
    void *object = is_typed ? (void *)loam_new_array(struct quad, count / 4)
                            : loam_alloc(count * sizeof(void *));
    f->anchors[f->row_count] = object;
    field_add(f, object, count, is_typed ? "a typed object" : "an object");
}

// From a word to a block in steps that no size class is wider than.
static void field_add_sizes(struct field *f, size_t step) {
    for (size_t n = 0, bytes = 16; bytes <= 8192; n++) {
        if (n % step == 0) {
            field_add_object(f, bytes);
        }
        size_t more = bytes / 16 / 16 * 16;
        bytes += more > 16 ? more : 16;
    }
}

static void field_add_large(struct field *f, size_t most) {
    static const size_t sizes[] = {8200,  12288,  16384,   40000,
                                   65536, 300000, 1 << 20, 3 << 20};
    for (size_t i = 0; i < COUNT_OF(sizes) && sizes[i] <= most; i++) {
        field_add_object(f, sizes[i]);
        field_add_tailed(f, sizes[i]);
    }
}

// ---- Rows outside the heap ---------------------------------------------------------

static OWN_FRAME void rest_enter(unsigned low, unsigned high) {
    uintptr_t address = (uintptr_t)low | (uintptr_t)high << 32;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    struct rest *r = (struct rest *)address;
    void *words[OUTSIDE_WORDS] = {NULL};
    r->words = words;
    __asm__ volatile("" : : "r"(words) : "memory");
    loam_stack_switch(NULL);
    must(swapcontext(&r->here, &r->caller) == 0);
    must(!"nobody wakes it");
}

static void rest_begin(struct rest *r) {
    r->base = mmap(NULL, REST_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(r->base != MAP_FAILED);
    r->stack = loam_stack_add(r->base, REST_BYTES);
    must(r->stack != NULL && getcontext(&r->here) == 0);
    r->here.uc_stack.ss_sp = r->base;
    r->here.uc_stack.ss_size = REST_BYTES;
    makecontext(&r->here, (void (*)(void))rest_enter, 2, (unsigned)(uintptr_t)r,
                (unsigned)((uintptr_t)r >> 32));
    loam_stack_switch(r->stack);
    must(swapcontext(&r->caller, &r->here) == 0);
}

static void rest_end(struct rest *r) {
    loam_stack_remove(r->stack);
    munmap(r->base, REST_BYTES);
}

static void field_add_outside(struct field *f, size_t thread) {
    memset(tls_words, 0, sizeof tls_words);
    memset(static_words[thread], 0, sizeof static_words[thread]);
    rest_begin(&f->rest);
    field_add(f, static_words[thread], OUTSIDE_WORDS, "static data");
    field_add(f, tls_words, OUTSIDE_WORDS, "thread-local storage");
    field_add(f, f->root, OUTSIDE_WORDS, "an explicit root");
    field_add(f, f->rest.words, OUTSIDE_WORDS, "a coroutine's stack");
}

static struct field *field_new(uint64_t seed) {
    struct field *f = calloc(1, sizeof *f);
    must(f != NULL);
    f->chance = chance_start(seed);
    f->last_tag = 1;
    f->anchors = calloc(ROWS_LIMIT, sizeof(void *));
    f->root = calloc(OUTSIDE_WORDS, sizeof(void *));
    must(f->anchors != NULL && f->root != NULL);
    must(loam_root_add(f->anchors, ROWS_LIMIT * sizeof(void *)) == 0);
    must(loam_root_add(f->root, OUTSIDE_WORDS * sizeof(void *)) == 0);
    ways_begin(&f->ways);
    return f;
}

static void field_free(struct field *f) {
    if (f->rest.stack != NULL) {
        rest_end(&f->rest);
    }
    ways_end(&f->ways);
    loam_root_remove(f->anchors);
    loam_root_remove(f->root);
    free(f->anchors);
    free(f->root);
    free(f);
}

// ---- Storing and checking ------------------------------------------------------------

static _Noreturn void spot_lost(const struct field *f, const struct row *row,
                                size_t spot) {
    size_t at = row->spot[spot];
    fprintf(stderr,
            "stores: word %zu of %zu of %s at %p holds %p, which the heap "
            "knows as %p; the last store was %s\n",
            at, row->count, row->what, (void *)row->words, row->words[at],
            loam_base_of(row->words[at]), f->way);
    abort();
}

static void spot_check(const struct field *f, const struct row *row,
                       size_t spot) {
    struct body *body = row->words[row->spot[spot]];
    uint64_t tag = row->tag[spot];
    if ((body == NULL) != (tag == 0)) {
        spot_lost(f, row, spot);
    }
    if (body == NULL) {
        return;
    }
    if (loam_base_of(body) != body) {
        spot_lost(f, row, spot);
    }
    body_check(body);
    must(body->tag == tag);
    if (body->links[0] != NULL) {
        body_check(body->links[0]);
        must(body->links[0]->tag == ~tag);
    }
}

static OWN_FRAME void field_check(const struct field *f) {
    for (size_t i = 0; i < f->row_count; i++) {
        for (size_t s = 0; s < f->rows[i].spot_count; s++) {
            spot_check(f, &f->rows[i], s);
        }
    }
}

static void spot_store(struct field *f, struct row *row, size_t spot,
                       size_t way, void *pointer, uint64_t tag) {
    f->way = ways_name(way);
    ways_store(&f->ways, way, row->words, row->count, row->spot[spot], pointer);
    row->tag[spot] = tag;
}

// A new body, with another behind it.
static OWN_FRAME void spot_fill(struct field *f, struct row *row, size_t spot,
                                size_t way) {
    uint64_t tag = ++f->last_tag;
    struct body *body = body_new(&f->chance, tag, 3000);
    must(body != NULL);
    if (chance_below(&f->chance, 2) == 0) {
        struct body *behind = body_new(&f->chance, ~tag, 200);
        must(behind != NULL);
        body->links[0] = behind;
    }
    spot_store(f, row, spot, way, body, tag);
}

static OWN_FRAME void field_fill(struct field *f, size_t way) {
    for (size_t i = 0; i < f->row_count; i++) {
        struct row *row = &f->rows[i];
        for (size_t s = 0; s < row->spot_count; s++) {
            size_t chosen =
                way != SIZE_MAX ? way : chance_below(&f->chance, ways_count());
            spot_fill(f, row, s, chosen);
        }
    }
}

// ---- Collections ---------------------------------------------------------------------

static uint64_t collections(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return stats.collection_count;
}

// Allocates until the collector finds it is time: for whatever the mode of this
// run says, a minor collection or one beside us.
static OWN_FRAME void collect_by_allocating(void) {
    uint64_t before = collections();
    for (size_t i = 0; i < 200000 && collections() == before; i++) {
        for (size_t n = 0; n < 16; n++) {
            must(loam_alloc(16 + i % 64 * 8) != NULL);
        }
    }
}

static OWN_FRAME void field_survives(struct field *f) {
    for (size_t i = 0; i < 2; i++) {
        stack_clear();
        collect_by_allocating();
        field_check(f);
    }
    loam_verify();
}

// What the rows are in is old after this, and its pages are unwritten.
static OWN_FRAME void field_grows_old(struct field *f) {
    collect_clean();
    collect_by_allocating();
    collect_by_allocating();
    field_check(f);
}

// ---- One store at a time ---------------------------------------------------------------

static void each_way_of_storing_is_seen(void **state) {
    (void)state;
    struct field *f = field_new(chance_seed("each way"));
    field_add_sizes(f, 12);
    field_add_large(f, SIZE_MAX);
    field_add_outside(f, 0);
    field_grows_old(f);
    for (size_t way = 0; way < ways_count(); way++) {
        field_fill(f, way);
        field_survives(f);
    }
    field_free(f);
}

static void objects_of_every_size_keep_young_ones(void **state) {
    (void)state;
    struct field *f = field_new(chance_seed("every size"));
    field_add_sizes(f, 1);
    field_grows_old(f);
    for (size_t i = 0; i < place_scaled(10); i++) {
        field_fill(f, SIZE_MAX);
        field_survives(f);
    }
    field_free(f);
}

// One word each time, so that nothing else has its page looked at.
static void every_edge_of_a_page_in_a_large_object_is_seen(void **state) {
    (void)state;
    struct field *f = field_new(chance_seed("edges of pages"));
    field_add_object(f, (size_t)128 << 10);
    struct row *row = &f->rows[0];
    field_grows_old(f);
    size_t edges = row->count / PAGE_WORDS * 2;
    for (size_t i = 0; i < edges; i++) {
        row->spot_count = 1;
        row->spot[0] = i / 2 * PAGE_WORDS + (i % 2 ? PAGE_WORDS - 1 : 0);
        spot_fill(f, row, 0, i % ways_count());
        field_survives(f);
        spot_store(f, row, 0, 0, NULL, 0);
    }
    field_free(f);
}

// ---- Threads ---------------------------------------------------------------------------

static int is_over;
static size_t turn_count; // of the thread that collects; atomic

static struct row *field_choose(struct field *f, size_t *spot) {
    struct row *row = &f->rows[chance_below(&f->chance, f->row_count)];
    *spot = chance_below(&f->chance, row->spot_count);
    return row;
}

// Takes what one row has to another: what is not marked yet to where nobody
// will look again.
static OWN_FRAME void field_move(struct field *f) {
    size_t from_spot, to_spot;
    struct row *from = field_choose(f, &from_spot);
    struct row *to = field_choose(f, &to_spot);
    void *volatile body = from->words[from->spot[from_spot]];
    uint64_t tag = from->tag[from_spot];
    spot_store(f, from, from_spot, chance_below(&f->chance, ways_count()), NULL,
               0);
    spot_store(f, to, to_spot, chance_below(&f->chance, ways_count()), body,
               tag);
    body = NULL;
}

// Frees a body, and puts another where it was pointed to from: in one piece of
// memory, often, so that no word of the row changes.
static OWN_FRAME void spot_replace(struct field *f, struct row *row,
                                   size_t spot) {
    struct body *old = row->words[row->spot[spot]];
    size_t bytes = chance_below(&f->chance, 4) ? 16 : 3000;
    if (old != NULL) {
        body_wipe(old);
        loam_free(old);
    }
    uint64_t tag = ++f->last_tag;
    struct body *body = body_new(&f->chance, tag, bytes);
    must(body != NULL);
    spot_store(f, row, spot, chance_below(&f->chance, ways_count()), body, tag);
}

static OWN_FRAME void field_step(struct field *f) {
    size_t spot;
    struct row *row = field_choose(f, &spot);
    switch (chance_below(&f->chance, 9)) {
    case 0:
    case 1:
        spot_fill(f, row, spot, chance_below(&f->chance, ways_count()));
        break;
    case 8:
        spot_replace(f, row, spot);
        break;
    case 2:
    case 3:
    case 4:
        field_move(f);
        break;
    default:
        spot_check(f, row, spot);
        break;
    }
}

struct storer {
    pthread_t thread;
    uint64_t seed;
    size_t number;
    size_t step_count; // at least, and until there were so many turns
    size_t turn_count;
};

static bool storer_is_done(const struct storer *storer, size_t steps) {
    return steps >= storer->step_count &&
           __atomic_load_n(&turn_count, __ATOMIC_RELAXED) >= storer->turn_count;
}

static void *store_on_and_on(void *argument) {
    const struct storer *storer = argument;
    struct field *f = field_new(storer->seed);
    field_add_sizes(f, 3);
    field_add_large(f, 300000);
    field_add_outside(f, storer->number);
    for (size_t i = 0; !storer_is_done(storer, i); i++) {
        field_step(f);
        if (i % 5000 == 0) {
            field_check(f);
        }
    }
    field_check(f);
    field_free(f);
    return NULL;
}

static void *collect_in_turns(void *unused) {
    (void)unused;
    while (__atomic_load_n(&is_over, __ATOMIC_ACQUIRE) == 0) {
        collect_by_allocating();
        collect_by_allocating();
        collect_by_allocating();
        loam_collect_minor();
        loam_collect();
        loam_verify();
        __atomic_add_fetch(&turn_count, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void threads_may_store_while_collections_run(void **state) {
    (void)state;
    static struct storer storers[THREADS];
    pthread_t collecting;
    uint64_t seed = chance_seed("threads that store");
    is_over = 0;
    turn_count = 0;
    must(pthread_create(&collecting, NULL, collect_in_turns, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        storers[i] = (struct storer){.seed = seed + i,
                                     .number = i,
                                     .step_count = place_scaled(30000),
                                     .turn_count = place_scaled(25)};
        must(pthread_create(&storers[i].thread, NULL, store_on_and_on,
                            &storers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        must(pthread_join(storers[i].thread, NULL) == 0);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(collecting, NULL) == 0);
    loam_verify();
}

// A table whose chains grow at the front: each new entry may lie where the heap
// has just grown to, and nothing but one word of the table leads to it.
struct link {
    struct link *next;
    uint64_t number;
};
LOAM_TYPE(struct link, next)

#define HEADS 65536

static OWN_FRAME size_t links_count(struct link *const *heads, size_t most) {
    size_t count = 0;
    for (size_t i = 0; i < HEADS; i++) {
        for (const struct link *l = heads[i]; l != NULL && count <= most;
             l = l->next) {
            must(l->number % HEADS == i);
            count++;
        }
    }
    return count;
}

static OWN_FRAME void links_add(struct link **heads, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        uint64_t number = i * UINT64_C(0x9E3779B97F4A7C15) >> 20;
        struct link *l = loam_new(struct link);
        must(l != NULL);
        l->number = number;
        l->next = heads[number % HEADS];
        heads[number % HEADS] = l;
    }
}

static void no_store_is_lost_where_the_heap_grows(void **state) {
    (void)state;
    // Scaled twice: under torture each step costs what all before it have made.
    size_t step = place_scaled(place_scaled(200000));
    loam_growth_set(20);
    struct link **heads = loam_new_array(struct link *, HEADS);
    must(heads != NULL);
    for (size_t i = 0; i < 10; i++) {
        links_add(heads, i * step, (i + 1) * step);
        must(links_count(heads, 10 * step) == (i + 1) * step);
    }
    loam_growth_set(1);
}

int main(void) {
    // Collections as often as may be.
    loam_heap_min_set(1);
    loam_growth_set(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_of_storing_is_seen),
        cmocka_unit_test(objects_of_every_size_keep_young_ones),
        cmocka_unit_test(every_edge_of_a_page_in_a_large_object_is_seen),
        cmocka_unit_test(threads_may_store_while_collections_run),
        cmocka_unit_test(no_store_is_lost_where_the_heap_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
