// SPDX-License-Identifier: MIT
// compact_test.c: objects move while threads read and change what refers to them.

#include <loam.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/chance.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define THREADS 3
#define SLOTS 1500
#define LINKS 3

// A node knows the numbers of those it refers to, so a link that was not
// changed when its node moved, or was changed wrongly, is found.
struct node {
    struct node *links[LINKS];
    char *inside[LINKS]; // of the same nodes, `offset` bytes on
    char *text;          // a leaf with the number in it
    uint64_t linked[LINKS];
    uint64_t number;
    uint32_t offset;
    uint32_t tail_count;
    struct node *tail[]; // all of it refers to the node itself
};
LOAM_TYPE(struct node, links, inside, text, LOAM_FLEX(tail))

struct table {
    struct node *slots[SLOTS];
    uint64_t numbers[SLOTS];
};
LOAM_TYPE(struct table, slots)

static struct table *tables[THREADS + 1]; // the last is shared
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static int is_over;
static uint64_t last_number;
static uint64_t most_number; // none is made beyond it until the next compaction

#define NODES_A_ROUND 20000

static void node_check(const struct node *node, uint64_t number) {
    char text[32];
    must(node->number == number);
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    must(strcmp(node->text, text) == 0);
    for (unsigned i = 0; i < LINKS; i++) {
        const struct node *to = node->links[i];
        must((to == NULL) == (node->linked[i] == 0));
        if (to) {
            must(to->number == node->linked[i]);
            must(node->inside[i] == (const char *)to + node->offset);
        }
    }
    for (unsigned i = 0; i < node->tail_count; i++) {
        must(node->tail[i] == node);
    }
}

static void node_link(struct node *node, unsigned i, struct node *to) {
    node->links[i] = to;
    node->inside[i] = to ? (char *)to + node->offset : NULL;
    node->linked[i] = to ? to->number : 0;
}

static OWN_FRAME void slot_fill(struct table *table, size_t slot,
                                struct chance *chance) {
    uint32_t tail = (uint32_t)chance_below(chance, 10);
    struct node *node = loam_new_flex(struct node, tail, tail);
    must(node != NULL);
    node->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
    node->text = loam_printf("%llu", (unsigned long long)node->number);
    must(node->text != NULL);
    node->offset = (uint32_t)chance_below(chance, sizeof *node);
    node->tail_count = tail;
    for (uint32_t i = 0; i < tail; i++) {
        node->tail[i] = node;
    }
    for (unsigned i = 0; i < LINKS; i++) {
        node_link(node, i, table->slots[chance_below(chance, SLOTS)]);
    }
    table->slots[slot] = node;
    table->numbers[slot] = node->number;
}

// One of: look, follow links, make a new node, drop one, change a link.
static OWN_FRAME void table_step(struct table *table, struct chance *chance) {
    size_t slot = chance_below(chance, SLOTS);
    struct node *node = table->slots[slot];
    uint64_t choice = chance_below(chance, 64);
    if (choice == 0 || (choice < 6 && node == NULL)) {
        if (__atomic_load_n(&last_number, __ATOMIC_RELAXED) >=
            __atomic_load_n(&most_number, __ATOMIC_RELAXED)) {
            sched_yield();
            return;
        }
        slot_fill(table, slot, chance);
    } else if (choice == 2) {
        table->slots[slot] = NULL;
    } else if (node == NULL) {
        return;
    } else if (choice < 16) {
        unsigned i = (unsigned)chance_below(chance, LINKS);
        node_link(node, i, table->slots[chance_below(chance, SLOTS)]);
    } else {
        node_check(node, table->numbers[slot]);
        for (unsigned step = 0; step < 20 && node->links[step % LINKS];
             step++) {
            uint64_t number = node->linked[step % LINKS];
            node = node->links[step % LINKS];
            node_check(node, number);
        }
    }
}

// Chains of dropped nodes must not grow for ever.
static OWN_FRAME void table_cut(struct table *table, struct chance *chance) {
    for (size_t i = 0; i < SLOTS; i++) {
        struct node *node = table->slots[i];
        if (node && chance_below(chance, 8) != 0) {
            table->slots[i] = NULL; // most die: blocks are left sparse
        } else if (node) {
            for (unsigned l = 0; l < LINKS; l++) {
                node_link(node, l, NULL);
            }
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        struct node *node = table->slots[i];
        for (unsigned l = 0; node && l < LINKS; l++) {
            node_link(node, l, table->slots[chance_below(chance, SLOTS)]);
        }
    }
}

static OWN_FRAME void table_check(const struct table *table) {
    for (size_t i = 0; i < SLOTS; i++) {
        if (table->slots[i]) {
            node_check(table->slots[i], table->numbers[i]);
        }
    }
}

static void *mutate(void *argument) {
    size_t index = (uintptr_t)argument;
    struct chance chance = chance_start(index + 1);
    for (size_t i = 0; !__atomic_load_n(&is_over, __ATOMIC_ACQUIRE); i++) {
        table_step(tables[index], &chance);
        if (i % 10000 == 0) {
            table_cut(tables[index], &chance);
        }
        if (i % 64 == 0) {
            pthread_mutex_lock(&shared_lock);
            table_step(tables[THREADS], &chance);
            pthread_mutex_unlock(&shared_lock);
        }
    }
    return NULL;
}

static OWN_FRAME void tables_make(void) {
    struct chance chance = chance_start(chance_seed("compact"));
    is_over = 0;
    most_number = UINT64_MAX;
    for (size_t t = 0; t <= THREADS; t++) {
        tables[t] = loam_new(struct table);
        must(tables[t] != NULL);
        for (size_t i = 0; i < SLOTS; i++) {
            slot_fill(tables[t], i, &chance);
        }
        table_cut(tables[t], &chance);
    }
}

static OWN_FRAME void tables_check(void) {
    for (size_t t = 0; t <= THREADS; t++) {
        table_check(tables[t]);
    }
}

static uint64_t moved_count(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return stats.moved_count;
}

// Runs the threads while fn is called again and again.
static void while_threads_mutate(void (*fn)(size_t round), size_t rounds) {
    pthread_t threads[THREADS];
    tables_make();
    for (size_t t = 0; t < THREADS; t++) {
        must(pthread_create(&threads[t], NULL, mutate, (void *)t) == 0);
    }
    for (size_t i = 0; i < rounds; i++) {
        __atomic_store_n(&most_number,
                         __atomic_load_n(&last_number, __ATOMIC_RELAXED) +
                             NODES_A_ROUND,
                         __ATOMIC_RELAXED);
        fn(i);
    }
    __atomic_store_n(&is_over, 1, __ATOMIC_RELEASE);
    for (size_t t = 0; t < THREADS; t++) {
        must(pthread_join(threads[t], NULL) == 0);
    }
    tables_check();
    loam_verify();
}

static void compact_once(size_t round) {
    (void)round;
    loam_compact();
}

static void threads_mutate_while_objects_move(void **state) {
    (void)state;
    uint64_t before = moved_count();
    while_threads_mutate(compact_once, place_scaled(120));
    assert_true(moved_count() > before);
}

static void *compact_beside(void *argument) {
    while (!__atomic_load_n((int *)argument, __ATOMIC_ACQUIRE)) {
        loam_compact();
    }
    return NULL;
}

static int is_forked_enough;

static void fork_once(size_t round) {
    pid_t pid = fork();
    if (pid == 0) {
        // The lock may have been held by a thread that is not here.
        if (round % 2) {
            loam_compact();
        }
        tables_check();
        loam_collect();
        loam_verify();
        _exit(0);
    }
    int status = child_wait(pid);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fork_finds_a_heap_that_works_while_objects_move(void **state) {
    (void)state;
    pthread_t mover;
    tables_make();
    is_forked_enough = 0;
    must(pthread_create(&mover, NULL, compact_beside, &is_forked_enough) == 0);
    for (size_t i = 0; i < place_scaled(40); i++) {
        struct chance chance = chance_start(i);
        for (size_t s = 0; s < 2000; s++) {
            table_step(tables[0], &chance);
        }
        if (i % 8 == 0) {
            table_cut(tables[0], &chance);
        }
        fork_once(i);
    }
    __atomic_store_n(&is_forked_enough, 1, __ATOMIC_RELEASE);
    must(pthread_join(mover, NULL) == 0);
    tables_check();
}

static void two_threads_may_compact_at_once(void **state) {
    (void)state;
    pthread_t movers[2];
    tables_make();
    is_forked_enough = 0;
    for (size_t i = 0; i < 2; i++) {
        must(pthread_create(&movers[i], NULL, compact_beside,
                            &is_forked_enough) == 0);
    }
    struct chance chance = chance_start(7);
    for (size_t i = 0; i < place_scaled(200000); i++) {
        table_step(tables[0], &chance);
        if (i % 20000 == 0) {
            table_cut(tables[0], &chance);
        }
    }
    __atomic_store_n(&is_forked_enough, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; i < 2; i++) {
        must(pthread_join(movers[i], NULL) == 0);
    }
    tables_check();
}

// ---- Under settings ---------------------------------------------------------------

static void scene_mutate(void) {
    while_threads_mutate(compact_once, place_scaled(40));
}

static void expect_fine(const char *setting, const char *other) {
    const struct outcome *o =
        scene_play("mutate", (const char *[]){setting, other, NULL});
    if (o->exit_code != 0) {
        print_error("%s %s: %s\n", setting, other ? other : "", o->err);
    }
    assert_int_equal(o->exit_code, 0);
}

static void objects_move_rightly_under_every_setting(void **state) {
    (void)state;
    expect_fine("LOAM_TRACK=none", NULL);
    expect_fine("LOAM_CONCURRENT=on", "LOAM_GENERATIONS=off");
    expect_fine("LOAM_CONCURRENT=off", "LOAM_GENERATIONS=on");
    expect_fine("LOAM_CONCURRENT=on", "LOAM_GENERATIONS=on");
    expect_fine("LOAM_COMPACT=auto", NULL);
    expect_fine("LOAM_CHECK=3", NULL);
}

static void objects_move_rightly_under_torture(void **state) {
    (void)state;
    expect_fine("LOAM_TORTURE=yield:3", NULL);
    expect_fine("LOAM_TORTURE=collect:101,yield:7", NULL);
}

int main(int argc, char **argv) {
    static const struct scene scenes[] = {{"mutate", scene_mutate}};
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_mutate_while_objects_move),
        cmocka_unit_test(fork_finds_a_heap_that_works_while_objects_move),
        cmocka_unit_test(two_threads_may_compact_at_once),
        cmocka_unit_test(objects_move_rightly_under_every_setting),
        cmocka_unit_test(objects_move_rightly_under_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
