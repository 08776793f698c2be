// SPDX-License-Identifier: MIT
// log.c: figures as lines of text.

#include "see/log.h"

#include "base/check.h"
#include "base/format.h"
#include "os/clock.h"
#include "os/memory.h"
#include "os/track.h"
#include "see/pauses.h"
#include "see/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

// What there is to say of how it ended.
static const char *log_end(enum lm_cycle_end end) {
    static const char *const texts[] = {
        "", ", ended in one stop: a thread waited for it",
        ", ended in one stop: stalled by what was written meanwhile",
        ", in one stop: marking beside the program failed"};
    return texts[end];
}

void lm_log_cycle(const struct lm_cycle_event *e) {
    if (!lm_settings.log_gc) {
        return;
    }
    uint64_t process = lm_clock_process_ns();
    uint64_t share = process ? e->cpu_ns * 100000 / process : 0;
    lm_print(
        2,
        "loam gc %zu %s (%s): heap %B -> %B, live %B in %zu objects, "
        "pause %F ms x%u (stop %F), mark %F ms x%u, dirty %zu, cpu %F %%%s\n",
        (size_t)e->number, lm_cycle_kind_name(e->kind), lm_cause_name(e->cause),
        e->heap_before_bytes, e->heap_after_bytes, e->live_bytes, e->live_count,
        e->pause_ns / 1000, e->pause_count, e->stop_ns / 1000,
        e->mark_ns / 1000, e->markers, e->dirty_pages, share, log_end(e->end));
}

void lm_log_compact(const struct lm_compact_event *e) {
    if (!lm_settings.log_gc) {
        return;
    }
    lm_print(2,
             "loam compact %zu%s: %B in %zu objects moved, %zu of %zu blocks "
             "emptied, pause %F ms x%u, in %F ms\n",
             (size_t)e->number, e->is_abandoned ? " (left off)" : "",
             e->moved_bytes, e->moved_count, e->emptied, e->sources,
             e->pause_ns / 1000, e->stops, e->ns / 1000);
}

// ---- The report ----------------------------------------------------------------

// The figures by name, in the order of struct loam_stats.
static const struct {
    const char *name;
    size_t offset;
} report_fields[] = {
#define FIELD(name)                                                            \
    { #name, offsetof(struct loam_stats, name) }
    FIELD(collection_count),
    FIELD(allocated_bytes),
    FIELD(allocated_count),
    FIELD(freed_bytes),
    FIELD(heap_bytes),
    FIELD(heap_peak_bytes),
    FIELD(live_bytes),
    FIELD(live_count),
    FIELD(committed_bytes),
    FIELD(returned_bytes),
    FIELD(heap_max_bytes),
    FIELD(next_collection_bytes),
    FIELD(pause_total_ns),
    FIELD(pause_last_ns),
    FIELD(pause_max_ns),
    FIELD(pause_median_ns),
    FIELD(pause_p99_ns),
    FIELD(stop_max_ns),
    FIELD(collector_cpu_ns),
    FIELD(process_cpu_ns),
    FIELD(thread_count),
    FIELD(marker_count),
    FIELD(type_count),
    FIELD(full_count),
    FIELD(minor_count),
    FIELD(concurrent_count),
    FIELD(full_pause_max_ns),
    FIELD(minor_pause_max_ns),
    FIELD(concurrent_pause_max_ns),
    FIELD(given_up_count),
    FIELD(dirty_page_count),
    FIELD(compaction_count),
    FIELD(moved_count),
    FIELD(moved_bytes),
    FIELD(compaction_pause_max_ns),
    FIELD(soft_limit_bytes),
    FIELD(own_bytes),
#undef FIELD
};

#define REPORT_FIELDS (sizeof report_fields / sizeof *report_fields)
_Static_assert(REPORT_FIELDS * sizeof(uint64_t) == sizeof(struct loam_stats),
               "the report has every figure");

static void report_track(int fd) {
    enum lm_track_rung rung = lm_track_rung();
    if (rung == LM_TRACK_AUTO) {
        lm_print(fd, "track unused no collection has asked for it\n");
    } else {
        lm_print(fd, "track %s %s\n", lm_track_name(rung), lm_track_reason());
    }
}

// How many types a report has where there is no memory for all of them.
#define REPORT_FEW 16

static void report_entries(int fd, const struct loam_type_stats *types,
                           size_t count) {
    for (size_t i = 0; i < count; i++) {
        lm_print(fd, "type %lu %lu %lu %lu %s\n", types[i].live_count,
                 types[i].live_bytes, types[i].allocated_count,
                 types[i].allocated_bytes, types[i].name);
    }
}

static void report_types(int fd) {
    size_t room = lm_stats_types(NULL, 0) + 16;
    size_t bytes =
        (room * sizeof(struct loam_type_stats) + 4095) & ~(size_t)4095;
    struct loam_type_stats *types = lm_memory_map(bytes);
    size_t count = types ? lm_stats_types(types, room) : 0;
    if (count > 0) {
        report_entries(fd, types, count < room ? count : room);
    } else {
        struct loam_type_stats few[REPORT_FEW];
        report_entries(fd, few, lm_stats_biggest(few, REPORT_FEW));
    }
    lm_memory_release(types, bytes);
}

static int report_open(const char *path, const char *setting) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        lm_print(2,
                 "loam: no report: %s=%s cannot be written: %s\n"
                 "  what to do: name a file in a directory that exists and may "
                 "be written\n",
                 setting, path, strerror(errno));
    }
    return fd;
}

static void report_write(int fd) {
    struct loam_stats stats;
    lm_stats_get(&stats);
    for (size_t i = 0; i < REPORT_FIELDS; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&stats + report_fields[i].offset,
               sizeof value);
        lm_print(fd, "%s %lu\n", report_fields[i].name, value);
    }
    lm_print(fd, "elapsed_ns %lu\n", lm_clock_ns() - lm_clock_start_ns());
    report_track(fd);
    report_types(fd);
    lm_print(fd, "end\n");
    close(fd);
}

bool lm_log_report(const char *path) {
    int fd = report_open(path, "LOAM_REPORT");
    if (fd >= 0) {
        lm_print(fd, "loam-report 1\n");
        report_write(fd);
    }
    return fd >= 0;
}

bool lm_log_dump(const char *path, const char *why) {
    int fd = report_open(path, "LOAM_DUMP_ON_OOM");
    if (fd >= 0) {
        lm_print(fd, "loam-dump 1\nwhy %s\n", why);
        report_write(fd);
    }
    return fd >= 0;
}
