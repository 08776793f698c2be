// SPDX-License-Identifier: MIT
// options.h: what the command line asks for.

#ifndef WORDINDEX_OPTIONS_H
#define WORDINDEX_OPTIONS_H

#include <stddef.h>

#include <loam.h>

struct options {
    char **names; // the files
    size_t name_count;
    const char **queries;
    size_t query_count;
    size_t thread_count; // 0: not given
    size_t round_count;  // 0: not given
    size_t top_count;
};
LOAM_TYPE(struct options, names, queries)

// options_read reads the command line. It ends the program with status 2 where
// it cannot be understood, and with 0 after --help.
struct options *options_read(int argc, char **argv);

#endif // WORDINDEX_OPTIONS_H
