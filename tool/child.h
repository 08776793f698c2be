// SPDX-License-Identifier: MIT
// child.h: runs a program and waits for it as if we were not there.

#ifndef TOOL_CHILD_H
#define TOOL_CHILD_H

#include <stdint.h>

// struct child is how a program ran.
struct child {
    int start_error; // errno where it could not be started, else 0
    int exit_status; // where it was not killed
    int signal;      // that killed it, else 0
    uint64_t wall_ns;
    uint64_t cpu_ns;
    uint64_t peak_resident_bytes;
};

// struct child_setting is a variable of its environment.
struct child_setting {
    const char *name;
    const char *value; // NULL: left as it is
};

// child_run starts argv[0], found by PATH, with the settings added to our
// environment, and returns when it has ended. Signals sent to us are passed
// on; those of the terminal's keys reach it anyway. Returns 0, or -1 with
// errno where no process could be made.
int child_run(char **argv, const struct child_setting *settings,
              int setting_count, struct child *child);

// child_shell_status returns what a shell would give for it: the exit status,
// or 128 and the signal.
int child_shell_status(const struct child *child);

#endif // TOOL_CHILD_H
