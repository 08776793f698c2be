// SPDX-License-Identifier: MIT
// run.c: `loam run`, which runs a program and reports on its heap.
//
// The library writes its figures into a file that we name by LOAM_REPORT, in a
// folder of our own; we read it when the program has ended.

#define _GNU_SOURCE

#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "complain.h"
#include "json.h"
#include "options.h"
#include "outcome.h"
#include "show.h"

// Makes a folder that only we can write to, and the path of a file in it.
static int run_make_folder(char **folder, char **path) {
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == '\0') {
        parent = "/tmp";
    }
    if (asprintf(folder, "%s/loam-run-XXXXXX", parent) < 0) {
        return -1;
    }
    if (mkdtemp(*folder) == NULL) {
        complain("A file there carries the figures from the program to us.",
                 "Name another folder with TMPDIR.",
                 "run: no folder could be made in %s: %s", parent,
                 strerror(errno));
        return -1;
    }
    return asprintf(path, "%s/report", *folder) < 0 ? -1 : 0;
}

static int run_child(const struct options *options, const char *path,
                     struct outcome *outcome) {
    struct child_setting settings[OPTIONS_SETTING_COUNT + 1];
    for (int i = 0; i < OPTIONS_SETTING_COUNT; i++) {
        settings[i].name = options_variable(i);
        settings[i].value = options->settings[i];
    }
    settings[OPTIONS_SETTING_COUNT] =
        (struct child_setting){"LOAM_REPORT", path};
    outcome->argv = options->program;
    return child_run(options->program, settings, OPTIONS_SETTING_COUNT + 1,
                     &outcome->child);
}

static int run_complain_start(const struct outcome *outcome) {
    int error = outcome->child.start_error;
    if (error == ENOENT && access(outcome->argv[0], F_OK) == 0) {
        complain("Its interpreter (a script's first line, or the loader) does "
                 "not exist.",
                 NULL, "run: %s could not be started", outcome->argv[0]);
        return COMPLAIN_NOT_RUN;
    }
    if (error == ENOENT) {
        complain(strchr(outcome->argv[0], '/') == NULL
                     ? "It is in none of the folders of PATH."
                     : "There is no file of that name.",
                 strchr(outcome->argv[0], '/') == NULL
                     ? "For one in this folder, write ./NAME."
                     : NULL,
                 "run: there is no program %s", outcome->argv[0]);
        return COMPLAIN_NOT_FOUND;
    }
    complain(error == EACCES
                 ? "It must be a file that you may execute (chmod +x)."
             : error == ENOEXEC ? "It is no program for this machine."
                                : NULL,
             NULL, "run: %s could not be started: %s", outcome->argv[0],
             strerror(error));
    return COMPLAIN_NOT_RUN;
}

// Prints the outcome to standard error or into the file that was asked for.
static int run_print(const struct options *options,
                     const struct outcome *outcome, FILE *to) {
    if (options->is_json) {
        json_outcome(to, outcome);
    } else if (outcome->state == REPORT_WHOLE) {
        show_outcome(to, outcome, show_look(to));
    }
    if (outcome->state != REPORT_WHOLE && !options->is_json &&
        !options->is_quiet) {
        struct outcome_reason reason;
        outcome_explain(outcome, &reason);
        complain(reason.rule, reason.remedy, "run: %s", reason.saw);
    }
    if (fflush(to) != 0 || ferror(to)) {
        return -1;
    }
    return 0;
}

static int run_write(const struct options *options,
                     const struct outcome *outcome, FILE *report) {
    if (report == NULL) {
        return options->is_quiet ? 0 : run_print(options, outcome, stderr);
    }
    int failed = run_print(options, outcome, report);
    if (fclose(report) != 0 || failed) {
        complain(NULL, NULL, "run: writing %s: %s", options->report_path,
                 strerror(errno));
        return -1;
    }
    return 0;
}

static int run_with_folder(const struct options *options, FILE *report,
                           const char *path) {
    struct outcome outcome;
    memset(&outcome, 0, sizeof outcome);
    if (run_child(options, path, &outcome) != 0) {
        complain(NULL, NULL, "run: no process could be made: %s",
                 strerror(errno));
        return COMPLAIN_FAILED;
    }
    if (outcome.child.start_error != 0) {
        return run_complain_start(&outcome);
    }
    outcome.state = report_read(path, &outcome.report, &outcome.problem);
    // A program's own status is worth more than that of our report.
    (void)run_write(options, &outcome, report);
    report_fini(&outcome.report);
    return child_shell_status(&outcome.child);
}

int run_command(int argc, char **argv) {
    struct options options;
    if (!options_read(argc, argv, &options)) {
        return COMPLAIN_FAILED;
    }
    // Opened first: a report that cannot be written is no news after an hour.
    FILE *report = NULL;
    if (options.report_path != NULL) {
        report = fopen(options.report_path, "we");
        if (report == NULL) {
            complain("It takes the file that the report is to go to.", NULL,
                     "run: --report %s: %s", options.report_path,
                     strerror(errno));
            return COMPLAIN_FAILED;
        }
    }
    char *folder = NULL;
    char *path = NULL;
    int status = COMPLAIN_FAILED;
    if (run_make_folder(&folder, &path) == 0) {
        status = run_with_folder(&options, report, path);
        unlink(path);
        rmdir(folder);
    }
    free(folder);
    free(path);
    return status;
}
