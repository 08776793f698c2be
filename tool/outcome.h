// SPDX-License-Identifier: MIT
// outcome.h: everything known about a program that has run.

#ifndef TOOL_OUTCOME_H
#define TOOL_OUTCOME_H

#include "child.h"
#include "report.h"

struct outcome {
    char **argv; // the program and its arguments
    struct child child;
    enum report_state state;
    struct report report;          // where state is REPORT_WHOLE
    struct report_problem problem; // where state is REPORT_BROKEN
};

// struct outcome_reason says why there are no figures.
struct outcome_reason {
    char saw[256];
    const char *rule;
    const char *remedy;
};

// outcome_name returns the name of the program without its folder.
const char *outcome_name(const struct outcome *outcome);

// outcome_explain finds out why a program wrote no report that can be read.
void outcome_explain(const struct outcome *outcome,
                     struct outcome_reason *reason);

#endif // TOOL_OUTCOME_H
