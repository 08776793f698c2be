// SPDX-License-Identifier: MIT
// outcome.c: everything known about a program that has run.

#define _POSIX_C_SOURCE 200809L

#include "outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

const char *outcome_name(const struct outcome *outcome) {
    const char *slash = strrchr(outcome->argv[0], '/');
    return slash == NULL || slash[1] == '\0' ? outcome->argv[0] : slash + 1;
}

static void outcome_explain_broken(const struct outcome *outcome,
                                   struct outcome_reason *reason) {
    snprintf(reason->saw, sizeof reason->saw,
             "no figures: the report of %s cannot be read: %s",
             outcome_name(outcome), outcome->problem.text);
    reason->rule = "A report ends with a line \"end\"; one that does not was "
                   "cut off while it was written.";
    reason->remedy = "Is there room in the folder for temporary files "
                     "(TMPDIR)? Is this the command of the program's library?";
}

static void outcome_explain_killed(const struct outcome *outcome,
                                   struct outcome_reason *reason) {
    snprintf(reason->saw, sizeof reason->saw,
             "no figures: %s was killed by signal %d (%s) before it could "
             "write them",
             outcome_name(outcome), outcome->child.signal,
             strsignal(outcome->child.signal));
    reason->rule = "They are written when a program returns from main or "
                   "calls exit.";
    reason->remedy = "To see each collection as it happens: loam run --log gc";
}

static void outcome_explain_absent(const struct outcome *outcome,
                                   struct outcome_reason *reason) {
    char *path;
    enum probe_finding finding = probe_program(outcome->argv[0], &path);
    const char *where = path != NULL ? path : outcome->argv[0];
    const char *what = finding == PROBE_WITHOUT ? "does not use Loam"
                       : finding == PROBE_SCRIPT
                           ? "is a script, and nothing it ran wrote any"
                           : "left without writing them";
    snprintf(reason->saw, sizeof reason->saw, "no figures: %.160s %s", where,
             what);
    if (finding == PROBE_WITHOUT) {
        reason->rule = "They come from the library, and there is no trace of "
                       "it in that file.";
        reason->remedy = "Link the program with Loam: cc prog.c $(pkg-config "
                         "--cflags --libs loam)";
    } else {
        reason->rule = "They are written when a program that has used the heap "
                       "returns from main or\n  calls exit; _exit, quick_exit "
                       "and a set-user-ID program skip that.";
        reason->remedy =
            finding == PROBE_SCRIPT
                ? "Name the program itself: loam run -- PROGRAM"
                : "To see each collection as it happens: loam run --log gc";
    }
    free(path);
}

void outcome_explain(const struct outcome *outcome,
                     struct outcome_reason *reason) {
    if (outcome->state == REPORT_BROKEN) {
        outcome_explain_broken(outcome, reason);
    } else if (outcome->child.signal != 0) {
        outcome_explain_killed(outcome, reason);
    } else {
        outcome_explain_absent(outcome, reason);
    }
}
