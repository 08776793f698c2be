// SPDX-License-Identifier: MIT
// lines.c: the tutorial's program after its second step.

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

int main(void) {
    size_t count = 0;
    char *longest = "";
    for (char *line; (line = read_line(stdin)) != NULL; count++) {
        if (strlen(line) > strlen(longest)) {
            longest = line;
        }
    }
    printf("%zu lines, the longest: %s\n", count, longest);
    return 0;
}
