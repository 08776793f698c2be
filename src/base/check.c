// SPDX-License-Identifier: MIT
// check.c: the last words of a program that cannot go on.

#include "base/check.h"

#include "base/format.h"

#include <stdarg.h>
#include <stdlib.h>

void lm_caller_error(const char *rule, const char *remedy,
                     const char *saw_format, ...) {
    char saw[512];
    va_list list;
    va_start(list, saw_format);
    lm_format_list(saw, sizeof saw, saw_format, list);
    va_end(list);
    lm_print(2, "loam: error: %s\n  the rule: %s\n  what to do: %s\n", saw,
             rule, remedy);
    abort();
}

void lm_bug(const char *invariant, const char *file, int line) {
    lm_print(2,
             "loam: bug: %s (loam " LOAM_VERSION_TEXT ", %s:%d)\n"
             "  This is a fault of Loam, not of the program. Please report it "
             "with this line.\n",
             invariant, file, line);
    abort();
}
