// SPDX-License-Identifier: MIT
// options.h: the options of `loam run`.

#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <stdbool.h>

// The settings that options stand for, in the order of options_settings().
enum { OPTIONS_SETTING_COUNT = 4 };

struct options {
    const char *report_path; // where the report goes; NULL: standard error
    bool is_json;
    bool is_quiet;
    const char *settings[OPTIONS_SETTING_COUNT]; // values, NULL: not given
    char **program;                              // it and its arguments
};

// options_read reads the arguments of `loam run`. False, after a complaint,
// where they cannot be understood.
bool options_read(int argc, char **argv, struct options *options);

// options_variable returns the environment variable that a setting is for.
const char *options_variable(int setting);

#endif // TOOL_OPTIONS_H
