// SPDX-License-Identifier: MIT
// refused_test.c: systems that do not let the collector track writes, or stop
// doing so in the middle.
//
// Each refusal is made in a process of its own, with a filter of system calls or
// a limit, before the program starts there. Then what the log says must name the
// reason, and old objects must keep young ones all the same.

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <loam.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/body.h"
#include "support/framework.h"
#include "support/place.h"
#include "support/scene.h"
#include "support/survivors.h"

// ---- What is refused ---------------------------------------------------------------

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset))
#define SKIP_UNLESS(value, count)                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (count))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))

static bool install(struct sock_filter *code, unsigned short length) {
    struct sock_fprog program = {length, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool refuse_call(unsigned number, unsigned error) {
    struct sock_filter code[] = {
        LOAD(offsetof(struct seccomp_data, nr)),
        SKIP_UNLESS(number, 1),
        ANSWER(SECCOMP_RET_ERRNO | error),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    return install(code, COUNT_OF(code));
}

static bool refuse_ioctl(unsigned request, unsigned error) {
    struct sock_filter code[] = {
        LOAD(offsetof(struct seccomp_data, nr)),
        SKIP_UNLESS(SYS_ioctl, 3),
        LOAD(offsetof(struct seccomp_data, args[1])),
        SKIP_UNLESS(request, 1),
        ANSWER(SECCOMP_RET_ERRNO | error),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    return install(code, COUNT_OF(code));
}

static bool refuse_userfaultfd(void) {
    return refuse_call(SYS_userfaultfd, EPERM);
}

static bool lack_userfaultfd(void) {
    return refuse_call(SYS_userfaultfd, ENOSYS);
}

// As a kernel before 6.7 answers.
static bool lack_asynchronous(void) {
    return refuse_ioctl((unsigned)UFFDIO_API, EINVAL);
}

static bool lack_scan(void) {
    return refuse_ioctl((unsigned)_IOWR('f', 16, uint64_t[12]), ENOTTY);
}

static bool refuse_register(void) {
    return refuse_ioctl((unsigned)UFFDIO_REGISTER, ENOMEM);
}

static bool lack_proc(void) {
    return (unshare(CLONE_NEWNS) == 0 ||
            unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

static bool limit_files(rlim_t count) {
    struct rlimit limit = {count, count};
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static bool leave_one_file(void) {
    return limit_files(4);
}

static bool leave_few_files(void) {
    return limit_files(16);
}

static bool limit_memory(void) {
    struct rlimit limit = {(rlim_t)600 << 20, (rlim_t)600 << 20};
    return setrlimit(RLIMIT_AS, &limit) == 0;
}

// ---- A program with old and young objects ----------------------------------------

#define SLOTS 3000

static struct body **slots; // in the heap, and old

static OWN_FRAME void work_step(struct chance *chance, uint64_t tag) {
    size_t at = chance_below(chance, SLOTS);
    struct body *b = body_new(chance, tag, 2000);
    must(b != NULL);
    b->links[0] = slots[chance_below(chance, SLOTS)];
    if (b->links[0] != NULL) {
        body_check(b->links[0]);
        // An old object that leads to a young one; and no long chains.
        memset(b->links[0]->links, 0, sizeof b->links[0]->links);
        b->links[0]->links[1] = chance_below(chance, 2) ? b : NULL;
    }
    slots[at] = b;
}

static OWN_FRAME void work(size_t steps) {
    struct chance chance = chance_start(17);
    if (slots == NULL) {
        loam_heap_min_set(1);
        loam_growth_set(1);
        slots = loam_alloc(SLOTS * sizeof *slots);
        must(slots != NULL);
    }
    for (size_t i = 0; i < steps; i++) {
        work_step(&chance, i);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i] != NULL) {
            body_walk(&chance, slots[i], 3);
        }
    }
    loam_collect();
    loam_verify();
}

static void scene_work(void) {
    work(place_scaled(8000));
    puts("worked");
}

static void scene_fork(void) {
    work(place_scaled(2000));
    for (size_t i = 0; i < 3; i++) {
        fflush(stdout);
        int child = fork();
        must(child >= 0);
        if (child == 0) {
            work(place_scaled(2000));
            _exit(0);
        }
        work(place_scaled(2000));
        must(child_wait(child) == 0);
    }
    puts("worked");
}

static void close_all(void) {
    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
}

// As daemons do, more than once.
static void scene_close_all(void) {
    for (size_t i = 0; i < 4; i++) {
        work(place_scaled(2000));
        close_all();
    }
    work(place_scaled(2000));
    puts("worked");
}

static bool is_same_file(int fd, const struct stat *expected) {
    struct stat now;
    return fstat(fd, &now) == 0 && now.st_ino == expected->st_ino &&
           now.st_dev == expected->st_dev;
}

// And then opens files of its own, which get the same numbers. They must be left
// alone, and no answer of theirs be taken for one of the kernel's.
static void scene_take_numbers(void) {
    struct stat mine;
    work(place_scaled(2000));
    work(place_scaled(2000)); // The collector has opened all it keeps.
    int file = open("/dev/null", O_RDWR);
    must(file >= 0 && fstat(file, &mine) == 0);
    for (int fd = 3; fd < 1000; fd++) {
        must(fd == file || dup2(file, fd) == fd);
    }
    for (size_t i = 0; i < 3; i++) {
        work(place_scaled(2000));
        for (int fd = 3; fd < 1000; fd++) {
            must(is_same_file(fd, &mine));
        }
    }
    puts("worked");
}

// A program that forbids itself what it does not need, once it runs.
static void scene_late_filter(void) {
    work(place_scaled(2000));
    close_all();
    must(refuse_userfaultfd());
    work(place_scaled(2000));
    puts("worked");
}

static bool limit_files_for_now(rlim_t count) {
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static void scene_shortage(void) {
    struct rlimit limit;
    must(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    work(place_scaled(2000));
    close_all();
    must(limit_files_for_now(3));
    work(place_scaled(2000));
    must(limit_files_for_now(limit.rlim_cur));
    work(place_scaled(2000));
    puts("worked");
}

static const struct scene scenes[] = {
    {"work", scene_work},           {"late_filter", scene_late_filter},
    {"shortage", scene_shortage},   {"fork", scene_fork},
    {"close_all", scene_close_all}, {"take_numbers", scene_take_numbers},
};

// ---- Tests -------------------------------------------------------------------------

static const char *const eager[] = {"LOAM_TRACK=auto", "LOAM_GENERATIONS=on",
                                    "LOAM_CONCURRENT=on", "LOAM_LOG=track",
                                    NULL};

static bool is_outcome(const struct outcome *o, const char *log) {
    if (o->exit_code == 0 && strcmp(o->out, "worked\n") == 0 &&
        strstr(o->err, log) != NULL) {
        return true;
    }
    print_message("exit %d, signal %d, expected: %s, out: %s, err: %s\n",
                  o->exit_code, o->signal, log, o->out, o->err);
    return false;
}

static void expect_after(bool (*prepare)(void), const char *log) {
    static const char *const names[] = {"work", "fork"};
    // A child's threads get stacks that the sanitizer thinks are in use.
    size_t count = place_has_asan() ? 1 : COUNT_OF(names);
    for (size_t i = 0; i < count; i++) {
        const struct outcome *o = scene_play_after(prepare, names[i], eager);
        if (scene_was_refused(o)) {
            print_message("this system does not let us refuse that\n");
            skip();
        }
        assert_true(is_outcome(o, log));
    }
}

// What this machine can do when nothing is refused.
static bool has_kernel_rung(void) {
    const struct outcome *o = scene_play("work", eager);
    assert_true(is_outcome(o, "loam track "));
    return strstr(o->err, "loam track kernel: ") != NULL;
}

static void require_kernel_rung(void) {
    if (!has_kernel_rung()) {
        skip();
    }
}

static void a_filter_that_forbids_userfaultfd_is_named(void **state) {
    (void)state;
    expect_after(refuse_userfaultfd,
                 "loam track none: userfaultfd is refused: Operation not "
                 "permitted\n");
    expect_after(lack_userfaultfd,
                 "loam track none: userfaultfd is refused: Function not "
                 "implemented\n");
}

static void a_kernel_before_6_7_is_named(void **state) {
    (void)state;
    require_kernel_rung();
    expect_after(lack_asynchronous,
                 "loam track none: the kernel has no asynchronous write "
                 "protection (Linux 6.7 has)\n");
    expect_after(lack_scan, "loam track none: PAGEMAP_SCAN is refused: "
                            "Inappropriate ioctl for device\n");
}

static void memory_that_cannot_be_registered_is_named(void **state) {
    (void)state;
    require_kernel_rung();
    expect_after(refuse_register, "loam track none: userfaultfd refuses to "
                                  "register memory: Cannot allocate memory\n");
}

static void a_system_without_proc_is_named(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // They need it themselves.
    }
    require_kernel_rung();
    expect_after(lack_proc, "loam track none: /proc/self/pagemap cannot be "
                            "opened: No such file or directory\n");
}

static void a_lack_of_descriptors_is_named(void **state) {
    (void)state;
    require_kernel_rung();
    expect_after(leave_one_file,
                 "loam track none: /proc/self/pagemap cannot be "
                 "opened: Too many open files\n");
}

static void few_descriptors_are_enough(void **state) {
    (void)state;
    require_kernel_rung();
    expect_after(leave_few_files, "loam track kernel: ");
}

static void a_limit_of_address_space_leaves_the_kernels_rung(void **state) {
    (void)state;
    if (place_has_asan() || place_has_tsan()) {
        skip(); // They take more addresses than that for themselves.
    }
    require_kernel_rung();
    expect_after(limit_memory, "loam track kernel: ");
}

static void a_rung_that_was_turned_off_is_named(void **state) {
    (void)state;
    const char *const settings[] = {"LOAM_TRACK=none", "LOAM_GENERATIONS=on",
                                    "LOAM_CONCURRENT=on", "LOAM_LOG=track",
                                    NULL};
    assert_true(is_outcome(scene_play("work", settings),
                           "loam track none: LOAM_TRACK=none\n"));
}

static void what_was_asked_for_by_name_and_cannot_be_had_is_told(void **state) {
    (void)state;
    const char *const kernel[] = {"LOAM_TRACK=kernel", NULL};
    const char *const on[] = {"LOAM_CONCURRENT=on", NULL};
    const char *const none[] = {"LOAM_TRACK=none", "LOAM_CONCURRENT=on", NULL};
    const struct outcome *o =
        scene_play_after(refuse_userfaultfd, "work", kernel);
    if (scene_was_refused(o)) {
        skip();
    }
    assert_true(is_outcome(o, "loam: LOAM_TRACK=kernel cannot be had: "
                              "userfaultfd is refused: Operation not "
                              "permitted\n"));
    o = scene_play_after(refuse_userfaultfd, "work", on);
    assert_true(is_outcome(o, "loam: write tracking cannot be had: "));
    o = scene_play_after(refuse_userfaultfd, "work", NULL);
    assert_true(is_outcome(o, ""));
    assert_string_equal(o->err, "");
    o = scene_play("work", none);
    assert_string_equal(o->err, "");
}

static void a_rung_that_is_lost_on_the_way_is_named(void **state) {
    (void)state;
    require_kernel_rung();
    const struct outcome *o = scene_play("late_filter", eager);
    assert_true(is_outcome(o, "loam track kernel: "));
    assert_true(is_outcome(o, "loam track none: userfaultfd is refused: "
                              "Operation not permitted\n"));
}

static void a_rung_comes_back_when_it_can_be_had_again(void **state) {
    (void)state;
    require_kernel_rung();
    const struct outcome *o = scene_play("shortage", eager);
    assert_true(is_outcome(o, "loam track none: userfaultfd is refused: Too "
                              "many open files\n"));
    assert_true(is_outcome(o, "loam track kernel: userfaultfd and "
                              "PAGEMAP_SCAN can be had again\n"));
}

static void closed_descriptors_are_opened_anew(void **state) {
    (void)state;
    assert_true(is_outcome(scene_play("close_all", eager), "loam track "));
}

static void descriptors_taken_by_the_program_are_left_alone(void **state) {
    (void)state;
    assert_true(is_outcome(scene_play("take_numbers", eager), "loam track "));
}

int main(int argc, char **argv) {
    scene_main(argc, argv, scenes, COUNT_OF(scenes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_that_forbids_userfaultfd_is_named),
        cmocka_unit_test(a_kernel_before_6_7_is_named),
        cmocka_unit_test(memory_that_cannot_be_registered_is_named),
        cmocka_unit_test(a_system_without_proc_is_named),
        cmocka_unit_test(a_lack_of_descriptors_is_named),
        cmocka_unit_test(few_descriptors_are_enough),
        cmocka_unit_test(a_limit_of_address_space_leaves_the_kernels_rung),
        cmocka_unit_test(a_rung_that_was_turned_off_is_named),
        cmocka_unit_test(what_was_asked_for_by_name_and_cannot_be_had_is_told),
        cmocka_unit_test(a_rung_that_is_lost_on_the_way_is_named),
        cmocka_unit_test(a_rung_comes_back_when_it_can_be_had_again),
        cmocka_unit_test(closed_descriptors_are_opened_anew),
        cmocka_unit_test(descriptors_taken_by_the_program_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
