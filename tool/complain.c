// SPDX-License-Identifier: MIT
// complain.c: what the command says when something is wrong.

#include "complain.h"

#include <stdarg.h>
#include <stdio.h>

void complain(const char *rule, const char *remedy, const char *saw, ...) {
    va_list arguments;
    va_start(arguments, saw);
    fputs("loam: ", stderr);
    vfprintf(stderr, saw, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (rule != NULL) {
        fprintf(stderr, "  %s\n", rule);
    }
    if (remedy != NULL) {
        fprintf(stderr, "  %s\n", remedy);
    }
}
