// SPDX-License-Identifier: MIT
// complain.h: what the command says when something is wrong.

#ifndef TOOL_COMPLAIN_H
#define TOOL_COMPLAIN_H

// Exit statuses of our own; `loam run` passes on the program's otherwise. They
// are those of env, nohup and timeout.
enum {
    COMPLAIN_USAGE = 2,       // a command or option that we do not know
    COMPLAIN_FAILED = 125,    // `loam run` could not do its part
    COMPLAIN_NOT_RUN = 126,   // the program was found but could not be started
    COMPLAIN_NOT_FOUND = 127, // no such program
};

// complain prints, on standard error, what we saw, the rule it breaks, and
// what to do. `rule` and `remedy` may be NULL.
void complain(const char *rule, const char *remedy, const char *saw, ...)
    __attribute__((format(printf, 3, 4)));

#endif // TOOL_COMPLAIN_H
