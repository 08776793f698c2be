// SPDX-License-Identifier: MIT
// show.h: the report as a person reads it.

#ifndef TOOL_SHOW_H
#define TOOL_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "outcome.h"

// struct look is what the reader's end can show.
struct look {
    bool is_unicode;
    bool has_colour;
};

// show_look finds out what can be shown on a stream: colours on a terminal,
// unless NO_COLOR is set or TERM is "dumb"; more than ASCII on a terminal in a
// UTF-8 locale.
struct look show_look(FILE *to);

// show_outcome prints the report of a program that wrote one.
void show_outcome(FILE *to, const struct outcome *outcome, struct look look);

#endif // TOOL_SHOW_H
