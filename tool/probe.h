// SPDX-License-Identifier: MIT
// probe.h: does a program use Loam at all?

#ifndef TOOL_PROBE_H
#define TOOL_PROBE_H

enum probe_finding {
    PROBE_UNKNOWN, // the file could not be read
    PROBE_SCRIPT,  // it starts with #!
    PROBE_WITHOUT, // there is no trace of Loam in it
    PROBE_WITH,    // it is linked with libloam.so or contains the library
};

// probe_program looks into the file that running `program` would run, and
// writes its path into *path, which the caller frees (NULL if there is none).
enum probe_finding probe_program(const char *program, char **path);

#endif // TOOL_PROBE_H
