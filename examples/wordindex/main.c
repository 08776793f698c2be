// SPDX-License-Identifier: MIT
// main.c: index text files, answer queries, print the most frequent words.
//
// There is no free in this program, and no bookkeeping in place of it: strings,
// posting arrays and whole indexes are dropped where they are no longer needed.

#define _POSIX_C_SOURCE 200809L

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <loam.h>

#include "crew.h"
#include "must.h"
#include "options.h"
#include "query.h"

enum {
    MAIN_READ_BYTES = 40 << 20, // how much to read before it is enough
    MAIN_ROUNDS_MAX = 1000,
    MAIN_HITS_SHOWN = 3,
    MAIN_LINE_BYTES = 64,
    MAIN_QUERY_COUNT = 3, // queries that we think of ourselves
};

static double main_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static size_t main_thread_count(const struct options *options) {
    if (options->thread_count > 0) {
        return options->thread_count;
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 2 ? 2 : (size_t)processors;
}

// main_grouped writes 1234567 as 1,234,567.
static char *main_grouped(uint64_t number) {
    char *digits = must(loam_printf("%llu", (unsigned long long)number));
    size_t count = strlen(digits);
    char *grouped = must(loam_alloc_leaf(count + count / 3 + 1));
    char *to = grouped;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return grouped;
}

// Says which files could not be indexed and takes them out of the names.
// Returns how many of them could not be read; binary files do not count.
static size_t main_report_problems(struct crew *crew) {
    size_t kept = 0;
    size_t failed = 0;
    for (size_t i = 0; i < crew->name_count; i++) {
        if (crew->sources[i] != NULL) {
            crew->sources[kept] = crew->sources[i];
            crew->names[kept++] = crew->names[i];
            continue;
        }
        fprintf(stderr, "wordindex: %s: %s\n", crew->names[i],
                crew->problems[i]);
        failed += strncmp(crew->problems[i], "is binary", 9) != 0;
    }
    crew->name_count = kept;
    return failed;
}

static void main_print_words(struct word **words, size_t count) {
    printf("The most frequent words\n");
    for (size_t i = 0; i < count; i++) {
        uint32_t files = words[i]->posting_count;
        printf("  %10s  %-24s in %s %s\n",
               main_grouped(words[i]->occurrence_count), words[i]->text,
               main_grouped(files), files == 1 ? "file" : "files");
    }
    printf("\n");
}

static void main_print_answer(struct index *index, const char *query) {
    struct answer *answer = query_answer(index, query);
    if (answer->missing != NULL) {
        printf("\"%s\": no file has the word \"%s\"\n\n", query,
               answer->missing);
        return;
    }
    if (answer->word_count == 0) {
        printf("\"%s\": there is no word in this query\n\n", query);
        return;
    }
    printf("\"%s\": in %s %s\n", query, main_grouped(answer->hit_count),
           answer->hit_count == 1 ? "file" : "files");
    for (size_t i = 0; i < answer->hit_count && i < MAIN_HITS_SHOWN; i++) {
        const struct hit *hit = &answer->hits[i];
        printf("  %s:%u: %s\n", hit->source->name, hit->line,
               source_line(hit->source, hit->line, MAIN_LINE_BYTES));
    }
    if (answer->hit_count > MAIN_HITS_SHOWN) {
        printf("  and %s more\n",
               main_grouped(answer->hit_count - MAIN_HITS_SHOWN));
    }
    printf("\n");
}

// Asks for pairs of frequent words that tell something: not short, and not in
// most of the files.
static void main_ask_frequent(struct index *index, struct word **words,
                              size_t count, size_t file_count) {
    const char *first = NULL;
    size_t asked = 0;
    for (size_t i = 0; i < count && asked < MAIN_QUERY_COUNT; i++) {
        if (strlen(words[i]->text) < 6 ||
            words[i]->posting_count > file_count / 2 + 1) {
            continue;
        }
        if (first == NULL) {
            first = words[i]->text;
            continue;
        }
        main_print_answer(index,
                          must(loam_printf("%s %s", first, words[i]->text)));
        first = NULL;
        asked++;
    }
}

static void main_print_summary(const struct crew *crew, size_t threads,
                               size_t rounds, double seconds) {
    uint64_t bytes = 0;
    uint64_t lines = 0;
    for (size_t i = 0; i < crew->name_count; i++) {
        bytes += crew->sources[i]->byte_count;
        lines += crew->sources[i]->line_count;
    }
    printf("Indexed %s %s with %s lines and %s bytes: %zu %s, %zu %s, "
           "%.2f s.\n",
           main_grouped(crew->name_count),
           crew->name_count == 1 ? "file" : "files", main_grouped(lines),
           main_grouped(bytes), threads, threads == 1 ? "thread" : "threads",
           rounds, rounds == 1 ? "round" : "rounds", seconds);
    if (rounds > 1) {
        printf("Each round makes the index anew and drops the one before, so "
               "that the\ncollector has something to do; --repeat 1 indexes "
               "once.\n");
    }
    printf("\n");
}

// How often to index: as asked, or until enough has been read.
static size_t main_round_count(const struct options *options,
                               const struct crew *crew) {
    if (options->round_count > 0) {
        return options->round_count;
    }
    size_t bytes = 1;
    for (size_t i = 0; i < crew->name_count; i++) {
        bytes += crew->sources[i]->byte_count;
    }
    size_t rounds = MAIN_READ_BYTES / bytes + 1;
    return rounds < MAIN_ROUNDS_MAX ? rounds : MAIN_ROUNDS_MAX;
}

// The newest index and its files; being static, it is alive to the end.
static struct crew crew;

int main(int argc, char **argv) {
    struct options *options = options_read(argc, argv);
    size_t threads = main_thread_count(options);
    double begin = main_seconds();

    threads = crew_run(&crew, options->names, options->name_count, threads);
    size_t failed = main_report_problems(&crew);
    if (crew.name_count == 0) {
        fprintf(stderr, "wordindex: none of the files could be indexed\n");
        return 2;
    }
    size_t rounds = main_round_count(options, &crew);
    for (size_t i = 1; i < rounds; i++) {
        crew_run(&crew, crew.names, crew.name_count, threads);
        if (main_report_problems(&crew) > 0) {
            fprintf(stderr, "wordindex: files have changed; giving up\n");
            return 1;
        }
    }
    main_print_summary(&crew, threads, rounds, main_seconds() - begin);

    size_t word_count;
    struct word **words = index_ranked(crew.index, &word_count);
    main_print_words(words, word_count < options->top_count
                                ? word_count
                                : options->top_count);
    for (size_t i = 0; i < options->query_count; i++) {
        main_print_answer(crew.index, options->queries[i]);
    }
    if (options->query_count == 0) {
        main_ask_frequent(crew.index, words, word_count, crew.name_count);
    }
    return failed > 0 ? 1 : 0;
}
