// SPDX-License-Identifier: MIT
// source.c: a text file in memory, and its lines.
//
// The text is a leaf: it holds no pointers, so the collector never reads it.

#define _POSIX_C_SOURCE 200809L

#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "must.h"

static char *source_read_all(int fd, size_t expected_bytes,
                             size_t *byte_count) {
    size_t room = expected_bytes + 1;
    size_t used = 0;
    char *text = must(loam_alloc_leaf(room));
    for (;;) {
        ssize_t got = read(fd, text + used, room - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return NULL;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
        if (used == room) {
            room *= 2;
            text = must(loam_realloc(text, room));
        }
    }
    text[used] = '\0';
    *byte_count = used;
    return text;
}

static void source_find_lines(struct source *source) {
    const char *end = source->text + source->byte_count;
    size_t count = 0;
    for (const char *p = source->text; p < end; count++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        p = newline == NULL ? end : newline + 1;
    }
    source->line_starts = must(loam_alloc_leaf((count + 1) * sizeof(size_t)));
    source->line_count = (uint32_t)count;

    const char *p = source->text;
    for (size_t i = 0; i <= count; i++) {
        source->line_starts[i] = (size_t)(p - source->text);
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        p = newline == NULL ? end : newline + 1;
    }
}

static struct source *source_read_open(int fd, const char *name,
                                       const char **problem) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        *problem = strerror(errno);
        return NULL;
    }
    if (S_ISDIR(status.st_mode)) {
        *problem = "is a directory; name the files in it "
                   "(find DIRECTORY -type f lists them)";
        return NULL;
    }
    struct source *source = must(loam_new(struct source));
    source->name = name;
    size_t expected = status.st_size > 0 ? (size_t)status.st_size : 4095;
    source->text = source_read_all(fd, expected, &source->byte_count);
    if (source->text == NULL) {
        *problem = strerror(errno);
        return NULL;
    }
    const char *zero = memchr(source->text, 0, source->byte_count);
    if (zero != NULL) {
        *problem = must(loam_printf("is binary (byte %zu is zero); left out",
                                    (size_t)(zero - source->text)));
        return NULL;
    }
    source_find_lines(source);
    return source;
}

struct source *source_read(const char *name, size_t number,
                           const char **problem) {
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *problem = strerror(errno);
        return NULL;
    }
    struct source *source = source_read_open(fd, name, problem);
    close(fd);
    if (source != NULL) {
        source->number = number;
    }
    return source;
}

static int source_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

char *source_line(const struct source *source, uint32_t line, size_t byte_max) {
    const char *from = source->text + source->line_starts[line - 1];
    const char *end = source->text + source->line_starts[line];
    while (from < end && source_is_space(*from)) {
        from++;
    }
    while (end > from && source_is_space(end[-1])) {
        end--;
    }
    if ((size_t)(end - from) <= byte_max) {
        return must(loam_strndup(from, (size_t)(end - from)));
    }
    // Bytes 10xxxxxx continue a UTF-8 character, which must not be cut.
    end = from + byte_max - 3;
    while (end > from && ((unsigned char)*end & 0xc0) == 0x80) {
        end--;
    }
    return must(loam_printf("%.*s...", (int)(end - from), from));
}
