// SPDX-License-Identifier: MIT
// text.h: numbers and names as people read them.

#ifndef TOOL_TEXT_H
#define TOOL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct text holds one formatted value, so that several can be arguments of
// one printf.
struct text {
    char bytes[32];
};

// text_size writes bytes as "84.2 MiB".
struct text text_size(uint64_t bytes);

// text_number writes 1234567 as "1,234,567".
struct text text_number(uint64_t number);

// text_short writes 1234567 as "1.2 M", for narrow columns.
struct text text_short(uint64_t number);

// text_time writes nanoseconds as "412 us", "1.24 ms" or "3.20 s".
struct text text_time(uint64_t ns);

// text_bar writes a bar of `part` of `whole` into a field of ten columns:
// blocks in eighths where is_unicode, else signs '#'.
struct text text_bar(uint64_t part, uint64_t whole, bool is_unicode);

// text_columns counts the characters of a UTF-8 string.
size_t text_columns(const char *text);

// text_clean replaces what a terminal would take for a command by '?': every
// control character, and, unless `keeps_utf8` and the bytes are UTF-8, every
// byte from 0x80.
void text_clean(char *text, bool keeps_utf8);

// text_cut shortens a UTF-8 string in place to at most `columns` characters;
// the last three are dots where anything was cut off.
void text_cut(char *text, size_t columns);

// text_utf8_length returns how many bytes the UTF-8 character at p has, or 0
// where p starts none.
size_t text_utf8_length(const char *p);

#endif // TOOL_TEXT_H
