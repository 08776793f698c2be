// SPDX-License-Identifier: MIT
// options.c: what the command line asks for.

#define _GNU_SOURCE

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "must.h"

static const char options_help[] =
    "usage: wordindex [OPTION...] FILE...\n"
    "\n"
    "Index the words of text files, answer queries, and print the most\n"
    "frequent words. All of it lives on the Loam heap and nothing is freed.\n"
    "\n"
    "  --query \"WORD...\"  find the files that have all of these words; may "
    "be\n"
    "                     given again (without one: pairs of frequent words)\n"
    "  --top N            print the N most frequent words (10)\n"
    "  --threads N        index with N threads (the number of processors, but\n"
    "                     at least 2)\n"
    "  --repeat N         index all files N times, each time from nothing\n"
    "                     (as often as it takes to read 40 MiB)\n"
    "  --help             print this\n"
    "\n"
    "exit status: 0 all went well (binary files are left out with a note),\n"
    "1 a file could not be read, 2 wrong usage or nothing to index, 3 no "
    "memory\n";

static void options_refuse(const char *saw, const char *rule) {
    fprintf(stderr,
            "wordindex: %s: %s\n"
            "Try: wordindex --help\n",
            saw, rule);
    exit(2);
}

static size_t options_number(const char *option, const char *text, size_t min,
                             size_t max) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        value < min || value > max) {
        options_refuse(must(loam_printf("--%s %s", option, text)),
                       must(loam_printf("takes a whole number from %zu to %zu",
                                        min, max)));
    }
    return value;
}

struct options *options_read(int argc, char **argv) {
    static const struct option known[] = {
        {"query", required_argument, NULL, 'q'},
        {"top", required_argument, NULL, 'n'},
        {"threads", required_argument, NULL, 't'},
        {"repeat", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options *options = must(loam_new(struct options));
    options->queries = must(loam_new_array(const char *, (size_t)argc));
    options->top_count = 10;
    opterr = 0;
    int choice;
    while ((choice = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        switch (choice) {
        case 'q':
            options->queries[options->query_count++] = optarg;
            break;
        case 'n':
            options->top_count = options_number("top", optarg, 0, 1000000);
            break;
        case 't':
            options->thread_count = options_number("threads", optarg, 1, 1024);
            break;
        case 'r':
            options->round_count = options_number("repeat", optarg, 1, 1000000);
            break;
        case 'h':
            fputs(options_help, stdout);
            exit(0);
        case ':':
            options_refuse(argv[optind - 1], "needs a value");
            break;
        default:
            options_refuse(argv[optind - 1], "is no option of this program");
        }
    }
    options->names = argv + optind;
    options->name_count = (size_t)(argc - optind);
    if (options->name_count == 0) {
        options_refuse("no files", "name the text files to index");
    }
    return options;
}
