// SPDX-License-Identifier: MIT
// show.c: the report as a person reads it, in at most 80 columns.

#define _POSIX_C_SOURCE 200809L

#include "show.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

enum {
    SHOW_TYPES_MAX = 10,    // further types are summed up in one line
    SHOW_NAME_COLUMNS = 23, // for the name of a type
    SHOW_RULE_COLUMNS = 78,
};

struct look show_look(FILE *to) {
    struct look look = {false, false};
    if (!isatty(fileno(to))) {
        return look;
    }
    setlocale(LC_CTYPE, "");
    look.is_unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    look.has_colour = (no_colour == NULL || no_colour[0] == '\0') &&
                      term != NULL && strcmp(term, "dumb") != 0;
    return look;
}

static const char *show_paint(struct look look, const char *code) {
    return look.has_colour ? code : "";
}

#define SHOW_BOLD "\033[1m"
#define SHOW_DIM "\033[2m"
#define SHOW_RED "\033[31m"
#define SHOW_GREEN "\033[32m"
#define SHOW_PLAIN "\033[0m"

// A copy of a name that is safe to print and at most `columns` wide.
static char *show_name(const char *name, size_t columns, struct look look) {
    char *copy = strdup(name);
    if (copy == NULL) {
        abort();
    }
    text_clean(copy, look.is_unicode);
    text_cut(copy, columns);
    return copy;
}

// Prints a text in a colour and returns how many columns it took.
static size_t show_piece(FILE *to, struct look look, const char *code,
                         const char *text) {
    fprintf(to, "%s%s%s", show_paint(look, code), text,
            show_paint(look, SHOW_PLAIN));
    return text_columns(text);
}

// "-- wordindex -- exit status 0 -- 1.42 s ----------------------"
static void show_heading(FILE *to, const struct outcome *outcome,
                         struct look look) {
    const char *dash = look.is_unicode ? "─" : "-";
    const char *rule = look.is_unicode ? "── " : "-- ";
    const char *between = look.is_unicode ? " ── " : " -- ";
    bool has_failed = child_shell_status(&outcome->child) != 0;
    char ending[64];
    if (outcome->child.signal != 0) {
        snprintf(ending, sizeof ending, "killed by signal %d (%s)",
                 outcome->child.signal, strsignal(outcome->child.signal));
    } else {
        snprintf(ending, sizeof ending, "exit status %d",
                 outcome->child.exit_status);
    }
    char *name = show_name(outcome_name(outcome), 32, look);
    fputc('\n', to);
    size_t used = show_piece(to, look, SHOW_DIM, rule);
    used += show_piece(to, look, SHOW_BOLD, name);
    used += show_piece(to, look, SHOW_DIM, between);
    used += show_piece(to, look, has_failed ? SHOW_RED : SHOW_GREEN, ending);
    used += show_piece(to, look, SHOW_DIM, between);
    used += show_piece(to, look, "", text_time(outcome->child.wall_ns).bytes);
    fprintf(to, " %s", show_paint(look, SHOW_DIM));
    for (used++; used < SHOW_RULE_COLUMNS; used++) {
        fputs(dash, to);
    }
    fprintf(to, "%s\n\n", show_paint(look, SHOW_PLAIN));
    free(name);
}

static void show_label(FILE *to, struct look look, const char *label) {
    fprintf(to, "  %s%-16s%s", show_paint(look, SHOW_DIM), label,
            show_paint(look, SHOW_PLAIN));
}

static double show_percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

// What there was of each kind; nothing in an older library's report.
struct kind {
    const char *name;
    uint64_t count;
    uint64_t pause_max_ns;
};

static void show_kinds(FILE *to, const struct loam_stats *stats,
                       bool is_pause) {
    const struct kind kinds[] = {
        {"minor", stats->minor_count, stats->minor_pause_max_ns},
        {"full", stats->full_count, stats->full_pause_max_ns},
        {"concurrent", stats->concurrent_count, stats->concurrent_pause_max_ns},
        {"given up", is_pause ? 0 : stats->given_up_count, 0},
    };
    const char *before = is_pause ? "" : ": ";
    for (size_t i = 0; i < 4; i++) {
        if (kinds[i].count > 0 && is_pause) {
            fprintf(to, "%s%s %s", before, kinds[i].name,
                    text_time(kinds[i].pause_max_ns).bytes);
            before = ", ";
        } else if (kinds[i].count > 0) {
            fprintf(to, "%s%s %s", before, text_number(kinds[i].count).bytes,
                    kinds[i].name);
            before = ", ";
        }
    }
}

static void show_track(FILE *to, const struct report *report,
                       struct look look) {
    if (report->track[0] == '\0') {
        return;
    }
    char *name = show_name(report->track, 12, look);
    char *reason = show_name(report->track_reason, 160, look);
    show_label(to, look, "write tracking");
    fprintf(to, "%s: %s\n", name, reason);
    free(name);
    free(reason);
}

static void show_pauses(FILE *to, const struct loam_stats *stats,
                        struct look look) {
    show_label(to, look, "collections");
    fprintf(to, "%s", text_number(stats->collection_count).bytes);
    show_kinds(to, stats, false);
    fputc('\n', to);
    show_label(to, look, "pauses");
    if (stats->collection_count == 0) {
        fputs("none\n", to);
        return;
    }
    fprintf(to, "median %s, 99th percentile %s, longest %s%s%s\n",
            text_time(stats->pause_median_ns).bytes,
            text_time(stats->pause_p99_ns).bytes, show_paint(look, SHOW_BOLD),
            text_time(stats->pause_max_ns).bytes, show_paint(look, SHOW_PLAIN));
    if (stats->minor_count + stats->full_count + stats->concurrent_count > 0) {
        show_label(to, look, "  longest of");
        show_kinds(to, stats, true);
        fputc('\n', to);
    }
    if (stats->compaction_count > 0) {
        show_label(to, look, "compactions");
        fprintf(to, "%s, %s objects of %s moved, longest pause %s\n",
                text_number(stats->compaction_count).bytes,
                text_number(stats->moved_count).bytes,
                text_size(stats->moved_bytes).bytes,
                text_time(stats->compaction_pause_max_ns).bytes);
    }
}

static void show_figures(FILE *to, const struct outcome *outcome,
                         struct look look) {
    const struct loam_stats *stats = &outcome->report.stats;
    show_pauses(to, stats, look);
    show_track(to, &outcome->report, look);

    show_label(to, look, "allocated");
    fprintf(to, "%s in %s objects", text_size(stats->allocated_bytes).bytes,
            text_number(stats->allocated_count).bytes);
    if (outcome->report.elapsed_ns > 0) {
        double rate = (double)stats->allocated_bytes * 1e9 /
                      (double)outcome->report.elapsed_ns;
        fprintf(to, ", %s a second", text_size((uint64_t)rate).bytes);
    }
    fputc('\n', to);

    show_label(to, look, "live at the end");
    fprintf(to, "%s in %s objects\n", text_size(stats->live_bytes).bytes,
            text_number(stats->live_count).bytes);

    show_label(to, look, "heap peak");
    fprintf(to, "%s", text_size(stats->heap_peak_bytes).bytes);
    if (stats->heap_max_bytes > 0) {
        fprintf(to, " of %s allowed", text_size(stats->heap_max_bytes).bytes);
    }
    fputc('\n', to);

    show_label(to, look, "peak resident");
    fprintf(to, "%s\n", text_size(outcome->child.peak_resident_bytes).bytes);

    show_label(to, look, "collecting");
    fprintf(to, "%.1f %% of the processor time: %s of %s\n\n",
            show_percent(stats->collector_cpu_ns, stats->process_cpu_ns),
            text_time(stats->collector_cpu_ns).bytes,
            text_time(stats->process_cpu_ns).bytes);
}

// struct basis is what the bars of the table measure: live bytes, or where
// nothing lives at the end, allocated ones.
struct basis {
    bool is_live;
    uint64_t total_bytes;
};

static uint64_t show_measure(const struct report_type *type,
                             struct basis basis) {
    return basis.is_live ? type->live_bytes : type->allocated_bytes;
}

static struct basis show_choose_basis(const struct report *report) {
    struct basis basis = {true, 0};
    for (size_t i = 0; i < report->type_count; i++) {
        basis.total_bytes += report->types[i].live_bytes;
    }
    if (basis.total_bytes == 0) {
        basis.is_live = false;
        for (size_t i = 0; i < report->type_count; i++) {
            basis.total_bytes += report->types[i].allocated_bytes;
        }
    }
    return basis;
}

static void show_type(FILE *to, const struct report_type *type,
                      struct basis basis, struct look look) {
    char *name = show_name(type->name, SHOW_NAME_COLUMNS, look);
    size_t columns = text_columns(name);
    uint64_t part = show_measure(type, basis);
    fprintf(to, "  %s%*s%8s %9s  %s%s%s %3.0f %%%8s %9s\n", name,
            (int)(SHOW_NAME_COLUMNS - columns), "",
            text_short(type->live_count).bytes,
            text_size(type->live_bytes).bytes, show_paint(look, SHOW_GREEN),
            text_bar(part, basis.total_bytes, look.is_unicode).bytes,
            show_paint(look, SHOW_PLAIN), show_percent(part, basis.total_bytes),
            text_short(type->allocated_count).bytes,
            text_size(type->allocated_bytes).bytes);
    free(name);
}

static void show_types(FILE *to, const struct report *report,
                       struct look look) {
    if (report->type_count == 0) {
        return;
    }
    struct basis basis = show_choose_basis(report);
    const char *dim = show_paint(look, SHOW_DIM);
    const char *plain = show_paint(look, SHOW_PLAIN);
    fprintf(to, "  %s%-23s%18s  %-15s%18s%s\n", dim, "", "live at the end", "",
            "allocated in all", plain);
    fprintf(to, "  %s%-23s%8s %9s  %-15s%8s %9s%s\n", dim, "type", "objects",
            "bytes", basis.is_live ? "of live bytes" : "of allocated",
            "objects", "bytes", plain);

    size_t shown = report->type_count < SHOW_TYPES_MAX ? report->type_count
                                                       : SHOW_TYPES_MAX;
    for (size_t i = 0; i < shown; i++) {
        show_type(to, &report->types[i], basis, look);
    }
    if (shown < report->type_count) {
        char name[32];
        snprintf(name, sizeof name, "%zu more types",
                 report->type_count - shown);
        struct report_type rest = {.name = name};
        for (size_t i = shown; i < report->type_count; i++) {
            rest.live_count += report->types[i].live_count;
            rest.live_bytes += report->types[i].live_bytes;
            rest.allocated_count += report->types[i].allocated_count;
            rest.allocated_bytes += report->types[i].allocated_bytes;
        }
        show_type(to, &rest, basis, look);
    }
    fputc('\n', to);
}

void show_outcome(FILE *to, const struct outcome *outcome, struct look look) {
    show_heading(to, outcome, look);
    show_figures(to, outcome, look);
    show_types(to, &outcome->report, look);
}
