// SPDX-License-Identifier: MIT
// json.h: the report as one JSON object on one line.

#ifndef TOOL_JSON_H
#define TOOL_JSON_H

#include <stdio.h>

#include "outcome.h"

// json_outcome prints what is known: "report" is null where the program wrote
// none, and then "reason" says why.
void json_outcome(FILE *to, const struct outcome *outcome);

#endif // TOOL_JSON_H
