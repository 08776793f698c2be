// SPDX-License-Identifier: MIT
// json.c: the report as one JSON object on one line.
//
// Strings that are not UTF-8 have each odd byte replaced by U+FFFD, so that
// the line is always JSON.

#include "json.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

static void json_string(FILE *to, const char *text) {
    fputc('"', to);
    while (*text != '\0') {
        size_t length = text_utf8_length(text);
        unsigned char c = (unsigned char)*text;
        if (length == 0) {
            fputs("\\ufffd", to);
            length = 1;
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(to, "\\u%04x", c);
        } else if (c == '"' || c == '\\') {
            fprintf(to, "\\%c", c);
        } else {
            fwrite(text, 1, length, to);
        }
        text += length;
    }
    fputc('"', to);
}

static void json_number(FILE *to, const char *name, uint64_t value) {
    fprintf(to, "\"%s\":%" PRIu64, name, value);
}

static void json_types(FILE *to, const struct report *report) {
    fputs(",\"types\":[", to);
    for (size_t i = 0; i < report->type_count; i++) {
        const struct report_type *type = &report->types[i];
        fputs(i > 0 ? ",{\"name\":" : "{\"name\":", to);
        json_string(to, type->name);
        fputc(',', to);
        json_number(to, "live_count", type->live_count);
        fputc(',', to);
        json_number(to, "live_bytes", type->live_bytes);
        fputc(',', to);
        json_number(to, "allocated_count", type->allocated_count);
        fputc(',', to);
        json_number(to, "allocated_bytes", type->allocated_bytes);
        fputc('}', to);
    }
    fputc(']', to);
}

static void json_track(FILE *to, const struct report *report) {
    fputs(",\"track\":", to);
    json_string(to, report->track);
    fputs(",\"track_reason\":", to);
    json_string(to, report->track_reason);
}

static void json_report(FILE *to, const struct report *report) {
    fputs(",\"report\":{", to);
    uint64_t value;
    const char *name;
    for (size_t i = 0; (name = report_figure(report, i, &value)); i++) {
        fputs(i > 0 ? "," : "", to);
        json_number(to, name, value);
    }
    json_track(to, report);
    json_types(to, report);
    fputs("},\"reason\":null", to);
}

void json_outcome(FILE *to, const struct outcome *outcome) {
    fputs("{\"program\":", to);
    json_string(to, outcome->argv[0]);
    fputs(",\"arguments\":[", to);
    for (char **argument = outcome->argv + 1; *argument != NULL; argument++) {
        fputs(argument > outcome->argv + 1 ? "," : "", to);
        json_string(to, *argument);
    }
    fputs("],", to);
    const struct child *child = &outcome->child;
    if (child->signal != 0) {
        fprintf(to, "\"exit_status\":null,\"signal\":%d,", child->signal);
    } else {
        fprintf(to, "\"exit_status\":%d,\"signal\":null,", child->exit_status);
    }
    json_number(to, "wall_ns", child->wall_ns);
    fputc(',', to);
    json_number(to, "cpu_ns", child->cpu_ns);
    fputc(',', to);
    json_number(to, "peak_resident_bytes", child->peak_resident_bytes);
    if (outcome->state == REPORT_WHOLE) {
        json_report(to, &outcome->report);
    } else {
        struct outcome_reason reason;
        outcome_explain(outcome, &reason);
        fputs(",\"report\":null,\"reason\":", to);
        json_string(to, reason.saw);
    }
    fputs("}\n", to);
}
