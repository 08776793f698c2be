// SPDX-License-Identifier: MIT
// weak.c: what do weak references, finalizers and weak maps cost?
//
// One question a run:
//
//   weak get            from a weak reference to its object
//   weak pause COUNT    how much longer does a collection stop the program when
//                       so many living objects have a weak reference and a
//                       finalizer each?
//   weak map COUNT      set, then find, an entry of a map with so many objects as
//                       keys, which it does not keep alive; without a collector
//                       an ordinary hash table of the same size
//
// The value is in ns, for `pause` in ms.

#include "backend.h"
#include "measure.h"

#include <string.h>

struct thing {
    struct thing *next;
    uint64_t number;
};
TYPE(struct thing, next)

struct place {
    struct thing *thing;
};
TYPE(struct place, thing)

static struct place *places; // static data, where collectors look

enum { ROUNDS = 9, GETS = 20000000, GET_PLACES = 512 };

#if BENCH_COLLECTS

#endif

static void make_things(size_t count) {
    places = NEW_ARRAY(struct place, count);
    for (size_t i = 0; i < count; i++) {
        places[i].thing = NEW(struct thing);
        places[i].thing->next = NULL;
        places[i].thing->number = i;
    }
}

// ---- Weak references, where there are any ---------------------------------------

#if defined(BENCH_BACKEND_loam)

struct weak_place {
    struct loam_weak *weak;
};
TYPE(struct weak_place, weak)

static struct weak_place *weaks;

static void end_of_thing(void *object, void *argument) {
    (void)object;
    (void)argument;
}

static void make_weaks(size_t count) {
    weaks = NEW_ARRAY(struct weak_place, count);
    for (size_t i = 0; i < count; i++) {
        weaks[i].weak = loam_weak_new(places[i].thing);
        if (loam_finalize(places[i].thing, end_of_thing, NULL) != 0) {
            bench_fail(loam_last_error());
        }
    }
}

static inline struct thing *weak_get(size_t i) {
    return loam_weak_get(weaks[i].weak);
}

// As in a program with several threads.
static void mark_beside(void) {
    loam_concurrent_set(LOAM_ON);
}

#elif defined(BENCH_BACKEND_bdwgc)

static void mark_beside(void) {
}

static uintptr_t *weaks; // hidden

static void end_of_thing(void *object, void *argument) {
    (void)object;
    (void)argument;
}

static void make_weaks(size_t count) {
    weaks = GC_MALLOC_ATOMIC(count * sizeof *weaks);
    for (size_t i = 0; i < count; i++) {
        weaks[i] = GC_HIDE_POINTER(places[i].thing);
        GC_GENERAL_REGISTER_DISAPPEARING_LINK((void **)&weaks[i],
                                              places[i].thing);
        GC_REGISTER_FINALIZER_NO_ORDER(places[i].thing, end_of_thing, NULL,
                                       NULL, NULL);
    }
}

static void *reveal(void *hidden) {
    return GC_REVEAL_POINTER(*(uintptr_t *)hidden);
}

// The lock keeps the object from being collected while it is revealed.
static inline struct thing *weak_get(size_t i) {
    return GC_call_with_alloc_lock(reveal, &weaks[i]);
}

#endif

#if BENCH_COLLECTS

static void weak_gets(void) {
    double ns[ROUNDS];
    uint64_t sum = 0;
    make_things(GET_PLACES);
    make_weaks(GET_PLACES);
    bench_collect();
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin = bench_now_ns();
        for (size_t i = 0; i < GETS / ROUNDS; i++) {
            sum += weak_get(i % GET_PLACES)->number;
        }
        ns[round] = (double)(bench_now_ns() - begin) * ROUNDS / GETS;
    }
    bench_say(bench_mix(sum), bench_pauses(), ", \"value\": %.3f",
              bench_median(ns, ROUNDS));
}

// The median of what collections stopped the program for, in all.
static double collect_pause_ms(void) {
    double ms[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        double before = bench_pauses().total_ms;
        bench_collect();
        ms[i] = bench_pauses().total_ms - before;
    }
    return bench_median(ms, ROUNDS);
}

static uint64_t sum_things(size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += places[i].thing->number;
    }
    return sum;
}

static void weak_pause(size_t count) {
    mark_beside();
    make_things(count);
    double plain_ms = collect_pause_ms();
    make_weaks(count);
    double weak_ms = collect_pause_ms();
    double added_ms = weak_ms > plain_ms ? weak_ms - plain_ms : 0;
    bench_say(bench_mix(sum_things(count)), bench_pauses(),
              ", \"value\": %.3f, \"plain_ms\": %.3f, \"weak_ms\": %.3f",
              added_ms, plain_ms, weak_ms);
}

#endif

// ---- Maps ----------------------------------------------------------------------

#if defined(BENCH_BACKEND_loam)

static struct loam_weak_map *map;

static void map_start(void) {
    map = loam_weak_map_new();
}

static void map_set(struct thing *key, struct thing *value) {
    if (loam_weak_map_set(map, key, value) != 0) {
        bench_fail(loam_last_error());
    }
}

static struct thing *map_get(const struct thing *key) {
    return loam_weak_map_get(map, key);
}

#else

// Open addressing, under a lock as any table that threads share.
struct slot {
    const struct thing *key;
    struct thing *value;
};

static struct {
    struct slot *slots;
    size_t room;
    size_t count;
    pthread_mutex_t lock;
} map;

static void map_start(void) {
    pthread_mutex_init(&map.lock, NULL);
}

static struct slot *map_place(const struct thing *key) {
    size_t at = ((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15u >> 20;
    while (map.slots[at & (map.room - 1)].key &&
           map.slots[at & (map.room - 1)].key != key) {
        at++;
    }
    return &map.slots[at & (map.room - 1)];
}

static void map_grow(void) {
    struct slot *old = map.slots;
    size_t room = map.room;
    map.room = room ? room * 2 : 16;
    map.slots = bench_checked(calloc(map.room, sizeof *map.slots));
    for (size_t i = 0; i < room; i++) {
        if (old[i].key) {
            *map_place(old[i].key) = old[i];
        }
    }
    free(old);
}

static void map_set(const struct thing *key, struct thing *value) {
    pthread_mutex_lock(&map.lock);
    if (map.count + 1 > map.room / 4 * 3) {
        map_grow();
    }
    struct slot *slot = map_place(key);
    map.count += slot->key == NULL;
    *slot = (struct slot){key, value};
    pthread_mutex_unlock(&map.lock);
}

static struct thing *map_get(const struct thing *key) {
    pthread_mutex_lock(&map.lock);
    struct thing *value = map_place(key)->value;
    pthread_mutex_unlock(&map.lock);
    return value;
}

#endif

static void weak_map(size_t count) {
    struct bench_random random = bench_random_from(7);
    uint64_t sum = 0;
    make_things(count);
    map_start();
    int64_t begin = bench_now_ns();
    for (size_t i = 0; i < count; i++) {
        map_set(places[i].thing, places[count - 1 - i].thing);
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = bench_random_below(&random, count);
        sum += map_get(places[at].thing)->number;
    }
    double ns = (double)(bench_now_ns() - begin) / (double)count;
    bench_say(bench_mix(sum), bench_pauses(), ", \"value\": %.3f", ns);
}

int main(int argc, char **argv) {
    bench_start();
    const char *what = argc > 1 ? argv[1] : "";
    size_t count = (size_t)bench_argument(argc, argv, 2, 1000000);
    if (strcmp(what, "map") == 0) {
        weak_map(count);
#if BENCH_COLLECTS
    } else if (strcmp(what, "get") == 0) {
        weak_gets();
    } else if (strcmp(what, "pause") == 0) {
        weak_pause(count);
#endif
    } else {
        bench_fail("no such row: weak.c lists them");
    }
    return 0;
}
