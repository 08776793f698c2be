// SPDX-License-Identifier: MIT
// word.h: a word and where it occurs; tables of words.

#ifndef WORDINDEX_WORD_H
#define WORDINDEX_WORD_H

#include <stddef.h>
#include <stdint.h>

#include <loam.h>

#include "source.h"

// struct posting says where one word occurs in one file.
struct posting {
    struct source *source;
    uint32_t *lines; // ascending, each line once
    uint32_t line_count;
    uint32_t line_room;
    uint32_t occurrence_count;
};
LOAM_TYPE(struct posting, source, lines)

struct word {
    struct word *next; // in the same bucket
    char *text;        // lower case
    uint64_t hash;
    struct posting *postings; // by the number of their source
    uint32_t posting_count;
    uint32_t posting_room;
    uint64_t occurrence_count; // in all files
};
LOAM_TYPE(struct word, next, text, postings)

struct bucket {
    struct word *first;
};
LOAM_TYPE(struct bucket, first)

// struct table finds words by their text.
struct table {
    struct bucket *buckets;
    size_t bucket_count; // a power of two
    size_t word_count;
};
LOAM_TYPE(struct table, buckets)

uint64_t word_hash(const char *text);
struct word *word_new(char *text, uint64_t hash);

// word_note notes one occurrence in the source that is being read; lines of a
// source come in order.
void word_note(struct word *word, struct source *source, uint32_t line);

// word_take adds the posting of another source to a word.
void word_take(struct word *word, const struct posting *posting);

// word_posting returns a word's posting for a source, or NULL.
const struct posting *word_posting(const struct word *word,
                                   const struct source *source);

// posting_has says whether a word occurs on a line.
int posting_has(const struct posting *posting, uint32_t line);

void table_init(struct table *table, size_t bucket_count);
struct word *table_find(const struct table *table, const char *text,
                        uint64_t hash);
void table_add(struct table *table, struct word *word);

#endif // WORDINDEX_WORD_H
