// SPDX-License-Identifier: MIT
// source.h: a text file in memory, and its lines.

#ifndef WORDINDEX_SOURCE_H
#define WORDINDEX_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <loam.h>

struct source {
    const char *name;
    char *text;          // closed with a zero byte
    size_t byte_count;   // without that byte
    size_t *line_starts; // where each line begins in text
    uint32_t line_count;
    size_t number; // its place among the arguments
};
LOAM_TYPE(struct source, name, text, line_starts)

// source_read reads a file. NULL when it is no text that can be read, and then
// *problem says why.
struct source *source_read(const char *name, size_t number,
                           const char **problem);

// source_line returns a copy of line `line`, counted from 1, without the white
// space around it and shortened to at most `byte_max` bytes.
char *source_line(const struct source *source, uint32_t line, size_t byte_max);

#endif // WORDINDEX_SOURCE_H
