// SPDX-License-Identifier: MIT
// cgroup_test.c: os/cgroup.h, os/pressure.h and collect/limit.h in made-up
// systems: a folder each, with a proc and a sys of its own.

#include "os/cgroup.h"

#include "base/settings.h"
#include "collect/limit.h"
#include "os/memory.h"
#include "os/pressure.h"
#include "support/framework.h"
#include "support/survivors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static char root[64];

static int tree_begin(void **state) {
    (void)state;
    strcpy(root, "/tmp/loam_cgroup_XXXXXX");
    return mkdtemp(root) == NULL;
}

static int tree_end(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command); // NOLINT(cert-env33-c): a test's own folder
}

// Writes a file, and makes the folders that it lies in.
static void put(const char *path, const char *text) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *at = whole + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(whole, 0700);
        *at = '/';
    }
    FILE *file = fopen(whole, "w");
    must(file != NULL);
    fputs(text, file);
    fclose(file);
}

static void forget(const char *path) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    must(unlink(whole) == 0);
}

static struct lm_cgroup group;

static void look(void) {
    lm_cgroup_read(root, &group);
}

static void expect(size_t max, size_t high, const char *why) {
    look();
    assert_int_equal(group.max, max);
    assert_int_equal(group.high, high);
    if (strstr(group.why, why) == NULL) {
        print_message("%s\n", group.why);
    }
    assert_non_null(strstr(group.why, why));
}

// ---- Groups --------------------------------------------------------------------

static void without_proc_nothing_is_known_and_that_is_said(void **state) {
    (void)state;
    expect(SIZE_MAX, SIZE_MAX, "/proc/self/cgroup cannot be read");
    assert_int_equal(group.version, LM_CGROUP_NONE);
    assert_string_equal(group.folder, "");
}

static void the_smallest_limit_of_all_groups_above_counts(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/kube/pod/app\n");
    put("/sys/fs/cgroup/kube/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/kube/memory.high", "max\n");
    put("/sys/fs/cgroup/kube/pod/memory.max", "268435456\n");
    put("/sys/fs/cgroup/kube/pod/memory.high", "max\n");
    put("/sys/fs/cgroup/kube/pod/app/memory.max", "max\n");
    put("/sys/fs/cgroup/kube/pod/app/memory.high", "536870912\n");
    expect(256 * MIB, 512 * MIB, "limit 256.0M (memory.max)");
    assert_int_equal(group.version, LM_CGROUP_V2);
    put("/sys/fs/cgroup/kube/memory.high", "134217728\n");
    expect(256 * MIB, 128 * MIB, "limit 128.0M (memory.high)");
}

static void a_group_without_limits_has_none(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/free\n");
    put("/sys/fs/cgroup/free/memory.max", "max\n");
    put("/sys/fs/cgroup/free/memory.high", "max\n");
    expect(SIZE_MAX, SIZE_MAX, "no limit is set");
}

static void a_group_without_the_controller_is_told_apart(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/plain\n");
    put("/sys/fs/cgroup/plain/cpu.max", "max 100000\n");
    expect(SIZE_MAX, SIZE_MAX, "no limit can be read");
    put("/proc/self/cgroup", "0::/\n");
    expect(SIZE_MAX, SIZE_MAX, "no limit can be read");
}

static void what_makes_no_sense_is_passed_over_and_reported(void **state) {
    (void)state;
    const char *const strange[] = {"", "\n", "many\n", "12x\n", "-1\n", "0\n"};
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/memory.max", "67108864\n");
    for (size_t i = 0; i < COUNT_OF(strange); i++) {
        put("/sys/fs/cgroup/a/b/memory.max", strange[i]);
        expect(64 * MIB, SIZE_MAX, "a limit that makes no sense");
    }
    put("/sys/fs/cgroup/a/b/memory.max", "99999999999999999999999999\n");
    expect(64 * MIB, SIZE_MAX, "limit 64.0M (memory.max)");
}

static void a_group_that_has_gone_leaves_those_above(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a/gone\n");
    put("/sys/fs/cgroup/a/memory.max", "67108864\n");
    expect(64 * MIB, SIZE_MAX, "64.0M");
}

static void strange_lines_name_no_group(void **state) {
    (void)state;
    put("/proc/self/cgroup",
        "\n:\n0:\nrubbish\n7:cpu,cpuacct:/x\n0::relative\n");
    expect(SIZE_MAX, SIZE_MAX, "names none for memory");
    assert_int_equal(group.version, LM_CGROUP_NONE);
}

static void a_container_that_sees_itself_as_the_root_is_read(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/docker/abc/inner\n");
    put("/proc/self/mountinfo",
        "22 1 0:20 / /proc rw - proc proc rw\n"
        "30 22 0:26 /docker/abc /cg ro,nosuid shared:4 - cgroup2 cgroup rw\n");
    put("/cg/memory.max", "134217728\n");
    put("/cg/inner/memory.max", "max\n");
    expect(128 * MIB, SIZE_MAX, "128.0M");
    // From within a namespace of its own, of a group outside of it.
    put("/proc/self/cgroup", "0::/../other\n");
    expect(128 * MIB, SIZE_MAX, "128.0M");
}

static void version_one_is_read_where_it_has_the_memory(void **state) {
    (void)state;
    put("/proc/self/cgroup",
        "9:name=systemd:/\n4:cpu,memory:/box/a\n0::/elsewhere\n");
    put("/proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpuset\n"
        "35 31 0:35 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,cpu,memory\n");
    put("/sys/fs/cgroup/mem/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/mem/box/a/memory.limit_in_bytes", "33554432\n");
    put("/sys/fs/cgroup/mem/box/a/memory.max", "1048576\n");
    expect(32 * MIB, SIZE_MAX,
           "cgroup version 1, group /box/a: limit 32.0M "
           "(memory.limit_in_bytes)");
    put("/sys/fs/cgroup/mem/box/a/memory.limit_in_bytes",
        "9223372036854771712\n");
    expect(SIZE_MAX, SIZE_MAX, "no limit is set");
}

static void a_path_that_is_too_long_does_no_harm(void **state) {
    (void)state;
    char line[3000] = "0::/";
    memset(line + 4, 'x', sizeof line - 5);
    line[sizeof line - 1] = '\0';
    put("/proc/self/cgroup", line);
    expect(SIZE_MAX, SIZE_MAX, "no");
    // As much as fits a line, but not with the mount before it.
    line[LM_CGROUP_PATH + 1] = '\0';
    put("/proc/self/cgroup", line);
    expect(SIZE_MAX, SIZE_MAX, "too long");
    assert_string_equal(group.folder, "");
}

// ---- Pressure ------------------------------------------------------------------

static void pressure_is_that_of_the_group_or_else_of_the_system(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/proc/pressure/memory",
        "some avg10=7.99 avg60=0.00 avg300=0.00 total=1\n"
        "full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n");
    look();
    lm_pressure_open(root, group.folder);
    assert_int_equal(lm_pressure_percent(), 7);
    put("/sys/fs/cgroup/a/memory.pressure",
        "some avg10=42.50 avg60=0.00 avg300=0.00 total=1\n");
    lm_pressure_open(root, group.folder);
    assert_int_equal(lm_pressure_percent(), 42);
    assert_non_null(strstr(lm_pressure_reason(), "/a/memory.pressure"));
    forget("/sys/fs/cgroup/a/memory.pressure");
    assert_int_equal(lm_pressure_percent(), -1);
}

static void pressure_that_cannot_be_read_is_reported(void **state) {
    (void)state;
    const char *const strange[] = {"", "some\n", "some avg10=\n",
                                   "full avg10=1.00\n", "some avg10=1234.0\n"};
    lm_pressure_open(root, "");
    assert_int_equal(lm_pressure_percent(), -1);
    assert_non_null(strstr(lm_pressure_reason(), "cannot be read"));
    for (size_t i = 0; i < COUNT_OF(strange); i++) {
        put("/proc/pressure/memory", strange[i]);
        lm_pressure_open(root, "");
        assert_int_equal(lm_pressure_percent(), -1);
    }
}

static void who_watches_pressure_sees_it_change(void **state) {
    (void)state;
    put("/proc/pressure/memory", "some avg10=7.00 avg60=0.00\n");
    lm_pressure_open(root, "");
    int free_number = dup(0);
    close(free_number);
    assert_int_equal(lm_pressure_watch(), 7);
    put("/proc/pressure/memory", "some avg10=42.00 avg60=0.00\n");
    assert_int_equal(lm_pressure_watch(), 42);
    // One descriptor, up high; and another one if the program closes that.
    assert_int_equal(dup(0), free_number);
    close(free_number);
    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
    assert_int_equal(lm_pressure_watch(), 42);
    lm_pressure_open(root, "");
}

// ---- What follows from it ------------------------------------------------------

static void limits_begin(void) {
    lm_settings.heap_max_share = (struct lm_share){0};
    lm_settings.soft_limit_share = (struct lm_share){0};
    lm_settings.container = LM_AUTO;
    lm_limit_init(root);
}

static void a_container_sets_the_limits_unless_told_otherwise(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "536870912\n"); // 512 MiB
    limits_begin();
    size_t tenth = 512 * MIB / 10;
    assert_int_equal(lm_settings.heap_max, 512 * MIB - tenth);
    assert_int_equal(lm_settings.soft_limit, 512 * MIB - 2 * tenth);
    assert_int_equal(lm_limit_available(), 512 * MIB);
    assert_true(lm_limit_is_container());
    lm_limit_set(&(struct lm_share){.percent = 50, .is_set = true}, NULL,
                 LM_ON);
    assert_int_equal(lm_settings.heap_max, 512 * MIB / 100 * 50);
    assert_false(lm_limit_is_container());
    lm_limit_set(&(struct lm_share){.bytes = 0, .is_set = true},
                 &(struct lm_share){.bytes = MIB, .is_set = true}, LM_ON);
    assert_int_equal(lm_settings.heap_max, 0);
    assert_int_equal(lm_settings.soft_limit, MIB);
}

static void a_container_that_is_switched_off_sets_nothing(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "536870912\n");
    limits_begin();
    lm_limit_set(NULL, NULL, LM_OFF);
    assert_int_equal(lm_settings.heap_max, 0);
    assert_int_equal(lm_settings.soft_limit, 0);
    assert_int_equal(lm_limit_available(), lm_memory_physical());
    lm_limit_set(NULL, NULL, LM_AUTO);
    assert_int_not_equal(lm_settings.heap_max, 0);
}

static void memory_high_alone_gives_a_soft_limit_only(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.high", "1073741824\n");
    limits_begin();
    assert_int_equal(lm_settings.heap_max, 0);
    assert_in_range(lm_settings.soft_limit, 800 * MIB, 850 * MIB);
}

static void a_small_container_keeps_most_of_its_memory(void **state) {
    (void)state;
    assert_int_equal(lm_limit_headroom(32 * MIB), 8 * MIB);
    assert_int_equal(lm_limit_headroom(64 * MIB), 16 * MIB);
    assert_int_equal(lm_limit_headroom(100 * MIB), 16 * MIB);
    assert_int_equal(lm_limit_headroom(1000 * MIB), 100 * MIB);
}

#define TREE(test) cmocka_unit_test_setup_teardown(test, tree_begin, tree_end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TREE(without_proc_nothing_is_known_and_that_is_said),
        TREE(the_smallest_limit_of_all_groups_above_counts),
        TREE(a_group_without_limits_has_none),
        TREE(a_group_without_the_controller_is_told_apart),
        TREE(what_makes_no_sense_is_passed_over_and_reported),
        TREE(a_group_that_has_gone_leaves_those_above),
        TREE(strange_lines_name_no_group),
        TREE(a_container_that_sees_itself_as_the_root_is_read),
        TREE(version_one_is_read_where_it_has_the_memory),
        TREE(a_path_that_is_too_long_does_no_harm),
        TREE(pressure_is_that_of_the_group_or_else_of_the_system),
        TREE(pressure_that_cannot_be_read_is_reported),
        TREE(who_watches_pressure_sees_it_change),
        TREE(a_container_sets_the_limits_unless_told_otherwise),
        TREE(a_container_that_is_switched_off_sets_nothing),
        TREE(memory_high_alone_gives_a_soft_limit_only),
        TREE(a_small_container_keeps_most_of_its_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
