// SPDX-License-Identifier: MIT
// text.c: numbers and names as people read them.

#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BAR_COLUMNS = 10 };

// Three digits: 1.23, 12.3, 123.
static struct text text_three(double value, const char *unit) {
    struct text text;
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    snprintf(text.bytes, sizeof text.bytes, "%.*f %s", decimals, value, unit);
    return text;
}

struct text text_size(uint64_t bytes) {
    static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    if (unit > 0) {
        return text_three(value, units[unit]);
    }
    struct text text;
    snprintf(text.bytes, sizeof text.bytes, "%" PRIu64 " B", bytes);
    return text;
}

struct text text_number(uint64_t number) {
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, number);
    struct text text;
    char *to = text.bytes;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

struct text text_short(uint64_t number) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    if (number < 10000) {
        return text_number(number);
    }
    size_t unit = 0;
    double value = (double)number;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    return text_three(value, units[unit]);
}

struct text text_time(uint64_t ns) {
    if (ns < 1000) {
        struct text text;
        snprintf(text.bytes, sizeof text.bytes, "%" PRIu64 " ns", ns);
        return text;
    }
    double value = (double)ns / 1000;
    if (value < 999.5) {
        return text_three(value, "us");
    }
    value /= 1000;
    if (value < 999.5) {
        return text_three(value, "ms");
    }
    return text_three(value / 1000, "s");
}

struct text text_bar(uint64_t part, uint64_t whole, bool is_unicode) {
    static const char *const blocks[] = {"",  "▏", "▎", "▍", "▌",
                                         "▋", "▊", "▉", "█"};
    size_t steps = is_unicode ? 8 : 1;
    double share = whole == 0 ? 0 : (double)part / (double)whole;
    size_t filled = (size_t)(share * (double)(TEXT_BAR_COLUMNS * steps) + 0.5);
    struct text text = {""};
    size_t length = 0;
    for (size_t i = 0; i < TEXT_BAR_COLUMNS; i++) {
        size_t here = filled < steps ? filled : steps;
        filled -= here;
        const char *block = is_unicode ? blocks[here] : here > 0 ? "#" : "";
        if (block[0] == '\0') {
            block = " ";
        }
        size_t bytes = strlen(block);
        memcpy(text.bytes + length, block, bytes);
        length += bytes;
    }
    text.bytes[length] = '\0';
    return text;
}

size_t text_utf8_length(const char *p) {
    const unsigned char *c = (const unsigned char *)p;
    size_t length = c[0] < 0x80                   ? 1
                    : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                    : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                    : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    // Longer than need be, a surrogate, or past the last character.
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f)) {
        return 0;
    }
    return length;
}

size_t text_columns(const char *text) {
    size_t columns = 0;
    for (; *text != '\0'; text++) {
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return columns;
}

void text_clean(char *text, bool keeps_utf8) {
    while (*text != '\0') {
        size_t length = text_utf8_length(text);
        unsigned char c = (unsigned char)text[0];
        // U+0080 to U+009F are control characters as well.
        bool is_control = c < 0x20 || c == 0x7f ||
                          (c == 0xc2 && (unsigned char)text[1] < 0xa0);
        if (length == 1 && !is_control) {
            text++;
        } else if (length > 1 && !is_control && keeps_utf8) {
            text += length;
        } else {
            *text++ = '?';
        }
    }
}

void text_cut(char *text, size_t columns) {
    if (text_columns(text) <= columns) {
        return;
    }
    size_t kept = 0;
    while (kept < columns - 3 || ((unsigned char)*text & 0xc0) == 0x80) {
        kept += ((unsigned char)text[1] & 0xc0) != 0x80;
        text++;
    }
    // At least four more characters, so four bytes, followed.
    memcpy(text, "...", 4);
}
