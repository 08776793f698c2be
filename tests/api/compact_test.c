// SPDX-License-Identifier: MIT
// compact_test.c: what moves when objects are moved together, and what stays.

#include <loam.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

// One object in STEP stays alive, so blocks are left with few.
#define STEP 8

struct item {
    struct item *next;
    struct item *other; // any item, also itself
    char *middle;       // into an item, not at its start
    uint64_t number;
    uint64_t check;
    uint64_t stray; // holds an item's address where nobody looks
};
LOAM_TYPE(struct item, next, other, middle)

struct directory {
    size_t count;
    struct item *items[];
};
LOAM_TYPE(struct directory, LOAM_FLEX(items))

static bool is_refused;        // the system gives memory only now and then
static struct directory *kept; // static data: the directory stays

static uint64_t mixed(uint64_t n) {
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9u;
    return n ^ (n >> 27);
}

static uint64_t moved_count(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return stats.moved_count;
}

static OWN_FRAME struct item *item_new(uint64_t number) {
    struct item *item;
    do {
        item = loam_new(struct item);
    } while (item == NULL && is_refused);
    must(item != NULL);
    item->number = number;
    item->check = mixed(number);
    return item;
}

static OWN_FRAME struct directory *directory_new(size_t count) {
    struct directory *directory;
    do {
        directory = loam_new_flex(struct directory, items, count);
    } while (directory == NULL && is_refused);
    must(directory != NULL);
    directory->count = count;
    return directory;
}

// Makes count * STEP items, all of which are alive until the last is made, and
// keeps every STEPth.
static OWN_FRAME void directory_make(size_t count) {
    struct directory *all = directory_new(count * STEP);
    for (size_t i = 0; i < count * STEP; i++) {
        all->items[i] = item_new(i / STEP);
    }
    kept = directory_new(count);
    for (size_t i = 0; i < count; i++) {
        kept->items[i] = all->items[i * STEP];
    }
    memset(all->items, 0, count * STEP * sizeof *all->items);
    for (size_t i = 0; i < count; i++) {
        struct item *item = kept->items[i];
        item->next = kept->items[(i + 1) % count];
        item->other = kept->items[i * 7919 % count];
        item->middle = (char *)kept->items[i * 31 % count] + 20;
    }
}

static OWN_FRAME void directory_check(void) {
    size_t count = kept->count;
    for (size_t i = 0; i < count; i++) {
        const struct item *item = kept->items[i];
        must(item->number == i && item->check == mixed(i));
        must(item->next == kept->items[(i + 1) % count]);
        must(item->other == kept->items[i * 7919 % count]);
        must(item->middle == (char *)kept->items[i * 31 % count] + 20);
    }
}

// Asks for it on a clean stack, and returns how many objects moved.
static OWN_FRAME uint64_t compact_clean(void) {
    uint64_t before = moved_count();
    stack_clear();
    loam_compact();
    loam_verify();
    return moved_count() - before;
}

static void sparse_objects_move_together_and_memory_goes_back(void **state) {
    (void)state;
    struct loam_stats before, after;
    directory_make(place_scaled(20000));
    loam_collect();
    loam_stats_get(&before);
    assert_true(compact_clean() > kept->count / 2);
    loam_stats_get(&after);
    directory_check();
    assert_true(after.heap_bytes < before.heap_bytes / 2);
    assert_true(after.committed_bytes < before.committed_bytes / 2);
    assert_true(after.compaction_count > before.compaction_count);
    assert_true(after.moved_bytes - before.moved_bytes >=
                (after.moved_count - before.moved_count) * 16);
    kept = NULL;
}

static void it_returns_the_bytes_it_gave_back(void **state) {
    (void)state;
    struct loam_stats before, after;
    directory_make(place_scaled(20000));
    loam_stats_get(&before);
    size_t bytes = loam_compact();
    loam_stats_get(&after);
    assert_true(bytes > 0);
    assert_true(after.returned_bytes - before.returned_bytes == bytes);
    kept = NULL;
}

static void a_second_time_there_is_nothing_to_move(void **state) {
    (void)state;
    directory_make(place_scaled(20000));
    compact_clean();
    assert_true(compact_clean() < kept->count / 20 + 1000);
    directory_check();
    kept = NULL;
}

// ---- What stays ----------------------------------------------------------------

#define FEW 64

// The addresses, hidden, of items spread over the directory.
static OWN_FRAME void note_some(uintptr_t *hidden) {
    for (size_t i = 0; i < FEW; i++) {
        hidden[i] = hide(kept->items[kept->count / FEW * i]);
    }
}

static OWN_FRAME size_t count_in_place(const uintptr_t *hidden) {
    size_t count = 0;
    for (size_t i = 0; i < FEW; i++) {
        count += hidden[i] == hide(kept->items[kept->count / FEW * i]);
    }
    return count;
}

static void what_a_stack_refers_to_stays(void **state) {
    (void)state;
    char *volatile held[FEW];
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    for (size_t i = 0; i < FEW; i++) {
        held[i] = (char *)unhide(hidden[i]) + i % sizeof(struct item);
    }
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    directory_check();
    for (size_t i = 0; i < FEW; i++) {
        assert_non_null(held[i]);
        held[i] = NULL;
    }
    compact_clean();
    assert_true(count_in_place(hidden) < FEW / 2);
    directory_check();
    kept = NULL;
}

// What keeps one object in its place keeps all around it, at most in an
// aligned piece of so many bytes. So only words that point out of an object's
// piece tell whether to be near it is enough.
#define PIECE_BYTES 8192
#define NEAR_BYTES 200

static bool is_elsewhere(const char *near, const struct item *item) {
    return (uintptr_t)near / PIECE_BYTES != (uintptr_t)item / PIECE_BYTES;
}

// Puts words a little before or behind items into near[], and which items
// those are into which[]; returns how many.
static OWN_FRAME size_t hold_near(char *volatile *near, size_t *which) {
    size_t count = 0;
    size_t step = kept->count / FEW;
    for (size_t i = 0; i < kept->count && count < FEW; i++) {
        struct item *item = kept->items[i];
        char *before = (char *)item - NEAR_BYTES;
        char *behind = (char *)(item + 1) + NEAR_BYTES;
        char *found = is_elsewhere(before, item)   ? before
                      : is_elsewhere(behind, item) ? behind
                                                   : NULL;
        if (found) {
            near[count] = found;
            which[count++] = i;
            i += step - i % step - 1; // only one of a stretch
        }
    }
    return count;
}

static void what_a_stack_refers_to_nearly_stays(void **state) {
    (void)state;
    char *volatile near[FEW];
    uintptr_t hidden[FEW];
    size_t which[FEW];
    size_t in_place = 0;
    directory_make(20000);
    size_t count = hold_near(near, which);
    assert_true(count > FEW / 2);
    for (size_t i = 0; i < count; i++) {
        hidden[i] = hide(kept->items[which[i]]);
    }
    assert_true(compact_clean() > 0);
    for (size_t i = 0; i < count; i++) {
        assert_true(hide(kept->items[which[i]]) == hidden[i]);
        assert_non_null(near[i]);
        near[i] = NULL;
    }
    // They are such as would have moved.
    compact_clean();
    for (size_t i = 0; i < count; i++) {
        in_place += hide(kept->items[which[i]]) == hidden[i];
    }
    assert_true(in_place < count / 2);
    directory_check();
    kept = NULL;
}

static void what_is_pinned_stays_until_it_is_unpinned(void **state) {
    (void)state;
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    for (size_t i = 0; i < FEW; i++) {
        assert_non_null(loam_pin(unhide(hidden[i])));
    }
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    for (size_t i = 0; i < FEW; i++) {
        loam_unpin(unhide(hidden[i]));
    }
    compact_clean();
    assert_true(count_in_place(hidden) < FEW / 2);
    directory_check();
    kept = NULL;
}

static void an_address_that_was_taken_stays_right(void **state) {
    (void)state;
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    for (size_t i = 0; i < FEW; i++) {
        uintptr_t address = loam_address((char *)unhide(hidden[i]) + 8);
        assert_true(address == (uintptr_t)unhide(hidden[i]) + 8);
    }
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    directory_check();
    kept = NULL;
}

static void there_is_no_address_of_what_is_no_object(void **state) {
    (void)state;
    int local = 0;
    assert_true(loam_address(&local) == 0);
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
}

static void what_untyped_memory_refers_to_stays(void **state) {
    (void)state;
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    void **untyped = loam_alloc(FEW * sizeof *untyped);
    for (size_t i = 0; i < FEW; i++) {
        untyped[i] = (char *)unhide(hidden[i]) + 3;
    }
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    for (size_t i = 0; i < FEW; i++) {
        assert_ptr_equal(untyped[i], (char *)unhide(hidden[i]) + 3);
    }
    directory_check();
    kept = NULL;
}

struct plain {
    void *word;
    uint64_t rest;
};

struct around {
    struct item *item;
    struct plain inner; // of which nothing is known
};

static void what_an_undescribed_part_of_a_struct_refers_to_stays(void **state) {
    (void)state;
    struct loam_type_spec plain_spec = {.name = "plain",
                                        .size_bytes = sizeof(struct plain),
                                        .scan = LOAM_SCAN_CONSERVATIVE};
    const struct loam_field fields[] = {
        {offsetof(struct around, item), sizeof(void *), LOAM_FIELD_POINTERS,
         NULL, NULL},
        {offsetof(struct around, inner), sizeof(struct plain),
         LOAM_FIELD_NESTED, NULL, loam_type_define(&plain_spec)},
    };
    struct loam_type_spec spec = {.name = "around",
                                  .size_bytes = sizeof(struct around),
                                  .scan = LOAM_SCAN_FIELDS,
                                  .fields = fields,
                                  .field_count = 2};
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    struct around *in_around = loam_new_array_of(loam_type_define(&spec), FEW);
    for (size_t i = 0; i < FEW; i++) {
        in_around[i].inner.word = unhide(hidden[i]);
    }
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    directory_check();
    loam_keep_alive(in_around);
    kept = NULL;
}

struct tagged {
    uintptr_t word[FEW]; // pointers with their lowest bit set
};

static void tagged_mark(struct loam_marker *marker, const void *object,
                        size_t bytes) {
    const struct tagged *tagged = object;
    (void)bytes;
    for (size_t i = 0; i < FEW; i++) {
        loam_mark(marker, (void *)(tagged->word[i] >> 1)); // NOLINT
    }
}
LOAM_TYPE_MARK(struct tagged, tagged_mark)

static void what_a_mark_function_names_stays(void **state) {
    (void)state;
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    struct tagged *tagged = loam_new(struct tagged);
    for (size_t i = 0; i < FEW; i++) {
        tagged->word[i] = (uintptr_t)unhide(hidden[i]) << 1;
    }
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    directory_check();
    loam_keep_alive(tagged);
    kept = NULL;
}

static void a_root_range_keeps_objects_in_place(void **state) {
    (void)state;
    uintptr_t hidden[FEW];
    directory_make(20000);
    note_some(hidden);
    void **range = calloc(FEW, sizeof *range);
    for (size_t i = 0; i < FEW; i++) {
        range[i] = unhide(hidden[i]);
    }
    assert_int_equal(loam_root_add(range, FEW * sizeof *range), 0);
    assert_true(compact_clean() > 0);
    assert_int_equal(count_in_place(hidden), FEW);
    loam_root_remove(range);
    free(range);
    directory_check();
    kept = NULL;
}

// ---- What moves, and what follows it -----------------------------------------------

struct texts {
    size_t count;
    char *text[];
};
LOAM_TYPE(struct texts, LOAM_FLEX(text))

static struct texts *all_texts;

static OWN_FRAME void texts_make(size_t count) {
    struct texts *all = loam_new_flex(struct texts, text, count * STEP);
    must(all != NULL);
    for (size_t i = 0; i < count * STEP; i++) {
        char *text = loam_printf("%zu%.*s", i, (int)(i / STEP % 200),
                                 "...................................."
                                 "...................................."
                                 "...................................."
                                 "...................................."
                                 "...................................."
                                 "....................");
        must(text != NULL);
        all->text[i] = text;
    }
    all_texts = loam_new_flex(struct texts, text, count);
    must(all_texts != NULL);
    all_texts->count = count;
    for (size_t i = 0; i < count; i++) {
        all_texts->text[i] = all->text[i * STEP] + i % 3;
    }
    memset(all->text, 0, count * STEP * sizeof *all->text);
}

static void leaves_move_and_pointers_into_them_follow(void **state) {
    (void)state;
    texts_make(place_scaled(20000));
    assert_true(compact_clean() > all_texts->count / 2);
    for (size_t i = 0; i < all_texts->count; i++) {
        const char *text = all_texts->text[i] - i % 3;
        char expected[32];
        snprintf(expected, sizeof expected, "%zu", i * STEP);
        size_t digits = strlen(expected);
        assert_memory_equal(text, expected, digits);
        assert_int_equal(strlen(text), digits + i % 200);
    }
    all_texts = NULL;
}

struct pair {
    struct item *left;
    uint64_t number;
    struct item *right;
};
LOAM_TYPE(struct pair, left, right)

struct shelf {
    struct shelf *next;
    struct pair *row; // an array
    uint64_t pairs;
    struct pair inside[3];
    struct pair more[];
};
LOAM_TYPE(struct shelf, next, row, LOAM_NESTED(inside, struct pair),
          LOAM_FLEX_OF(more, struct pair))

static struct shelf *shelves;

static void pair_fill(struct pair *pair, uint64_t number) {
    pair->number = number;
    pair->left = item_new(number);
    pair->right = item_new(number + 1);
}

static void pair_check(const struct pair *pair, uint64_t number) {
    must(pair->number == number);
    must(pair->left->number == number && pair->right->number == number + 1);
    must(pair->left->check == mixed(number));
    must(pair->right->check == mixed(number + 1));
}

static OWN_FRAME void shelves_make(size_t count) {
    struct directory *all = directory_new(count * STEP);
    for (size_t i = 0; i < count * STEP; i++) {
        struct shelf *shelf = loam_new_flex(struct shelf, more, i % 5);
        must(shelf != NULL);
        shelf->pairs = i % 5;
        shelf->row = loam_new_array(struct pair, 4);
        for (size_t p = 0; p < 4; p++) {
            pair_fill(&shelf->row[p], i + p);
        }
        for (size_t p = 0; p < 3; p++) {
            pair_fill(&shelf->inside[p], i * 3 + p);
        }
        for (size_t p = 0; p < i % 5; p++) {
            pair_fill(&shelf->more[p], i * 5 + p);
        }
        if (i % STEP == 3) {
            shelf->next = shelves;
            shelves = shelf;
        } else {
            all->items[i] = (struct item *)shelf;
        }
    }
    memset(all->items, 0, count * STEP * sizeof *all->items);
}

static OWN_FRAME size_t shelves_check(size_t count) {
    size_t seen = 0;
    size_t i = count * STEP + 3;
    for (const struct shelf *shelf = shelves; shelf; shelf = shelf->next) {
        i -= STEP;
        must(shelf->pairs == i % 5);
        for (size_t p = 0; p < 4; p++) {
            pair_check(&shelf->row[p], i + p);
        }
        for (size_t p = 0; p < 3; p++) {
            pair_check(&shelf->inside[p], i * 3 + p);
        }
        for (size_t p = 0; p < i % 5; p++) {
            pair_check(&shelf->more[p], i * 5 + p);
        }
        seen++;
    }
    return seen;
}

static void arrays_and_structs_in_structs_follow(void **state) {
    (void)state;
    size_t count = place_scaled(2000);
    shelves_make(count);
    assert_true(compact_clean() > count);
    assert_int_equal(shelves_check(count), count);
    shelves = NULL;
}

static void a_number_that_looks_like_a_pointer_is_left_alone(void **state) {
    (void)state;
    directory_make(20000);
    uintptr_t *before = calloc(kept->count, sizeof *before);
    for (size_t i = 0; i < kept->count; i++) {
        // Not a pointer to the collector: the type does not name the field.
        kept->items[i]->stray = (uintptr_t)kept->items[i];
        before[i] = hide(kept->items[i]);
    }
    assert_true(compact_clean() > 0);
    for (size_t i = 0; i < kept->count; i++) {
        assert_true(kept->items[i]->stray == (uintptr_t)unhide(before[i]));
    }
    directory_check();
    free(before);
    kept = NULL;
}

// As large as a directory, with numbers where that has pointers.
struct numbers {
    struct item *none;
    uint64_t number[];
};
LOAM_TYPE(struct numbers, none)

static struct {
    uintptr_t *hidden; // what the numbers are, in malloc's memory
    size_t rounds;     // atomic
    size_t in_place;   // of these, with the numbers where the pointers were
    int is_over;
} replacing;

static OWN_FRAME uintptr_t pointers_make_and_free(void) {
    struct directory *pointers = directory_new(kept->count);
    uintptr_t place = hide(pointers);
    for (size_t i = 0; i < kept->count; i++) {
        pointers->items[i] = kept->items[i];
    }
    for (size_t i = 0; i < kept->count; i++) {
        replacing.hidden[i] = hide(pointers->items[i]);
    }
    loam_free(pointers);
    return place;
}

static OWN_FRAME void numbers_make_and_check(uintptr_t place) {
    struct numbers *numbers =
        loam_new_flex(struct numbers, number, kept->count);
    must(numbers != NULL);
    replacing.in_place += hide(numbers) == place;
    for (size_t i = 0; i < kept->count; i++) {
        numbers->number[i] = ~replacing.hidden[i];
    }
    for (size_t i = 0; i < kept->count; i++) {
        must(numbers->number[i] == ~replacing.hidden[i]);
    }
    loam_free(numbers);
}

static void *replace(void *argument) {
    (void)argument;
    while (!__atomic_load_n(&replacing.is_over, __ATOMIC_ACQUIRE)) {
        numbers_make_and_check(pointers_make_and_free());
        __atomic_add_fetch(&replacing.rounds, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

// A compaction notes where pointers are, and before it comes to move what they
// refer to, numbers may lie there that are the same, bit for bit. With short
// pauses it stops often, and each time the thread may be at either.
static void a_number_where_a_pointer_was_is_left_alone(void **state) {
    (void)state;
    loam_pause_target_set(50000);
    for (unsigned i = 0; i < 2; i++) {
        pthread_t thread;
        directory_make(20000);
        memset(&replacing, 0, sizeof replacing);
        replacing.hidden = calloc(kept->count, sizeof *replacing.hidden);
        must(replacing.hidden != NULL);
        must(pthread_create(&thread, NULL, replace, NULL) == 0);
        while (__atomic_load_n(&replacing.rounds, __ATOMIC_RELAXED) == 0) {
            sched_yield();
        }
        assert_true(compact_clean() > 0);
        __atomic_store_n(&replacing.is_over, 1, __ATOMIC_RELEASE);
        must(pthread_join(thread, NULL) == 0);
        assert_true(replacing.in_place > 0);
        free(replacing.hidden);
        directory_check();
    }
    loam_pause_target_set(0);
    kept = NULL;
}

static void one_that_all_refer_to_stays_without_harm(void **state) {
    (void)state;
    directory_make(20000);
    struct item *star = kept->items[777];
    for (size_t i = 0; i < kept->count; i++) {
        kept->items[i]->other = star;
    }
    star = NULL;
    compact_clean();
    for (size_t i = 0; i < kept->count; i++) {
        assert_ptr_equal(kept->items[i]->other, kept->items[777]);
    }
    kept = NULL;
}

static void the_program_goes_on_allocating_where_objects_were(void **state) {
    (void)state;
    directory_make(20000);
    struct directory *volatile first = kept;
    compact_clean();
    directory_make(20000);
    directory_check();
    kept = first;
    first = NULL;
    directory_check();
    compact_clean();
    directory_check();
    kept = NULL;
}

static int allocating_is_over;

static void *allocate_on_and_on(void *unused) {
    while (__atomic_load_n(&allocating_is_over, __ATOMIC_ACQUIRE) == 0) {
        for (size_t i = 0; i < 100; i++) {
            must(loam_alloc(64) != NULL);
        }
    }
    return unused;
}

// It was left off whenever a thread had spent its budget, and where one does
// nothing else than allocate nothing ever moved.
static void who_only_allocates_does_not_stop_it(void **state) {
    (void)state;
    struct loam_stats before, after;
    pthread_t thread;
    directory_make(place_scaled(40000));
    allocating_is_over = 0;
    must(pthread_create(&thread, NULL, allocate_on_and_on, NULL) == 0);
    loam_stats_get(&before);
    uint64_t moved = compact_clean();
    loam_stats_get(&after);
    __atomic_store_n(&allocating_is_over, 1, __ATOMIC_RELEASE);
    must(pthread_join(thread, NULL) == 0);
    directory_check();
    assert_true(moved > kept->count / 2);
    assert_true(after.compaction_count - before.compaction_count < 6);
    kept = NULL;
}

static void a_child_of_fork_can_compact(void **state) {
    (void)state;
    if (place_has_tsan()) {
        skip();
    }
    directory_make(20000);
    pid_t pid = fork();
    if (pid == 0) {
        compact_clean();
        directory_check();
        _exit(0);
    }
    int status = child_wait(pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    compact_clean();
    directory_check();
    kept = NULL;
}

// ---- Settings ------------------------------------------------------------------

static void scene_compact(void) {
    directory_make(20000);
    compact_clean();
    directory_check();
    printf("moved %d\n", moved_count() > 0);
}

static void expect_moved(const char *const *settings, const char *text) {
    const struct outcome *o = scene_play("compact", settings);
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->out, text);
}

static void with_off_nothing_moves(void **state) {
    (void)state;
    expect_moved((const char *[]){"LOAM_COMPACT=off", NULL}, "moved 0\n");
}

static void it_moves_whatever_writes_are_tracked_by(void **state) {
    (void)state;
    expect_moved((const char *[]){"LOAM_TRACK=none", NULL}, "moved 1\n");
    expect_moved((const char *[]){"LOAM_TRACK=kernel", NULL}, "moved 1\n");
}

static void it_moves_whatever_collections_are_run(void **state) {
    (void)state;
    expect_moved((const char *[]){"LOAM_GENERATIONS=on", NULL}, "moved 1\n");
    expect_moved(
        (const char *[]){"LOAM_GENERATIONS=off", "LOAM_CONCURRENT=off", NULL},
        "moved 1\n");
    expect_moved((const char *[]){"LOAM_CONCURRENT=on", NULL}, "moved 1\n");
    const struct outcome *o = scene_play(
        "compact", (const char *[]){"LOAM_TORTURE=collect:97", NULL});
    assert_int_equal(o->exit_code, 0);
}

static void scene_refused(void) {
    is_refused = true;
    for (int i = 0; i < 20; i++) {
        directory_make(2000);
        compact_clean();
        directory_check();
    }
}

static void without_memory_it_does_what_it_can(void **state) {
    (void)state;
    static const char *const often[] = {"LOAM_TORTURE=refuse:17",
                                        "LOAM_TORTURE=refuse:23",
                                        "LOAM_TORTURE=refuse:41"};
    for (size_t i = 0; i < COUNT_OF(often); i++) {
        const struct outcome *o =
            scene_play("refused", (const char *[]){often[i], NULL});
        assert_int_equal(o->exit_code, 0);
    }
}

// What the library does by itself when it has been left alone: the test waits
// for it to say so, however long that takes.
static void scene_idle(void) {
    char line[512] = "";
    int ends[2];
    must(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    FILE *log = fdopen(ends[0], "r");
    must(log != NULL);
    directory_make(20000);
    loam_collect();
    while (strncmp(line, "loam compact ", 13) != 0) {
        must(fgets(line, sizeof line, log) != NULL);
    }
    must(moved_count() > 0);
    directory_check();
    puts("moved");
}

static void with_auto_an_idle_program_is_compacted(void **state) {
    (void)state;
    const struct outcome *o = scene_play(
        "idle", (const char *[]){"LOAM_COMPACT=auto", "LOAM_LOG=gc", NULL});
    assert_int_equal(o->exit_code, 0);
    assert_string_equal(o->out, "moved\n");
}

static void the_log_says_what_moved(void **state) {
    (void)state;
    const struct outcome *o =
        scene_play("compact", (const char *[]){"LOAM_LOG=gc", NULL});
    assert_non_null(strstr(o->err, "loam compact 1"));
    assert_non_null(strstr(o->err, " objects moved, "));
}

int main(int argc, char **argv) {
    static const struct scene scenes[] = {
        {"compact", scene_compact},
        {"refused", scene_refused},
        {"idle", scene_idle},
    };
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_objects_move_together_and_memory_goes_back),
        cmocka_unit_test(it_returns_the_bytes_it_gave_back),
        cmocka_unit_test(a_second_time_there_is_nothing_to_move),
        cmocka_unit_test(what_a_stack_refers_to_stays),
        cmocka_unit_test(what_a_stack_refers_to_nearly_stays),
        cmocka_unit_test(what_is_pinned_stays_until_it_is_unpinned),
        cmocka_unit_test(an_address_that_was_taken_stays_right),
        cmocka_unit_test(there_is_no_address_of_what_is_no_object),
        cmocka_unit_test(what_untyped_memory_refers_to_stays),
        cmocka_unit_test(what_an_undescribed_part_of_a_struct_refers_to_stays),
        cmocka_unit_test(what_a_mark_function_names_stays),
        cmocka_unit_test(a_root_range_keeps_objects_in_place),
        cmocka_unit_test(leaves_move_and_pointers_into_them_follow),
        cmocka_unit_test(arrays_and_structs_in_structs_follow),
        cmocka_unit_test(a_number_that_looks_like_a_pointer_is_left_alone),
        cmocka_unit_test(a_number_where_a_pointer_was_is_left_alone),
        cmocka_unit_test(one_that_all_refer_to_stays_without_harm),
        cmocka_unit_test(the_program_goes_on_allocating_where_objects_were),
        cmocka_unit_test(who_only_allocates_does_not_stop_it),
        cmocka_unit_test(a_child_of_fork_can_compact),
        cmocka_unit_test(with_off_nothing_moves),
        cmocka_unit_test(it_moves_whatever_writes_are_tracked_by),
        cmocka_unit_test(it_moves_whatever_collections_are_run),
        cmocka_unit_test(without_memory_it_does_what_it_can),
        cmocka_unit_test(with_auto_an_idle_program_is_compacted),
        cmocka_unit_test(the_log_says_what_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
