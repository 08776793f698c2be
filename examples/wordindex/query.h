// SPDX-License-Identifier: MIT
// query.h: which files have all of these words?

#ifndef WORDINDEX_QUERY_H
#define WORDINDEX_QUERY_H

#include <stddef.h>
#include <stdint.h>

#include <loam.h>

#include "index.h"

// struct hit is a file that has all words of a query.
struct hit {
    struct source *source;
    uint32_t line;            // the first line with the most of the words
    uint32_t line_word_count; // how many of them are on it
    uint32_t score;           // occurrences of the rarest of the words
};
LOAM_TYPE(struct hit, source)

struct answer {
    struct hit *hits; // the best first
    size_t hit_count;
    size_t word_count;
    const char *missing; // a word that is in no file, or NULL
};
LOAM_TYPE(struct answer, hits, missing)

// query_answer answers a query: words with spaces between them.
struct answer *query_answer(struct index *index, const char *query);

#endif // WORDINDEX_QUERY_H
