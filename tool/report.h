// SPDX-License-Identifier: MIT
// report.h: the file that a program writes at its end where LOAM_REPORT names
// one.

#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include <loam/collect.h>

struct report_type {
    char *name;
    uint64_t live_count;
    uint64_t live_bytes;
    uint64_t allocated_count;
    uint64_t allocated_bytes;
};

struct report {
    struct loam_stats stats; // a figure that the file lacks is 0
    uint64_t elapsed_ns;
    char track[16];            // how written pages are known, or ""
    char track_reason[176];    // and why so
    struct report_type *types; // as in the file: most live bytes first
    size_t type_count;
};

// enum report_state says what was found.
enum report_state {
    REPORT_WHOLE,
    REPORT_ABSENT, // no file, or an empty one
    REPORT_BROKEN, // a file that is no report, or that breaks off
};

// struct report_problem says in a sentence what is wrong with a broken report.
struct report_problem {
    char text[160];
};

// report_read reads a report. Lines of unknown names are passed over: they are
// figures of a newer library.
enum report_state report_read(const char *path, struct report *report,
                              struct report_problem *problem);

// report_fini frees what report_read made.
void report_fini(struct report *report);

// report_figure walks the figures: the name and value of the one at `index`,
// or NULL after the last.
const char *report_figure(const struct report *report, size_t index,
                          uint64_t *value);

#endif // TOOL_REPORT_H
