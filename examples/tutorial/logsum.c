// SPDX-License-Identifier: MIT
// logsum.c: summarises logs: what was written, how often, and when last.
//
// This is the program that docs/tutorial.md builds.

#include <ctype.h>
#include <loam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// must returns p, or ends the program where an allocation gave none.
static void *must(void *p) {
    if (p == NULL) {
        fprintf(stderr, "%s\n", loam_last_error());
        exit(1);
    }
    return p;
}

// read_line returns the next line without its newline, or NULL at the end.
static char *read_line(FILE *file) {
    size_t room = 32;
    size_t length = 0;
    char *line = must(loam_alloc_leaf(room));
    int c;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (length + 1 == room) {
            room *= 2;
            line = must(loam_realloc(line, room));
        }
        line[length++] = (char)c;
    }
    line[length] = '\0';
    return c == EOF && length == 0 ? NULL : line;
}

// fold returns a line with every word that has a digit in it replaced by #.
static char *fold(const char *line) {
    char *folded = must(loam_alloc_leaf(strlen(line) + 1));
    char *to = folded;
    while (*line != '\0') {
        size_t word = strcspn(line, " \t=,;()[]\"'");
        int has_digit = 0;
        for (size_t i = 0; i < word; i++) {
            has_digit |= isdigit((unsigned char)line[i]);
        }
        if (has_digit) {
            *to++ = '#';
        } else {
            memcpy(to, line, word);
            to += word;
        }
        line += word;
        if (*line != '\0') {
            *to++ = *line++;
        }
    }
    *to = '\0';
    return folded;
}

// A pattern is what many lines have in common.
struct pattern {
    struct pattern *next; // in the same bucket
    char *text;           // the folded line
    char *example;        // the first line that folded to it
    size_t count;
    size_t first; // number of that line
    size_t last;  // number of the last one
};
LOAM_TYPE(struct pattern, next, text, example)

struct bucket {
    struct pattern *first;
};
LOAM_TYPE(struct bucket, first)

enum { BUCKET_COUNT = 1024 };

static struct bucket *buckets;
static size_t pattern_count;

// find returns the pattern of a folded text, a new one if need be.
static struct pattern *find(char *text) {
    unsigned hash = 5381;
    for (const char *p = text; *p != '\0'; p++) {
        hash = hash * 33 + (unsigned char)*p;
    }
    struct bucket *bucket = &buckets[hash % BUCKET_COUNT];
    for (struct pattern *p = bucket->first; p != NULL; p = p->next) {
        if (strcmp(p->text, text) == 0) {
            return p;
        }
    }
    struct pattern *pattern = must(loam_new(struct pattern));
    pattern->text = text;
    pattern->next = bucket->first;
    bucket->first = pattern;
    pattern_count++;
    return pattern;
}

static void count_line(char *line, size_t number) {
    struct pattern *pattern = find(fold(line));
    if (pattern->count++ == 0) {
        pattern->example = line;
        pattern->first = number;
    }
    pattern->last = number;
}

// Most frequent first; where two are equal, the one seen first.
static int compare(const void *left, const void *right) {
    const struct pattern *a = *(struct pattern *const *)left;
    const struct pattern *b = *(struct pattern *const *)right;
    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    return a->first < b->first ? -1 : 1;
}

// ranked returns all patterns, the most frequent first.
static struct pattern **ranked(void) {
    struct pattern **all =
        must(loam_new_array(struct pattern *, pattern_count));
    size_t n = 0;
    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        for (struct pattern *p = buckets[i].first; p != NULL; p = p->next) {
            all[n++] = p;
        }
    }
    qsort(all, n, sizeof(all[0]), compare);
    return all;
}

static void print_summary(size_t line_count) {
    struct pattern **all = ranked();
    printf("%zu lines, %zu patterns\n\n", line_count, pattern_count);
    printf("%7s %7s %7s  %s\n", "count", "first", "last", "message");
    for (size_t i = 0; i < pattern_count; i++) {
        // One that was seen once is best shown as it was.
        const char *text = all[i]->count > 1 ? all[i]->text : all[i]->example;
        printf("%7zu %7zu %7zu  %s\n", all[i]->count, all[i]->first,
               all[i]->last, text);
    }
}

static size_t count_file(FILE *file, size_t number) {
    for (char *line; (line = read_line(file)) != NULL;) {
        count_line(line, ++number);
    }
    return number;
}

int main(int argc, char **argv) {
    int status = 0;
    size_t number = 0;
    buckets = must(loam_new_array(struct bucket, BUCKET_COUNT));
    if (argc < 2) {
        number = count_file(stdin, number);
    }
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (file == NULL) {
            perror(argv[i]);
            status = 1;
            continue;
        }
        number = count_file(file, number);
        fclose(file);
    }
    print_summary(number);
    return status;
}
