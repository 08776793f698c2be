// SPDX-License-Identifier: MIT
// report.c: reads the file that a program writes at its end.
//
//     loam-report 1
//     collection_count 14
//     ...                     a figure a line, named as in struct loam_stats
//     track kernel userfaultfd ...
//                             how written pages are known, and why
//     type 7 336 9 432 struct word
//     ...                     live objects and bytes, allocated objects and bytes
//     end
//
// Without the last line the program or the disk stopped in the middle of it,
// and nothing is believed.

#define _POSIX_C_SOURCE 200809L

#include "report.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_FIGURE(name)                                                    \
    { #name, offsetof(struct report, stats.name) }

static const struct {
    const char *name;
    size_t offset_bytes;
} report_figures[] = {
    REPORT_FIGURE(collection_count),
    REPORT_FIGURE(allocated_bytes),
    REPORT_FIGURE(allocated_count),
    REPORT_FIGURE(freed_bytes),
    REPORT_FIGURE(heap_bytes),
    REPORT_FIGURE(heap_peak_bytes),
    REPORT_FIGURE(live_bytes),
    REPORT_FIGURE(live_count),
    REPORT_FIGURE(committed_bytes),
    REPORT_FIGURE(returned_bytes),
    REPORT_FIGURE(heap_max_bytes),
    REPORT_FIGURE(next_collection_bytes),
    REPORT_FIGURE(pause_total_ns),
    REPORT_FIGURE(pause_last_ns),
    REPORT_FIGURE(pause_max_ns),
    REPORT_FIGURE(pause_median_ns),
    REPORT_FIGURE(pause_p99_ns),
    REPORT_FIGURE(stop_max_ns),
    REPORT_FIGURE(collector_cpu_ns),
    REPORT_FIGURE(process_cpu_ns),
    REPORT_FIGURE(thread_count),
    REPORT_FIGURE(marker_count),
    REPORT_FIGURE(type_count),
    REPORT_FIGURE(full_count),
    REPORT_FIGURE(minor_count),
    REPORT_FIGURE(concurrent_count),
    REPORT_FIGURE(full_pause_max_ns),
    REPORT_FIGURE(minor_pause_max_ns),
    REPORT_FIGURE(concurrent_pause_max_ns),
    REPORT_FIGURE(given_up_count),
    REPORT_FIGURE(dirty_page_count),
    REPORT_FIGURE(compaction_count),
    REPORT_FIGURE(moved_count),
    REPORT_FIGURE(moved_bytes),
    REPORT_FIGURE(compaction_pause_max_ns),
    REPORT_FIGURE(soft_limit_bytes),
    REPORT_FIGURE(own_bytes),
    {"elapsed_ns", offsetof(struct report, elapsed_ns)},
};

enum { REPORT_FIGURE_COUNT = sizeof report_figures / sizeof report_figures[0] };

static_assert(sizeof(struct loam_stats) ==
                  (REPORT_FIGURE_COUNT - 1) * sizeof(uint64_t),
              "every figure of struct loam_stats is listed");

// struct reader is a report while it is being read.
struct reader {
    FILE *file;
    struct report *report;
    struct report_problem *problem;
    size_t line_number;
    size_t type_room;
    bool has_end;
};

__attribute__((format(printf, 2, 3))) static bool report_refuse(
    struct reader *reader, const char *format, ...) {
    char *text = reader->problem->text;
    size_t room = sizeof reader->problem->text;
    int used = snprintf(text, room, "line %zu ", reader->line_number);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, room - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

// Reads a decimal number and moves *text past it and one space, if there is
// one. False where there is no number, or one that is too large.
static bool report_number(char **text, uint64_t *value) {
    char *end;
    if (**text < '0' || **text > '9') {
        return false;
    }
    errno = 0;
    *value = strtoull(*text, &end, 10);
    if (errno != 0 || (*end != ' ' && *end != '\0')) {
        return false;
    }
    *text = *end == ' ' ? end + 1 : end;
    return true;
}

static bool report_read_type(struct reader *reader, char *text) {
    struct report *report = reader->report;
    struct report_type type = {0};
    if (!report_number(&text, &type.live_count) ||
        !report_number(&text, &type.live_bytes) ||
        !report_number(&text, &type.allocated_count) ||
        !report_number(&text, &type.allocated_bytes) || *text == '\0') {
        return report_refuse(reader, "is no type with four numbers and a name");
    }
    if (report->type_count == reader->type_room) {
        size_t room = reader->type_room == 0 ? 32 : reader->type_room * 2;
        void *types = realloc(report->types, room * sizeof type);
        if (types == NULL) {
            return report_refuse(reader, "found us without memory");
        }
        report->types = types;
        reader->type_room = room;
    }
    type.name = strdup(text);
    if (type.name == NULL) {
        return report_refuse(reader, "found us without memory");
    }
    report->types[report->type_count++] = type;
    return true;
}

// A word and a sentence.
static bool report_read_track(struct reader *reader, const char *text) {
    struct report *report = reader->report;
    size_t length = strcspn(text, " ");
    if (length == 0 || text[length] == '\0') {
        return report_refuse(reader, "says not how pages are tracked, and why");
    }
    snprintf(report->track, sizeof report->track, "%.*s", (int)length, text);
    snprintf(report->track_reason, sizeof report->track_reason, "%s",
             text + length + 1);
    return true;
}

static bool report_read_figure(struct reader *reader, const char *name,
                               char *text) {
    uint64_t value;
    if (!report_number(&text, &value) || *text != '\0') {
        return report_refuse(reader, "has no whole number after \"%.40s\"",
                             name);
    }
    for (size_t i = 0; i < REPORT_FIGURE_COUNT; i++) {
        if (strcmp(name, report_figures[i].name) == 0) {
            memcpy((char *)reader->report + report_figures[i].offset_bytes,
                   &value, sizeof value);
        }
    }
    return true;
}

static bool report_read_line(struct reader *reader, char *line) {
    if (reader->line_number == 1) {
        if (strcmp(line, "loam-report 1") == 0) {
            return true;
        }
        return report_refuse(
            reader, "is \"%.40s\" and not \"loam-report 1\"%s", line,
            strncmp(line, "loam-report ", 12) == 0
                ? "; the program's library and this command differ in version"
                : "");
    }
    if (strcmp(line, "end") == 0) {
        reader->has_end = true;
        return true;
    }
    char *space = strchr(line, ' ');
    if (space == NULL) {
        return report_refuse(reader, "is \"%.40s\" and not a name and a number",
                             line);
    }
    *space = '\0';
    if (strcmp(line, "type") == 0) {
        return report_read_type(reader, space + 1);
    }
    if (strcmp(line, "track") == 0) {
        return report_read_track(reader, space + 1);
    }
    return report_read_figure(reader, line, space + 1);
}

static enum report_state report_read_lines(struct reader *reader) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool is_good = true;
    while (is_good && !reader->has_end &&
           (length = getline(&line, &room, reader->file)) > 0) {
        reader->line_number++;
        if (line[length - 1] == '\n') {
            line[length - 1] = '\0';
            is_good = report_read_line(reader, line);
        } else {
            is_good = report_refuse(reader, "breaks off in the middle");
        }
    }
    free(line);
    if (is_good && reader->line_number == 0) {
        return REPORT_ABSENT;
    }
    if (is_good && !reader->has_end) {
        is_good = report_refuse(reader, "is the last, and there is no \"end\"");
    }
    return is_good ? REPORT_WHOLE : REPORT_BROKEN;
}

enum report_state report_read(const char *path, struct report *report,
                              struct report_problem *problem) {
    memset(report, 0, sizeof *report);
    problem->text[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return REPORT_ABSENT;
    }
    struct reader reader = {file, report, problem, 0, 0, false};
    enum report_state state = report_read_lines(&reader);
    fclose(file);
    if (state != REPORT_WHOLE) {
        report_fini(report);
    }
    return state;
}

void report_fini(struct report *report) {
    for (size_t i = 0; i < report->type_count; i++) {
        free(report->types[i].name);
    }
    free(report->types);
    memset(report, 0, sizeof *report);
}

const char *report_figure(const struct report *report, size_t index,
                          uint64_t *value) {
    if (index >= REPORT_FIGURE_COUNT) {
        return NULL;
    }
    memcpy(value, (const char *)report + report_figures[index].offset_bytes,
           sizeof *value);
    return report_figures[index].name;
}
