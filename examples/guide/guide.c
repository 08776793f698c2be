// SPDX-License-Identifier: MIT
// guide.c: the code in docs/guide.md, compiled and run.

#define _GNU_SOURCE

#include <assert.h>
#include <loam.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

// ---- Types ------------------------------------------------------------------

struct point {
    double x, y;
};
LOAM_TYPE_LEAF(struct point)

struct edge {
    struct vertex *to;
    double weight;
};
LOAM_TYPE(struct edge, to)

struct vertex {
    char *name;
    struct point *place;
    struct edge nearest;     // a struct that holds a pointer
    struct vertex *sides[4]; // an array of pointers
    size_t edge_count;
    struct edge edges[]; // a flexible array of structs
};
LOAM_TYPE(struct vertex, name, place, LOAM_NESTED(nearest, struct edge), sides,
          LOAM_FLEX_OF(edges, struct edge))

static void guide_types(void) {
    struct vertex *v = loam_new_flex(struct vertex, edges, 3);
    v->place = loam_new(struct point);
    v->name = loam_printf("vertex %d", 7);
    struct vertex *row = loam_new_array(struct vertex, 10);
    v->edges[2].to = &row[4]; // the inside of an object keeps all of it
    loam_collect();
    assert(strcmp(v->name, "vertex 7") == 0);
    assert(loam_base_of(v->edges[2].to) == row);
}

// ---- Tagged pointers --------------------------------------------------------

// A value is a number, shifted left and with the lowest bit set, or a pointer
// to a pair whose second lowest bit is set.
struct pair {
    uintptr_t head, tail;
};

static void pair_mark(struct loam_marker *marker, const void *object,
                      size_t bytes) {
    const struct pair *pair = object;
    (void)bytes;
    if ((pair->head & 1) == 0) {
        loam_mark(marker, (void *)(pair->head & ~(uintptr_t)2));
    }
    if ((pair->tail & 1) == 0) {
        loam_mark(marker, (void *)(pair->tail & ~(uintptr_t)2));
    }
}
LOAM_TYPE_MARK(struct pair, pair_mark)

static void guide_tags(void) {
    struct pair *first = loam_new(struct pair);
    struct pair *second = loam_new(struct pair);
    second->head = 42 << 1 | 1;
    first->head = (uintptr_t)second | 2;
    first->tail = 1;
    loam_collect();
    assert(((struct pair *)(first->head & ~(uintptr_t)2))->head == 85);
}

// ---- Roots ------------------------------------------------------------------

struct request {
    char *body;
};

static void guide_roots(void) {
    // The collector does not look into malloc's memory.
    struct request *request = calloc(1, sizeof *request);
    loam_root_add(request, sizeof *request);
    request->body = loam_strdup("kept by the root");
    loam_collect();
    assert(strcmp(request->body, "kept by the root") == 0);
    loam_root_remove(request);
    free(request);
}

static void guide_pin(void) {
    // The only pointer goes where nobody looks: into a pipe.
    int ends[2];
    assert(pipe(ends) == 0);
    char *message = loam_pin(loam_strdup("kept by the pin"));
    assert(write(ends[1], &message, sizeof message) == sizeof message);
    message = NULL;
    loam_collect();
    assert(read(ends[0], &message, sizeof message) == sizeof message);
    assert(strcmp(message, "kept by the pin") == 0);
    loam_unpin(message);
    close(ends[0]);
    close(ends[1]);
}

// ---- Threads ----------------------------------------------------------------

static void *guide_wait(void *argument) {
    int *ends = argument;
    char byte;
    loam_blocking_begin();
    ssize_t got = read(ends[0], &byte, 1); // as long as it takes
    loam_blocking_end();
    assert(got == 1);
    return loam_strdup("from the other thread");
}

static void guide_threads(void) {
    int ends[2];
    pthread_t thread;
    void *result;
    assert(pipe(ends) == 0);
    assert(pthread_create(&thread, NULL, guide_wait, ends) == 0);
    loam_collect();
    assert(write(ends[1], "", 1) == 1);
    pthread_join(thread, &result);
    assert(strcmp(result, "from the other thread") == 0);
    close(ends[0]);
    close(ends[1]);
}

// ---- Coroutines -------------------------------------------------------------

static ucontext_t guide_main_context;
static ucontext_t guide_side_context;
static char *guide_result;

static void guide_coroutine(void) {
    char *text = loam_strdup("kept by the coroutine's stack");
    loam_stack_switch(NULL); // back to the thread's own stack
    swapcontext(&guide_side_context, &guide_main_context);
    guide_result = text;
    loam_stack_switch(NULL);
    swapcontext(&guide_side_context, &guide_main_context);
}

static void guide_coroutines(void) {
    size_t bytes = 64 << 10;
    void *memory = malloc(bytes);
    struct loam_stack *stack = loam_stack_add(memory, bytes);
    getcontext(&guide_side_context);
    guide_side_context.uc_stack.ss_sp = memory;
    guide_side_context.uc_stack.ss_size = bytes;
    makecontext(&guide_side_context, guide_coroutine, 0);
    for (int i = 0; i < 2; i++) {
        loam_stack_switch(stack);
        swapcontext(&guide_main_context, &guide_side_context);
        loam_collect();
    }
    assert(strcmp(guide_result, "kept by the coroutine's stack") == 0);
    loam_stack_remove(stack);
    free(memory);
}

// ---- Counted objects --------------------------------------------------------

struct channel {
    int fd;
    struct channel *next;
};
LOAM_TYPE(struct channel, next)

static void channel_close(void *object) {
    close(((struct channel *)object)->fd);
}
LOAM_COUNTED_OWNS(struct channel, channel_close, next)

static void guide_counted(void) {
    struct channel *channel = loam_counted_new(struct channel); // counted once
    channel->fd = dup(1);
    struct channel *other = loam_retain(channel); // twice
    loam_release(channel);
    // At zero the descriptor is closed, `next` released, the memory free.
    loam_release(other);
}

// ---- Ends of scopes ---------------------------------------------------------

static pthread_mutex_t guide_lock = PTHREAD_MUTEX_INITIALIZER;

static void say_done(void *what) {
    fprintf(stderr, "done with %s\n", (const char *)what);
}

static int first_byte(const char *path) {
    LOAM_SCOPED_LOCK(&guide_lock);
    LOAM_SCOPED_FILE FILE *file = fopen(path, "r");
    if (file == NULL) {
        return -1; // unlocked
    }
    LOAM_DEFER(say_done, loam_printf("the first byte of %s", path));
    return fgetc(file); // said, closed, unlocked
}

// ---- Scopes of memory -------------------------------------------------------

struct word {
    struct word *next;
    char *text;
};

static size_t count_words(const char *line) {
    LOAM_SCOPED_MEMORY struct loam_scope *scope = loam_scope_begin();
    struct word *words = NULL;
    size_t count = 0;
    for (const char *at = line; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        struct word *word = loam_scope_new(scope, struct word);
        word->text = loam_scope_alloc(scope, length + 1);
        memcpy(word->text, at, length);
        word->next = words;
        words = word;
        at += length;
    }
    for (struct word *w = words; w; w = w->next) {
        count++;
    }
    return count; // all words are gone now, without a collection
}

// ---- Limits -----------------------------------------------------------------

struct cache {
    char *pictures;
};
LOAM_TYPE(struct cache, pictures)

// Called when 80 percent of the limit are alive, on a thread that allocates.
static void cache_shrink(unsigned percent, void *argument) {
    struct cache *cache = argument;
    fprintf(stderr, "%u %% of the heap are alive\n", percent);
    cache->pictures = NULL; // they can be read again
}

static int cache_give_up(size_t bytes, void *argument) {
    struct cache *cache = argument;
    (void)bytes;
    bool had_some = cache->pictures != NULL;
    cache->pictures = NULL;
    return had_some; // try again, or let it fail
}

static void guide_pressure(void) {
    struct cache *cache = loam_new(struct cache);
    loam_heap_max_set_percent(75);
    loam_soft_limit_set_percent(60);
    loam_heap_max_set((size_t)64 << 20);
    cache->pictures = loam_alloc_leaf((size_t)55 << 20);
    loam_on_pressure(80, cache_shrink, cache);
    loam_collect();
    assert(cache->pictures == NULL);
    loam_on_pressure_remove(cache_shrink, cache);
    cache->pictures = loam_alloc_leaf((size_t)40 << 20);
    loam_oom_handler_set(cache_give_up, cache);
    char *other = loam_alloc_leaf((size_t)40 << 20);
    assert(other != NULL && cache->pictures == NULL);
    loam_oom_handler_set(NULL, NULL);
    loam_soft_limit_set(0);
}

static void guide_limits(void) {
    loam_heap_max_set((size_t)64 << 20);
    char *p = loam_alloc_leaf((size_t)1 << 30);
    assert(p == NULL);
    fprintf(stderr, "as it should be: %s\n", loam_last_error());
    loam_heap_max_set(0);
}

// Every pointer that is stored into a cons goes through loam_store.
struct cons {
    struct cons *head, *tail;
};
LOAM_TYPE_BARRIERED(struct cons, head, tail)

static struct cons *cons_new(struct cons *head, struct cons *tail) {
    struct cons *cons = loam_new(struct cons);
    loam_store(&cons->head, head); // the first ones, too
    loam_store(&cons->tail, tail);
    return cons;
}

static void guide_stores(void) {
    struct cons *list = NULL;
    for (int i = 0; i < 1000; i++) {
        list = cons_new(NULL, list);
    }
    loam_collect();
    int count = 0;
    for (struct cons *c = list; c; c = c->tail) {
        count++;
    }
    assert(count == 1000);
}

// ---- Pools ------------------------------------------------------------------

// A buffer is large, so at most 16 of them are made.
struct buffer {
    size_t used;
    char bytes[64 << 10];
};
LOAM_TYPE_LEAF(struct buffer)

static void buffer_reset(void *object, void *argument) {
    struct buffer *buffer = object;
    (void)argument;
    buffer->used = 0;
}

static void guide_pool(void) {
    struct loam_pool *buffers = loam_pool_new(
        &(struct loam_pool_options){.max_count = 16,
                                    .type = loam_type_get(struct buffer),
                                    .reset = buffer_reset,
                                    .idle_ns = 60000000000});
    struct buffer *buffer =
        loam_pool_acquire(buffers); // waits where 16 are lent
    buffer->used = 100;
    loam_pool_release(buffers, buffer);

    buffer =
        loam_pool_acquire_within(buffers, 1000000); // at most a millisecond
    if (buffer == NULL) {
        fprintf(stderr, "no buffer: %s\n", loam_last_error());
        return;
    }
    assert(buffer->used == 0);
    loam_pool_release(buffers, buffer);
}

static void guide_cache(void) {
    struct loam_cache *cache = loam_cache_new(
        &(struct loam_cache_options){.type = loam_type_get(struct buffer)});
    struct buffer *buffer = loam_cache_get(cache); // perhaps used before
    buffer->used = 0;
    loam_cache_put(cache, buffer);
    assert(loam_cache_get(cache) == buffer);
}

int main(void) {
    guide_types();
    guide_tags();
    guide_roots();
    guide_pin();
    guide_threads();
    guide_coroutines();
    guide_counted();
    assert(count_words("so many words") == 3);
    assert(first_byte("/dev/null") == EOF);
    guide_stores();
    guide_pool();
    guide_cache();
    guide_limits();
    guide_pressure();
    return 0;
}
