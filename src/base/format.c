// SPDX-License-Identifier: MIT
// format.c: a formatter for messages that must come out at any time.
//
// It is called while the program is stopped, inside signal handlers and when
// memory has run out, so it uses nothing but its arguments and write().

#include "base/format.h"

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

struct sink {
    char *buffer;
    size_t room;
    size_t length;
};

static void format_char(struct sink *sink, char c) {
    if (sink->length + 1 < sink->room) {
        sink->buffer[sink->length] = c;
    }
    sink->length++;
}

static void format_text(struct sink *sink, const char *text) {
    for (text = text ? text : "(null)"; *text; text++) {
        format_char(sink, *text);
    }
}

static void format_number(struct sink *sink, uint64_t value, unsigned base) {
    char digits[24];
    unsigned n = 0;
    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n) {
        format_char(sink, digits[--n]);
    }
}

static void format_size(struct sink *sink, uint64_t bytes) {
    static const char units[] = "BKMGTPE";
    unsigned unit = 0;
    uint64_t tenths = bytes * 10;
    if (bytes >> 60) {
        tenths = (bytes >> 10) * 10;
        unit = 1;
    }
    while (tenths >= 10240) {
        tenths = (tenths + 512) / 1024;
        unit++;
    }
    format_number(sink, tenths / 10, 10);
    if (unit) {
        format_char(sink, '.');
        format_number(sink, tenths % 10, 10);
    }
    format_char(sink, units[unit]);
}

static void format_thousandths(struct sink *sink, uint64_t value) {
    value = (value + 5) / 10;
    format_number(sink, value / 100, 10);
    format_char(sink, '.');
    format_char(sink, (char)('0' + value / 10 % 10));
    format_char(sink, (char)('0' + value % 10));
}

static void format_signed(struct sink *sink, int64_t value) {
    if (value < 0) {
        format_char(sink, '-');
    }
    format_number(sink, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

// One conversion; returns the character after it.
static const char *format_one(struct sink *sink, const char *f, va_list *list) {
    bool is_long = false;
    while (*f == 'l' || *f == 'z') {
        is_long = true;
        f++;
    }
    switch (*f) {
    case 's':
        format_text(sink, va_arg(*list, const char *));
        break;
    case 'c':
        format_char(sink, (char)va_arg(*list, int));
        break;
    case 'd':
        format_signed(sink, is_long ? va_arg(*list, int64_t)
                                    : (int64_t)va_arg(*list, int));
        break;
    case 'u':
        format_number(sink,
                      is_long ? va_arg(*list, uint64_t)
                              : (uint64_t)va_arg(*list, unsigned),
                      10);
        break;
    case 'x':
        format_number(sink,
                      is_long ? va_arg(*list, uint64_t)
                              : (uint64_t)va_arg(*list, unsigned),
                      16);
        break;
    case 'p':
        format_text(sink, "0x");
        format_number(sink, (uintptr_t)va_arg(*list, const void *), 16);
        break;
    case 'B':
        format_size(sink, va_arg(*list, size_t));
        break;
    case 'F':
        format_thousandths(sink, va_arg(*list, uint64_t));
        break;
    default:
        format_char(sink, *f);
        break;
    }
    return *f ? f + 1 : f;
}

size_t lm_format_list(char *buffer, size_t room, const char *format,
                      va_list arguments) {
    struct sink sink = {buffer, room, 0};
    va_list list;
    va_copy(list, arguments);
    while (*format) {
        if (*format == '%') {
            format = format_one(&sink, format + 1, &list);
        } else {
            format_char(&sink, *format++);
        }
    }
    va_end(list);
    if (room) {
        buffer[sink.length < room ? sink.length : room - 1] = '\0';
    }
    return sink.length;
}

size_t lm_format(char *buffer, size_t room, const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t length = lm_format_list(buffer, room, format, list);
    va_end(list);
    return length;
}

void lm_print(int fd, const char *format, ...) {
    char buffer[1024];
    va_list list;
    va_start(list, format);
    size_t length = lm_format_list(buffer, sizeof buffer, format, list);
    va_end(list);
    length = length < sizeof buffer ? length : sizeof buffer - 1;
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, buffer + done, length - done);
        if (n <= 0) {
            return;
        }
        done += (size_t)n;
    }
}
