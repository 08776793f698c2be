// SPDX-License-Identifier: MIT
// track_test.c: the rungs of write tracking, above all the one of protected
// pages and faults, and what of SIGSEGV is left to the program there.

#include "os/track.h"

#include <errno.h>
#include <loam.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/dirty.h"
#include "heap/space.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

#define PAGES 64
#define PAGE_WORDS (LM_PAGE_BYTES / sizeof(uintptr_t))

typedef uintptr_t page[PAGE_WORDS];

// PAGES whole pages of an object, armed.
static page *armed_pages(void) {
    page *pages = loam_alloc(PAGES * LM_PAGE_BYTES);
    must(pages != NULL && (uintptr_t)pages % LM_PAGE_BYTES == 0);
    must(lm_dirty_open());
    must(lm_track_arm((uintptr_t)pages, (uintptr_t)(pages + PAGES)));
    return pages;
}

// The written ones of 64 pages, a bit each.
static uint64_t written_pages(page *pages) {
    struct lm_track_scan scan;
    uintptr_t start, end;
    uint64_t bits = 0;
    lm_track_scan_begin(&scan, (uintptr_t)pages, (uintptr_t)(pages + PAGES), 0);
    while (lm_track_scan_next(&scan, &start, &end)) {
        for (uintptr_t at = start; at < end; at += LM_PAGE_BYTES) {
            bits |= (uint64_t)1 << ((at - (uintptr_t)pages) >> LM_PAGE_SHIFT);
        }
    }
    return bits;
}

// ---- Scenes: each runs in a process of its own ------------------------------

static void scene_stores(void) {
    page *pages = armed_pages();
    must(written_pages(pages) == 0);
    pages[3][7] = 1;
    pages[60][0] = 1;
    must(written_pages(pages) == ((uint64_t)1 << 60 | 1 << 3));
    must(pages[3][7] == 1 && pages[60][0] == 1);
    lm_track_arm((uintptr_t)pages, (uintptr_t)(pages + PAGES));
    must(written_pages(pages) == 0);
    pages[3][7]++;
    must(written_pages(pages) == 1 << 3);
    lm_track_disarm((uintptr_t)pages, (uintptr_t)(pages + PAGES));
    must(written_pages(pages) == UINT64_MAX);
    puts(lm_track_name(lm_track_rung()));
}

// How many of some pages count as written; from step 1 on they are armed.
static size_t count_written(page *pages, size_t count, size_t step) {
    struct lm_track_scan scan;
    uintptr_t start, end;
    size_t written = 0;
    lm_track_scan_begin(&scan, (uintptr_t)pages, (uintptr_t)(pages + count),
                        step);
    while (lm_track_scan_next(&scan, &start, &end)) {
        written += (end - start) >> LM_PAGE_SHIFT;
    }
    return written;
}

#define MANY_PAGES ((size_t)2048) // 8 MiB
#define MIDDLE_PAGE ((size_t)1024)

// What disarms has to find all that may be armed, however little of it, and need
// not look anywhere else.
static void scene_disarm(void) {
    page *pages = loam_alloc(MANY_PAGES * LM_PAGE_BYTES);
    uintptr_t start = (uintptr_t)pages;
    uintptr_t end = (uintptr_t)(pages + MANY_PAGES);
    must(pages != NULL && lm_dirty_open());
    for (size_t i = 0; i < MANY_PAGES; i++) {
        pages[i][0] = i;
    }
    lm_track_disarm(start, end); // nothing is armed yet
    must(count_written(pages, MANY_PAGES, 0) == MANY_PAGES);
    lm_track_arm((uintptr_t)(pages + MIDDLE_PAGE),
                 (uintptr_t)(pages + MIDDLE_PAGE + 1));
    must(count_written(pages, MANY_PAGES, 0) == MANY_PAGES - 1);
    lm_track_disarm(start + LM_PAGE_BYTES, end - LM_PAGE_BYTES);
    must(count_written(pages, MANY_PAGES, 0) == MANY_PAGES);
    for (int i = 0; i < 3; i++) {
        must(count_written(pages, MANY_PAGES, 64) == MANY_PAGES);
        must(count_written(pages, MANY_PAGES, 0) == 0);
        pages[MIDDLE_PAGE][1]++;
        lm_track_disarm(start, (uintptr_t)(pages + MIDDLE_PAGE));
        must(count_written(pages, MANY_PAGES, 0) == MIDDLE_PAGE + 1);
        lm_track_disarm_all(start, end);
        must(count_written(pages, MANY_PAGES, 0) == MANY_PAGES);
        lm_track_disarm(start, end);
        lm_track_disarm_all(start, end); // again, and nothing is
        must(count_written(pages, MANY_PAGES, 0) == MANY_PAGES);
    }
    puts(lm_track_name(lm_track_rung()));
}

static volatile sig_atomic_t handled;
static void *volatile handled_at;
static sigjmp_buf after_fault;
static page *handler_pages;

static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)context;
    must(signal == SIGSEGV);
    handled++;
    handled_at = info->si_addr;
    if (handler_pages) {
        handler_pages[5][0] = 1; // armed, too
    }
    siglongjmp(after_fault, 1);
}

// A fault that is none of ours, with a handler of the program's.
static void fault_and_return(void *at) {
    int before = handled;
    if (sigsetjmp(after_fault, 1) == 0) {
        *(volatile char *)at = 1;
        must(!"there was a fault");
    }
    must(handled == before + 1 && handled_at == at);
}

static void handle_faults(void) {
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigaction shown;
    must(sigaction(SIGSEGV, NULL, &shown) == 0 && shown.sa_handler == SIG_DFL);
    must(sigaction(SIGSEGV, &action, &shown) == 0);
    must(shown.sa_handler == SIG_DFL);
    must(sigaction(SIGSEGV, NULL, &shown) == 0);
    must(shown.sa_sigaction == on_fault);
    must(shown.sa_flags == (SA_SIGINFO | SA_RESTART));
}

static void scene_handler(void) {
    page *pages = armed_pages();
    char *none = mmap(NULL, LM_PAGE_BYTES, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle_faults();
    pages[1][0] = 1;
    must(handled == 0 && written_pages(pages) == 1 << 1);
    fault_and_return(none + 16);
    handler_pages = pages;
    fault_and_return(none + 32);
    must(written_pages(pages) == (1 << 5 | 1 << 1));
    pages[2][0] = 1;
    must(handled == 2);
    // A page of the heap that nobody has armed or may write.
    fault_and_return((char *)lm_space.base + lm_space.reserved_bytes - 64);
    signal(SIGSEGV, SIG_DFL);
    pages[9][0] = 1; // still tracked
    must(written_pages(pages) >> 9 == 1);
    puts("handled");
}

static void scene_own_fault(void) {
    page *pages = armed_pages();
    pages[0][0] = 1;
    puts("so far");
    fflush(stdout);
    char *volatile nowhere = (char *)16; // NOLINT
    *nowhere = 1;
    puts("survived");
}

static void scene_call(void) {
    // Code in the heap cannot be run; that must not go round for ever.
    page *pages = armed_pages();
    void (*fn)(void);
    memcpy(&fn, &pages, sizeof fn);
    fn();
}

static void scene_sent(void) {
    page *pages = armed_pages();
    signal(SIGSEGV, SIG_IGN);
    must(raise(SIGSEGV) == 0);
    pages[0][0] = 1;
    must(written_pages(pages) == 1);
    puts("ignored");
    fflush(stdout);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    puts("survived");
}

static void *store_while_blocking(void *argument) {
    page *pages = argument;
    sigset_t all, mine;
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
    must(pthread_sigmask(SIG_SETMASK, NULL, &mine) == 0);
    must(sigismember(&mine, SIGTERM) == 1);
    pages[2][0] = 1;
    return NULL;
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
    (void)signal;
    handler_pages[4][0] = 1;
    alarms++;
}

static void scene_blocked(void) {
    page *pages = armed_pages();
    pthread_t thread;
    must(pthread_create(&thread, NULL, store_while_blocking, pages) == 0);
    must(pthread_join(thread, NULL) == 0);
    struct sigaction action = {.sa_handler = on_alarm};
    sigfillset(&action.sa_mask);
    must(sigaction(SIGUSR1, &action, NULL) == 0);
    handler_pages = pages;
    raise(SIGUSR1);
    must(alarms == 1 && written_pages(pages) == (1 << 4 | 1 << 2));
    puts("stored");
}

#define WRITERS 4
static page *shared_pages;
static volatile bool writers_end;

static void *write_shared(void *argument) {
    size_t slot = (uintptr_t)argument;
    uintptr_t n = 0;
    while (!writers_end) {
        for (size_t p = 0; p < PAGES; p++) {
            shared_pages[p][slot] = ++n; // nobody else writes there
            must(shared_pages[p][slot] == n);
        }
    }
    return NULL;
}

// Pages are armed again and again while all threads store to each of them. What
// has changed in the end since the last time is on pages that count as written.
static void scene_threads(void) {
    static page copy[PAGES];
    pthread_t threads[WRITERS];
    shared_pages = armed_pages();
    for (size_t round = 0; round < place_scaled(30); round++) {
        writers_end = false;
        for (size_t i = 0; i < WRITERS; i++) {
            must(pthread_create(&threads[i], NULL, write_shared,
                                (void *)i) == 0); // NOLINT
        }
        for (size_t i = 0; i < 20; i++) {
            if (i % 5 == 4) {
                loam_collect(); // stops threads in the middle of faults
            }
            lm_track_arm((uintptr_t)shared_pages,
                         (uintptr_t)(shared_pages + PAGES));
            memcpy(copy, shared_pages, sizeof copy);
        }
        writers_end = true;
        for (size_t i = 0; i < WRITERS; i++) {
            must(pthread_join(threads[i], NULL) == 0);
        }
        uint64_t written = written_pages(shared_pages);
        for (size_t p = 0; p < PAGES; p++) {
            must(memcmp(copy[p], shared_pages[p], sizeof copy[p]) == 0 ||
                 (written >> p & 1));
        }
    }
    puts("nothing missed");
}

static void scene_fork(void) {
    page *pages = armed_pages();
    pages[7][0] = 1;
    int pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        must(written_pages(pages) == UINT64_MAX);
        for (size_t i = 0; i < PAGES; i++) {
            pages[i][1] = i;
        }
        must(lm_track_arm((uintptr_t)pages, (uintptr_t)(pages + PAGES)));
        pages[9][0] = 1;
        must(written_pages(pages) == 1 << 9);
        loam_collect();
        _exit(0);
    }
    must(child_wait(pid) == 0);
    must(written_pages(pages) == 1 << 7);
    puts("both");
}

static size_t mappings_max(void) {
    size_t count = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    must(file != NULL && fscanf(file, "%zu", &count) == 1);
    fclose(file);
    return count;
}

static void scene_mappings(void) {
    size_t max = mappings_max();
    if (max > 100000) {
        puts("too many"); // than worth the time
        return;
    }
    size_t count = 2 * max + 100;
    page *pages = loam_alloc_leaf(count * LM_PAGE_BYTES);
    must(pages != NULL && lm_dirty_open());
    size_t i = 0;
    while (i < count &&
           lm_track_arm((uintptr_t)&pages[i], (uintptr_t)&pages[i + 1])) {
        i += 2;
    }
    must(i < count); // the system has refused
    // Each store would split a mapping, and there is none left.
    must(lm_track_arm((uintptr_t)&pages[0], (uintptr_t)&pages[3]));
    for (size_t k = 0; k < 100; k++) {
        pages[1 + 2 * k][0] = k;
        pages[2 * k][0] = k;
    }
    for (size_t k = 0; k < 100; k++) {
        must(pages[2 * k][0] == k);
    }
    puts("no mapping left");
}

// Memory that was armed and is leaf memory now.
static void scene_leaf(void) {
    int ends[2];
    page *pages = armed_pages();
    must(pipe(ends) == 0 && write(ends[1], "four", 4) == 4);
    must(read(ends[0], pages, 4) == -1 && errno == EFAULT);
    loam_free(pages);
    char *leaf = loam_alloc_leaf(PAGES * LM_PAGE_BYTES);
    must((page *)leaf == pages); // the same place, or the test is void
    must(read(ends[0], leaf, 4) == 4 && memcmp(leaf, "four", 4) == 0);
    puts("read");
}

static const struct scene scenes[] = {
    {"stores", scene_stores},   {"disarm", scene_disarm},
    {"handler", scene_handler}, {"own_fault", scene_own_fault},
    {"call", scene_call},       {"sent", scene_sent},
    {"blocked", scene_blocked}, {"threads", scene_threads},
    {"fork", scene_fork},       {"mappings", scene_mappings},
    {"leaf", scene_leaf},
};

// ---- Tests ---------------------------------------------------------------------

static const char *const mprotect_rung[] = {"LOAM_TRACK=mprotect", NULL};

static void expect_said(const struct outcome *o, const char *text) {
    if (o->exit_code != 0 || strstr(o->out, text) == NULL) {
        print_message("exit %d, signal %d, out: %s, err: %s\n", o->exit_code,
                      o->signal, o->out, o->err);
    }
    assert_int_equal(o->exit_code, 0);
    assert_non_null(strstr(o->out, text));
}

static void stores_to_armed_pages_are_seen(void **state) {
    (void)state;
    expect_said(scene_play("stores", mprotect_rung), "mprotect");
}

static void the_kernel_sees_stores_too_where_it_can(void **state) {
    (void)state;
    if (!lm_dirty_open() || lm_track_rung() != LM_TRACK_KERNEL) {
        skip();
    }
    expect_said(scene_play("stores", NULL), "kernel");
    expect_said(scene_play("fork", NULL), "both");
}

static void all_that_was_armed_is_disarmed(void **state) {
    (void)state;
    const char *const mprotect_alone[] = {"LOAM_TRACK=mprotect",
                                          "LOAM_CONCURRENT=off",
                                          "LOAM_GENERATIONS=off", NULL};
    const char *const kernel_alone[] = {"LOAM_CONCURRENT=off",
                                        "LOAM_GENERATIONS=off", NULL};
    expect_said(scene_play("disarm", mprotect_alone), "mprotect");
    if (lm_dirty_open() && lm_track_rung() == LM_TRACK_KERNEL) {
        expect_said(scene_play("disarm", kernel_alone), "kernel");
    }
}

static void the_programs_handler_gets_its_own_faults(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // It has a handler of its own for all of them.
    }
    expect_said(scene_play("handler", mprotect_rung), "handled");
}

static void a_fault_that_nobody_handles_ends_the_program(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip();
    }
    const struct outcome *o = scene_play("own_fault", mprotect_rung);
    assert_int_equal(o->signal, SIGSEGV);
    assert_string_equal(o->out, "so far\n");
    assert_int_equal(scene_play("call", mprotect_rung)->signal, SIGSEGV);
}

static void a_sent_segv_does_what_the_program_said(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip();
    }
    const struct outcome *o = scene_play("sent", mprotect_rung);
    assert_int_equal(o->signal, SIGSEGV);
    assert_string_equal(o->out, "ignored\n");
}

static void a_thread_that_blocks_all_signals_may_store(void **state) {
    (void)state;
    if (place_has_asan()) {
        skip(); // Its pthread_sigmask comes before that of a static library.
    }
    expect_said(scene_play("blocked", mprotect_rung), "stored");
}

static void many_threads_may_fault_on_one_page(void **state) {
    (void)state;
    expect_said(scene_play("threads", mprotect_rung), "nothing missed");
}

static void in_a_forked_child_all_counts_as_written(void **state) {
    (void)state;
    expect_said(scene_play("fork", mprotect_rung), "both");
}

static void stores_work_when_the_system_has_no_mapping_left(void **state) {
    (void)state;
    const struct outcome *o = scene_play("mappings", mprotect_rung);
    if (o->exit_code == 0 && strstr(o->out, "too many")) {
        skip();
    }
    expect_said(o, "no mapping left");
}

static void a_system_call_can_write_to_leaf_memory(void **state) {
    (void)state;
    expect_said(scene_play("leaf", mprotect_rung), "read");
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_to_armed_pages_are_seen),
        cmocka_unit_test(the_kernel_sees_stores_too_where_it_can),
        cmocka_unit_test(all_that_was_armed_is_disarmed),
        cmocka_unit_test(the_programs_handler_gets_its_own_faults),
        cmocka_unit_test(a_fault_that_nobody_handles_ends_the_program),
        cmocka_unit_test(a_sent_segv_does_what_the_program_said),
        cmocka_unit_test(a_thread_that_blocks_all_signals_may_store),
        cmocka_unit_test(many_threads_may_fault_on_one_page),
        cmocka_unit_test(in_a_forked_child_all_counts_as_written),
        cmocka_unit_test(stores_work_when_the_system_has_no_mapping_left),
        cmocka_unit_test(a_system_call_can_write_to_leaf_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
