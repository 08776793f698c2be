// SPDX-License-Identifier: MIT
// base/format.h: text without malloc, stdio or locale.

#ifndef BASE_FORMAT_H
#define BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

// lm_format writes at most room - 1 bytes and a zero byte, and returns how
// many bytes the whole text has without the zero. It knows %s %c %d %u %x %p
// %%, and l, z in front of d, u and x. %B is a size_t shown as a person reads
// it: 41.0M. %F is a uint64_t of thousandths shown with two decimals: 12.40.
size_t lm_format(char *buffer, size_t room, const char *format, ...);
size_t lm_format_list(char *buffer, size_t room, const char *format,
                      va_list arguments);

// lm_print formats to a file descriptor in one write; long text is cut.
void lm_print(int fd, const char *format, ...);

#endif // BASE_FORMAT_H
