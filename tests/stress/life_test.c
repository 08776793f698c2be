// SPDX-License-Identifier: MIT
// life_test.c: weak references, finalizers, guardians and weak maps, at random,
// while collections of all kinds come.
//
// Every thing has a number and a record in malloc's memory of what may be true of
// it. While a thread holds it, everything must be there; afterwards it may die, once,
// and whole.

#include <loam.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/chance.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/survivors.h"

#define WAIT_NS 20000000000u
#define THREADS 3
#define HELD 48

struct thing {
    struct thing *child; // refers back to it
    struct thing *parent;
    struct loam_weak *weak; // to the child
    struct fate *fate;      // in malloc's memory
    uint64_t number;
    uint64_t check; // ~number
};
LOAM_TYPE(struct thing, child, parent, weak)

// What is known of a thing; written by its thread, its finalizer and its watcher.
struct fate {
    int is_held; // atomic, as all
    int finals;
    int tolds;
    int guarded;
};

struct table {
    struct fate *fates;
    size_t room;
    size_t used; // atomic
};

static struct table table;
static struct loam_weak_map *notes; // of a thing to its child
static struct loam_guardian *guardian;

static void must_be_whole(const struct thing *t) {
    must(t->check == ~t->number);
    must(t->fate == NULL || t->fate == &table.fates[t->number]);
}

static void finalized(void *object, void *argument) {
    struct thing *t = object;
    must_be_whole(t);
    must(argument == NULL || strcmp(argument, "arg") == 0);
    must(__atomic_load_n(&t->fate->is_held, __ATOMIC_ACQUIRE) == 0);
    must(__atomic_add_fetch(&t->fate->finals, 1, __ATOMIC_ACQ_REL) == 1);
    if (t->child) {
        must_be_whole(t->child);
        must(t->child->parent == t);
        must(loam_weak_get(t->weak) == t->child ||
             loam_weak_get(t->weak) == NULL);
    }
}

static void told(struct loam_weak *weak, void *argument) {
    const struct thing *child = argument; // kept for the occasion
    must(loam_weak_get(weak) == NULL);
    must_be_whole(child);
    struct fate *fate = &table.fates[child->number];
    must(__atomic_load_n(&fate->is_held, __ATOMIC_ACQUIRE) == 0);
    must(__atomic_add_fetch(&fate->tolds, 1, __ATOMIC_ACQ_REL) == 1);
}

static OWN_FRAME struct thing *thing_bare(uint64_t number, struct fate *fate) {
    struct thing *t = loam_new(struct thing);
    must(t != NULL);
    t->number = number;
    t->check = ~number;
    t->fate = fate;
    return t;
}

// What a thread holds of a thing.
struct held {
    struct thing *thing;
    struct loam_weak *weak;
    struct loam_weak *lasting;
    struct loam_weak *watch;
};

static OWN_FRAME void hold_new(struct chance *chance, struct held *h) {
    size_t number = __atomic_fetch_add(&table.used, 1, __ATOMIC_RELAXED);
    if (number >= table.room) {
        return;
    }
    struct fate *fate = &table.fates[number];
    struct thing *t = thing_bare(number, fate);
    __atomic_store_n(&fate->is_held, 1, __ATOMIC_RELEASE);
    t->child = thing_bare(number, NULL);
    t->child->parent = t;
    t->weak = loam_weak_new(t->child);
    *h = (struct held){t, loam_weak_new(t), loam_weak_new_long(t), NULL};
    if (chance_below(chance, 2)) {
        int ok = chance_below(chance, 2)
                     ? loam_finalize(t, finalized, loam_strdup("arg"))
                     : loam_finalize_ordered(t, finalized, NULL);
        must(ok == 0);
    } else if (chance_below(chance, 2)) {
        must(loam_guard(guardian, t) == 0);
    }
    if (chance_below(chance, 3) == 0) {
        h->watch = loam_weak_watch(t, told, thing_bare(number, NULL));
        must(h->watch != NULL);
    }
    must(loam_weak_map_set(notes, t, t->child) == 0);
}

static OWN_FRAME void check_held(const struct held *h) {
    const struct thing *t = h->thing;
    must_be_whole(t);
    must_be_whole(t->child);
    must(loam_weak_get(h->weak) == t && loam_weak_get(h->lasting) == t);
    must(loam_weak_get(t->weak) == t->child);
    must(h->watch == NULL || loam_weak_get(h->watch) == t);
    must(loam_weak_map_get(notes, t) == t->child);
    must(t->fate->finals == 0 && t->fate->tolds == 0);
}

// What was dropped may be there or not, but not half.
static OWN_FRAME void check_dropped(const struct held *h) {
    const struct thing *t = h->weak ? loam_weak_get(h->weak) : NULL;
    const struct thing *lasting = h->lasting ? loam_weak_get(h->lasting) : NULL;
    if (t) {
        must_be_whole(t);
        must(lasting == t);
        must(loam_weak_map_get(notes, t) == t->child);
    }
    if (lasting) {
        must_be_whole(lasting);
        must_be_whole(lasting->child);
    }
}

static OWN_FRAME void drop(struct held *h) {
    __atomic_store_n(&h->thing->fate->is_held, 0, __ATOMIC_RELEASE);
    h->thing = NULL;
}

static OWN_FRAME void take_guarded(void) {
    const struct thing *t = loam_guardian_next(guardian);
    if (t) {
        must_be_whole(t);
        must_be_whole(t->child);
        must(t->fate->is_held == 0);
        must(__atomic_add_fetch(&t->fate->guarded, 1, __ATOMIC_ACQ_REL) == 1);
    }
}

static OWN_FRAME void *live(void *argument) {
    struct chance chance = chance_start((uintptr_t)argument);
    struct held held[HELD] = {{NULL, NULL, NULL, NULL}};
    while (__atomic_load_n(&table.used, __ATOMIC_RELAXED) < table.room) {
        struct held *h = &held[chance_below(&chance, HELD)];
        switch (chance_below(&chance, 8)) {
        case 0:
            if (h->thing) {
                drop(h);
            }
            break;
        case 1:
            take_guarded();
            break;
        case 2:
        case 3:
        case 4:
            if (h->thing == NULL) {
                check_dropped(h);
                hold_new(&chance, h);
            }
            break;
        default:
            if (h->thing) {
                check_held(h);
            } else {
                check_dropped(h);
            }
            break;
        }
    }
    for (size_t i = 0; i < HELD; i++) {
        if (held[i].thing) {
            drop(&held[i]);
        }
    }
    return NULL;
}

static void run_threads(uint64_t seed) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        must(pthread_create(&threads[i], NULL, live,
                            (void *)(uintptr_t)(seed * THREADS + i)) == 0);
    }
    while (__atomic_load_n(&table.used, __ATOMIC_RELAXED) < table.room) {
        loam_collect();
        loam_collect_minor();
        loam_collect_minor();
    }
    for (size_t i = 0; i < THREADS; i++) {
        must(pthread_join(threads[i], NULL) == 0);
    }
}

static void things_die_once_and_whole(void **state) {
    (void)state;
    uint64_t seed = chance_seed("things that die");
    table.room = place_scaled(40000);
    table.used = 0;
    table.fates = calloc(table.room, sizeof *table.fates);
    notes = loam_weak_map_new();
    guardian = loam_guardian_new();
    run_threads(seed);
    for (int i = 0; i < 4; i++) {
        collect_clean();
        assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
        for (size_t n = 0; n < table.room; n++) {
            take_guarded();
        }
    }
    // Those that threads held at the end may be on dead stacks.
    assert_in_range(loam_weak_map_count(notes), 0,
                    THREADS * HELD + SURVIVORS_SLACK);
    loam_verify();
    notes = NULL;
    guardian = NULL;
    loam_collect();
    assert_int_equal(loam_finalizers_wait(WAIT_NS), 0);
    free(table.fates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_die_once_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
