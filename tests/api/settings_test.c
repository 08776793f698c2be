// SPDX-License-Identifier: MIT
// settings_test.c: what the environment sets, the log and the report.

#include <inttypes.h>
#include <loam.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define MIB ((size_t)1 << 20)

// ---- Scenes: each runs in a process of its own ------------------------------

struct word {
    struct word *next;
    char *text;
    unsigned count;
};
LOAM_TYPE(struct word, next, text)

struct dictionary {
    struct word *buckets[1021];
};
LOAM_TYPE(struct dictionary, buckets)

static unsigned word_bucket(const char *text) {
    unsigned hash = 5381;
    for (; *text != '\0'; text++) {
        hash = hash * 33 + (unsigned char)*text;
    }
    return hash % 1021;
}

static void dictionary_count(struct dictionary *all, const char *text) {
    struct word **at = &all->buckets[word_bucket(text)];
    for (struct word *w = *at; w != NULL; w = w->next) {
        if (strcmp(w->text, text) == 0) {
            w->count++;
            return;
        }
    }
    struct word *fresh = loam_new(struct word);
    must(fresh != NULL);
    fresh->text = loam_strdup(text);
    must(fresh->text != NULL);
    fresh->count = 1;
    fresh->next = *at;
    *at = fresh;
}

// A program as people write them: counts made-up words and never frees.
static void scene_words(void) {
    enum { WORDS = 40000, DISTINCT = 700 };
    struct dictionary *all = loam_new(struct dictionary);
    must(all != NULL);
    size_t words = place_scaled(WORDS);
    for (size_t i = 0; i < words; i++) {
        char *text = loam_printf("word %zu of many", i * i % DISTINCT);
        must(text != NULL);
        dictionary_count(all, text);
    }
    size_t total = 0;
    for (size_t b = 0; b < 1021; b++) {
        for (struct word *w = all->buckets[b]; w != NULL; w = w->next) {
            total += w->count;
        }
    }
    must(total == words);
    loam_verify();
    puts("counted");
}

// The same, but where memory may be refused; no answer, only no crash.
static void scene_refused(void) {
    struct chance chance = chance_start(7);
    struct body *ring[64] = {NULL};
    size_t refused = 0;
    for (size_t i = 0; i < place_scaled(6000); i++) {
        struct body *b = body_new(&chance, i, 30000);
        if (b == NULL) {
            must(loam_last_status() != LOAM_OK);
            must(loam_last_error()[0] != '\0');
            refused++;
            continue;
        }
        b->links[0] = ring[chance_below(&chance, 64)];
        ring[i % 64] = b;
        if (i % 2 == 0) {
            b->links[0] = NULL;
        }
    }
    for (size_t i = 0; i < 64; i++) {
        if (ring[i] != NULL) {
            body_walk(&chance, ring[i], 100);
        }
    }
    loam_verify();
    printf("refused %zu\n", refused);
}

static size_t address_space_bytes(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    must(file != NULL && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * (size_t)getpagesize();
}

// Tries to set the heap up until it can be, or often enough.
static void scene_set_up(void) {
    size_t before = address_space_bytes();
    for (size_t i = 0; i < 40; i++) {
        if (loam_init() == 0) {
            puts("set up at last");
            break;
        }
        puts(loam_last_error());
    }
    size_t after = address_space_bytes();
    // At most one range of a tebibyte.
    must(after < before || after - before < (size_t)3 << 39);
    puts("tried");
}

static void scene_full(void) {
    void **all = NULL;
    for (size_t i = 0; i < 4096; i++) {
        void **p = loam_alloc(MIB / 4);
        if (p == NULL) {
            printf("%zu %s\n%s\n", i, loam_status_name(loam_last_status()),
                   loam_last_error());
            return;
        }
        *p = all;
        all = p;
    }
}

static void scene_large(void) {
    char *p = loam_alloc((size_t)1 << 40);
    printf("%s\n", p == NULL ? loam_status_name(loam_last_status()) : "got it");
    must(loam_alloc(100) != NULL);
}

static void scene_settings(void) {
    must(loam_init() == 0);
    printf("max %zu min %zu growth %u\n", loam_heap_max_get(),
           loam_heap_min_get(), loam_growth_get());
    struct loam_stats stats;
    loam_collect();
    loam_stats_get(&stats);
    printf("markers %" PRIu64 "\n", stats.marker_count);
}

static void scene_markers(void) {
    // Enough of a heap to be marked by several.
    char **all = loam_alloc(100 * sizeof *all);
    for (size_t i = 0; i < 100; i++) {
        all[i] = loam_alloc(100000);
        must(all[i] != NULL);
    }
    struct loam_stats stats;
    loam_collect();
    loam_stats_get(&stats);
    printf("markers %" PRIu64 "\n", stats.marker_count);
    loam_keep_alive(all);
}

static void scene_shutdown(void) {
    scene_words();
    loam_shutdown();
    puts("shut down");
}

static void *allocate_for_ever(void *argument) {
    (void)argument;
    for (size_t i = 0;; i++) {
        uint64_t *p = loam_alloc(16 + i % 1000);
        must(p != NULL && p[0] == 0);
        p[0] = 1;
    }
    return NULL;
}

static void allocate_at_exit(void) {
    for (size_t i = 0; i < 10000; i++) {
        must(loam_alloc(100) != NULL);
    }
    loam_collect();
    puts("at exit");
}

static void scene_leave_amid_threads(void) {
    must(atexit(allocate_at_exit) == 0);
    for (size_t i = 0; i < 3; i++) {
        pthread_t thread;
        must(pthread_create(&thread, NULL, allocate_for_ever, NULL) == 0);
    }
    loam_collect();
    puts("leaving");
}

static void scene_target(void) {
    printf("%" PRIu64 "\n", loam_pause_target_get());
}

static void scene_track(void) {
    printf("%s: %s\n", loam_track_name(), loam_track_reason());
}

static OWN_FRAME void first_ones_make(struct survivors *list) {
    for (size_t i = 0; i < 100; i++) {
        survivors_note(list, loam_alloc(20000));
    }
}

// The first objects of a heap lie lowest in it. Once all of it has been armed,
// nothing of the library's may refer to them.
static void scene_lowest(void) {
    struct survivors list = survivors_new(100);
    struct loam_stats stats = {0};
    first_ones_make(&list);
    while (stats.collection_count < 20) {
        stack_clear();
        for (size_t i = 0; i < 1000; i++) {
            must(loam_alloc(1000) != NULL);
        }
        loam_stats_get(&stats);
    }
    collect_clean();
    puts(is_live(list.hidden[0]) ? "kept" : "gone");
    survivors_free(&list);
}

static const struct scene scenes[] = {
    {"lowest", scene_lowest},
    {"target", scene_target},
    {"track", scene_track},
    {"shutdown", scene_shutdown},
    {"leave_amid_threads", scene_leave_amid_threads},
    {"words", scene_words},
    {"refused", scene_refused},
    {"set_up", scene_set_up},
    {"full", scene_full},
    {"large", scene_large},
    {"settings", scene_settings},
    {"markers", scene_markers},
};

// ---- Tests ------------------------------------------------------------------

static void expect_good(const struct outcome *o, const char *text) {
    if (o->exit_code != 0 || strstr(o->out, text) == NULL) {
        print_message("exit %d, signal %d\n%s\n%s\n", o->exit_code, o->signal,
                      o->out, o->err);
    }
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->out, text));
}

static void a_typical_program_works_under_every_setting(void **state) {
    (void)state;
    const char *const settings[] = {
        "LOAM_CHECK=0",
        "LOAM_CHECK=1",
        "LOAM_CHECK=2",
        "LOAM_CHECK=3",
        "LOAM_MARKERS=1",
        "LOAM_MARKERS=2",
        "LOAM_MARKERS=16",
        "LOAM_HUGE_PAGES=on",
        "LOAM_GROWTH=1",
        "LOAM_HUGE_PAGES=off",
        "LOAM_GROWTH=1000",
        "LOAM_HUGE_PAGES=auto",
        "LOAM_HEAP_MIN=256M",
        "LOAM_HEAP_MAX=16M",
        "LOAM_RESERVE=256M",
        "LOAM_RESERVE=64M",
        "LOAM_SIGNAL=40",
        "LOAM_TORTURE=collect:100",
        "LOAM_HEAP_MIN=1K",
        "LOAM_TORTURE=yield:3",
        "LOAM_TRACK=kernel",
        "LOAM_TRACK=mprotect",
        "LOAM_TRACK=barrier",
        "LOAM_TRACK=none",
        "LOAM_CONCURRENT=on",
        "LOAM_CONCURRENT=off",
        "LOAM_GENERATIONS=on",
        "LOAM_GENERATIONS=off",
        "LOAM_PAUSE_TARGET=100us",
    };
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const char *const one[] = {settings[i], NULL};
        const struct outcome *o = scene_play("words", one);
        if (o->exit_code != 0) {
            print_message("under %s\n", settings[i]);
        }
        expect_good(o, "counted");
        assert_string_equal(o->err, "");
    }
}

static void a_collection_at_every_slow_allocation_is_survived(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_TORTURE=collect:1", "LOAM_CHECK=2", NULL};
    expect_good(scene_play("words", one), "counted");
}

static void refused_requests_to_the_system_are_survived(void **state) {
    (void)state;
    const char *const settings[] = {"LOAM_TORTURE=refuse:1",
                                    "LOAM_TORTURE=refuse:2",
                                    "LOAM_TORTURE=refuse:3",
                                    "LOAM_TORTURE=refuse:5",
                                    "LOAM_TORTURE=refuse:7",
                                    "LOAM_TORTURE=refuse:20",
                                    "LOAM_TORTURE=refuse:3,collect:50,yield:7"};
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const char *const one[] = {settings[i], NULL};
        const struct outcome *o = scene_play("refused", one);
        if (o->exit_code != 0) {
            print_message("under %s\n", settings[i]);
        }
        expect_good(o, "refused ");
    }
}

static void a_heap_that_cannot_be_set_up_takes_no_addresses(void **state) {
    (void)state;
    size_t refused_handlers = 0;
    size_t set_up = 0;
    for (unsigned every = 1; every <= 16; every++) {
        char setting[64];
        snprintf(setting, sizeof setting, "LOAM_TORTURE=refuse:%u", every);
        const char *const one[] = {setting, NULL};
        const struct outcome *o = scene_play("set_up", one);
        if (o->exit_code != 0) {
            print_message("under %s\n", setting);
        }
        expect_good(o, "tried");
        refused_handlers += strstr(o->out, "a signal handler") != NULL;
        set_up += strstr(o->out, "set up at last") != NULL;
    }
    // Every step was refused some time.
    assert_true(refused_handlers >= 2);
    assert_true(set_up >= 4);
}

static void sizes_are_read_with_their_suffixes(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_HEAP_MAX=64M", "LOAM_HEAP_MIN=300K",
                               "LOAM_GROWTH=55", "LOAM_MARKERS=1", NULL};
    const struct outcome *o = scene_play("settings", one);
    expect_good(o, "max 67108864 min 307200 growth 55");
    expect_good(o, "markers 1\n");
    const char *const two[] = {"LOAM_HEAP_MAX=2G", "LOAM_HEAP_MIN=12345", NULL};
    expect_good(scene_play("settings", two), "max 2147483648 min 12345");
}

static void as_many_threads_mark_as_are_asked_for(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_MARKERS=64", NULL};
    expect_good(scene_play("markers", one), "markers 64\n");
}

static void the_maximum_is_respected_and_explained(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_HEAP_MAX=32M", NULL};
    const struct outcome *o = scene_play("full", one);
    expect_good(o, "heap full");
    size_t count = strtoul(o->out, NULL, 10);
    assert_in_range(count, 100, 128);
    assert_non_null(strstr(o->out, "262144"));
}

static void a_nonsense_setting_is_named_and_passed_over(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"LOAM_HEAP_MAX=banana", "banana"},
        {"LOAM_HEAP_MAX=-5", "-5"},
        {"LOAM_HEAP_MAX=12Q", "12Q"},
        {"LOAM_HEAP_MAX=99999999999999999999G", "99999999999999999999G"},
        {"LOAM_HEAP_MIN=", "LOAM_HEAP_MIN"},
        {"LOAM_GROWTH=much", "much"},
        {"LOAM_LOG=everything", "everything"},
        {"LOAM_MARKERS=0x", "0x"},
        {"LOAM_MARKERS=65", "65"},
        {"LOAM_HUGE_PAGES=perhaps", "perhaps"},
        {"LOAM_CHECK=9", "9"},
        {"LOAM_TORTURE=collect", "collect"},
        {"LOAM_TORTURE=tickle:3", "tickle"},
        {"LOAM_SIGNAL=0", "LOAM_SIGNAL"},
        {"LOAM_SIGNAL=9", "LOAM_SIGNAL"},
        {"LOAM_RESERVE=lots", "lots"},
        {"LOAM_TRACK=closely", "closely"},
        {"LOAM_GENERATIONS=two", "two"},
        {"LOAM_CONCURRENT=2", "2"},
        {"LOAM_PAUSE_TARGET=5", "5"},
        {"LOAM_PAUSE_TARGET=0ms", "0ms"},
        {"LOAM_PAUSE_TARGET=2000s", "2000s"},
        {"LOAM_PAUSE_TARGET=1m", "1m"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        const char *const one[] = {wrong[i][0], NULL};
        const struct outcome *o = scene_play("words", one);
        expect_good(o, "counted");
        char name[64] = {0};
        strncpy(name, wrong[i][0], strcspn(wrong[i][0], "="));
        if (strstr(o->err, name) == NULL ||
            strstr(o->err, wrong[i][1]) == NULL) {
            print_message("%s said: %s\n", wrong[i][0], o->err);
        }
        assert_non_null(strstr(o->err, name));
        assert_non_null(strstr(o->err, wrong[i][1]));
        assert_non_null(strstr(o->err, "loam: "));
    }
}

static void the_pause_target_is_read_with_its_unit(void **state) {
    (void)state;
    static const char *const targets[][2] = {
        {"LOAM_PAUSE_TARGET=500us", "500000\n"},
        {"LOAM_PAUSE_TARGET=2ms", "2000000\n"},
        {"LOAM_PAUSE_TARGET=1s", "1000000000\n"},
        {"LOAM_PAUSE_TARGET=1234ns", "1234\n"},
        {"LOAM_TEST_NONE=", "1000000\n"},
    };
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        const char *const one[] = {targets[i][0], NULL};
        const struct outcome *o = scene_play("target", one);
        assert_int_equal(o->exit_code, 0);
        assert_string_equal(o->out, targets[i][1]);
    }
}

static void write_tracking_says_what_it_uses_and_why(void **state) {
    (void)state;
    const char *const none[] = {"LOAM_TRACK=none", NULL};
    expect_good(scene_play("track", none), "none: LOAM_TRACK=none\n");
    const char *const pages[] = {"LOAM_TRACK=mprotect", NULL};
    expect_good(scene_play("track", pages), "mprotect: LOAM_TRACK=mprotect\n");
    const char *const stores[] = {"LOAM_TRACK=barrier", NULL};
    expect_good(scene_play("track", stores), "barrier: LOAM_TRACK=barrier\n");
    const struct outcome *o = scene_play("track", NULL);
    assert_true(strncmp(o->out, "kernel: ", 8) == 0 ||
                strncmp(o->out, "none: ", 6) == 0);
}

static void tracking_keeps_nothing_alive(void **state) {
    (void)state;
    static const char *const rungs[] = {"LOAM_TRACK=auto", "LOAM_TRACK=barrier",
                                        "LOAM_TRACK=mprotect"};
    for (size_t i = 0; i < COUNT_OF(rungs); i++) {
        const char *const settings[] = {rungs[i], "LOAM_CONCURRENT=on",
                                        "LOAM_GENERATIONS=off", NULL};
        expect_good(scene_play("lowest", settings), "gone\n");
    }
}

static void the_log_has_a_line_for_each_collection(void **state) {
    (void)state;
    // One beside the program might not end before the program does.
    const char *const one[] = {"LOAM_LOG=gc", "LOAM_HEAP_MIN=64K",
                               "LOAM_CONCURRENT=off", NULL};
    const struct outcome *o = scene_play("words", one);
    expect_good(o, "counted");
    assert_non_null(strstr(o->err, "gc"));
    assert_non_null(strchr(o->err, '\n'));
    size_t length = strlen(o->err);
    assert_true(length > 20 && o->err[length - 1] == '\n');
}

// Reads the report and checks its form line by line.
static void expect_report(const char *path) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[512];
    size_t names = 0;
    size_t types = 0;
    size_t tracks = 0;
    uint64_t last_bytes = UINT64_MAX;
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "loam-report 1\n");
    while (fgets(line, sizeof line, file) != NULL &&
           strcmp(line, "end\n") != 0) {
        uint64_t n[4];
        char name[256];
        if (sscanf(line,
                   "type %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                   " %255[^\n]",
                   &n[0], &n[1], &n[2], &n[3], name) == 5) {
            assert_true(n[1] <= last_bytes);
            last_bytes = n[1];
            types++;
        } else if (strncmp(line, "track ", 6) == 0) {
            assert_int_equal(sscanf(line, "track %255s %255s", name, name), 2);
            tracks++;
        } else {
            assert_int_equal(sscanf(line, "%255s %" SCNu64, name, n), 2);
            names++;
        }
    }
    assert_string_equal(line, "end\n");
    assert_null(fgets(line, sizeof line, file));
    assert_int_equal(names, sizeof(struct loam_stats) / 8 + 1);
    assert_true(types >= 3);
    assert_int_equal(tracks, 1);
    fclose(file);
}

static void the_report_is_complete(void **state) {
    (void)state;
    char path[] = "/tmp/loam-report-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    char setting[64];
    snprintf(setting, sizeof setting, "LOAM_REPORT=%s", path);
    const char *const one[] = {setting, NULL};
    expect_good(scene_play("words", one), "counted");
    expect_report(path);
    unlink(path);
}

static void a_report_that_cannot_be_written_is_named(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_REPORT=/nowhere/at/all", NULL};
    const struct outcome *o = scene_play("words", one);
    expect_good(o, "counted");
    assert_non_null(strstr(o->err, "/nowhere/at/all"));
}

static void a_limited_address_space_is_enough(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // Their shadow memory alone needs terabytes of addresses.
    }
    const size_t limits[] = {128 * MIB, 512 * MIB, 4096 * MIB};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const struct outcome *o = scene_play_limited("words", NULL, limits[i]);
        expect_good(o, "counted");
        o = scene_play_limited("refused", NULL, limits[i]);
        expect_good(o, "refused ");
    }
}

static void a_full_address_space_gives_null(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // Their shadow memory alone needs terabytes of addresses.
    }
    const struct outcome *o = scene_play_limited("full", NULL, 256 * MIB);
    assert_int_equal(o->exit_code, 0);
    size_t count = strtoul(o->out, NULL, 10);
    assert_in_range(count, 100, 1024);
    assert_true(strstr(o->out, "no memory") != NULL ||
                strstr(o->out, "heap full") != NULL);
}

static void the_heap_can_be_shut_down(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_MARKERS=4", NULL};
    expect_good(scene_play("shutdown", one), "shut down");
}

static void a_program_may_end_while_its_threads_allocate(void **state) {
    (void)state;
    const char *const reporting[] = {"LOAM_REPORT=/dev/null", NULL};
    for (size_t i = 0; i < 10; i++) {
        const struct outcome *o =
            scene_play("leave_amid_threads", i % 2 == 0 ? NULL : reporting);
        expect_good(o, "leaving\nat exit\n");
    }
}

static void more_than_the_machine_has_gives_null(void **state) {
    (void)state;
    const char *const one[] = {"LOAM_RESERVE=1G", NULL};
    const struct outcome *o = scene_play("large", one);
    assert_int_equal(o->exit_code, 0);
    assert_null(strstr(o->out, "got it"));
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_typical_program_works_under_every_setting),
        cmocka_unit_test(a_collection_at_every_slow_allocation_is_survived),
        cmocka_unit_test(a_heap_that_cannot_be_set_up_takes_no_addresses),
        cmocka_unit_test(refused_requests_to_the_system_are_survived),
        cmocka_unit_test(sizes_are_read_with_their_suffixes),
        cmocka_unit_test(as_many_threads_mark_as_are_asked_for),
        cmocka_unit_test(the_maximum_is_respected_and_explained),
        cmocka_unit_test(a_nonsense_setting_is_named_and_passed_over),
        cmocka_unit_test(the_pause_target_is_read_with_its_unit),
        cmocka_unit_test(write_tracking_says_what_it_uses_and_why),
        cmocka_unit_test(the_log_has_a_line_for_each_collection),
        cmocka_unit_test(the_report_is_complete),
        cmocka_unit_test(a_report_that_cannot_be_written_is_named),
        cmocka_unit_test(a_limited_address_space_is_enough),
        cmocka_unit_test(a_full_address_space_gives_null),
        cmocka_unit_test(the_heap_can_be_shut_down),
        cmocka_unit_test(tracking_keeps_nothing_alive),
        cmocka_unit_test(a_program_may_end_while_its_threads_allocate),
        cmocka_unit_test(more_than_the_machine_has_gives_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
