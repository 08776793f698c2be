// SPDX-License-Identifier: MIT
// options.c: the options of `loam run`.

#include "options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"

// The rules are the library's own (docs/settings.md): what it would ignore with
// a message is refused here, before the program runs.
static bool options_is_size(const char *value) {
    size_t digits = strspn(value, "0123456789");
    const char *suffix = value + digits;
    suffix += suffix[0] != '\0' && strchr("KMGTkmgt", suffix[0]) != NULL;
    suffix += suffix > value + digits && suffix[0] == 'i';
    suffix += suffix[0] == 'B' || suffix[0] == 'b';
    return digits > 0 && digits <= 15 && suffix[0] == '\0';
}

static bool options_is_percent(const char *value) {
    size_t digits = strspn(value, "0123456789");
    unsigned long percent = strtoul(value, NULL, 10);
    return digits > 0 && digits <= 6 && value[digits] == '\0' && percent >= 1 &&
           percent <= 100000;
}

static bool options_is_log(const char *value) {
    return strcmp(value, "gc") == 0;
}

static const struct {
    const char *option;
    const char *variable;
    bool (*is_valid)(const char *value);
    const char *rule;
} options_settings[OPTIONS_SETTING_COUNT] = {
    {"--heap-max", "LOAM_HEAP_MAX", options_is_size,
     "It takes bytes, or a number with K, M, G or T, as in 256M."},
    {"--heap-min", "LOAM_HEAP_MIN", options_is_size,
     "It takes bytes, or a number with K, M, G or T, as in 256M."},
    {"--growth", "LOAM_GROWTH", options_is_percent,
     "It takes a percentage from 1 to 100000: 100 lets the heap double."},
    {"--log", "LOAM_LOG", options_is_log,
     "It takes gc, which prints one line a collection."},
};

const char *options_variable(int setting) {
    return options_settings[setting].variable;
}

// Where argv[*at] is `name` or `name=VALUE`, returns the value, which may be
// the next argument, and moves *at to the last argument used.
static const char *options_value(char **argv, int *at, const char *name) {
    size_t length = strlen(name);
    if (strncmp(argv[*at], name, length) != 0) {
        return NULL;
    }
    if (argv[*at][length] == '=') {
        return argv[*at] + length + 1;
    }
    if (argv[*at][length] != '\0') {
        return NULL;
    }
    if (argv[*at + 1] == NULL) {
        return "";
    }
    return argv[++*at];
}

static bool options_take_setting(char **argv, int *at, struct options *options,
                                 bool *is_good) {
    for (int i = 0; i < OPTIONS_SETTING_COUNT; i++) {
        const char *value = options_value(argv, at, options_settings[i].option);
        if (value == NULL) {
            continue;
        }
        *is_good = options_settings[i].is_valid(value);
        if (!*is_good) {
            complain(options_settings[i].rule, "See: loam help run",
                     "run: %s was given \"%s\"", options_settings[i].option,
                     value);
        }
        options->settings[i] = value;
        return true;
    }
    return false;
}

// Takes the option at argv[*at]. False after a complaint.
static bool options_take(char **argv, int *at, struct options *options) {
    bool is_good = true;
    const char *value;
    if (strcmp(argv[*at], "--json") == 0) {
        options->is_json = true;
    } else if (strcmp(argv[*at], "--quiet") == 0) {
        options->is_quiet = true;
    } else if ((value = options_value(argv, at, "--report")) != NULL) {
        options->report_path = value;
        if (value[0] == '\0') {
            complain("It takes the file that the report is to go to.",
                     "See: loam help run", "run: --report was given no file");
            return false;
        }
    } else if (!options_take_setting(argv, at, options, &is_good)) {
        complain("Options of the program itself come after its name, and \"--\""
                 " may stand before it.",
                 "See: loam help run", "run: there is no option \"%s\"",
                 argv[*at]);
        return false;
    }
    return is_good;
}

bool options_read(int argc, char **argv, struct options *options) {
    memset(options, 0, sizeof *options);
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        if (!options_take(argv, &at, options)) {
            return false;
        }
    }
    if (at >= argc) {
        complain("It takes the program to run, with its arguments.",
                 "For example: loam run -- ./prog FILE",
                 "run: there is no program");
        return false;
    }
    options->program = argv + at;
    return true;
}
