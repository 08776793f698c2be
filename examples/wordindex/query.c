// SPDX-License-Identifier: MIT
// query.c: which files have all of these words?

#include "query.h"

#include <stdlib.h>

#include "must.h"

enum { QUERY_WORD_MAX = 16 }; // further words of a query are not looked at

static uint32_t query_words_on(const struct posting **postings, size_t count,
                               uint32_t line) {
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += posting_has(postings[i], line) ? 1 : 0;
    }
    return found;
}

// Finds the line that shows most of the words. Only lines with the first word
// are tried: each file in the answer has some.
static void query_choose_line(struct hit *hit, const struct posting **postings,
                              size_t count) {
    for (uint32_t i = 0; i < postings[0]->line_count; i++) {
        uint32_t line = postings[0]->lines[i];
        uint32_t found = query_words_on(postings, count, line);
        if (found > hit->line_word_count) {
            hit->line_word_count = found;
            hit->line = line;
        }
    }
}

static int query_compare(const void *left, const void *right) {
    const struct hit *a = left;
    const struct hit *b = right;
    if (a->line_word_count != b->line_word_count) {
        return a->line_word_count < b->line_word_count ? 1 : -1;
    }
    if (a->score != b->score) {
        return a->score < b->score ? 1 : -1;
    }
    return a->source->number < b->source->number ? -1 : 1;
}

static void query_collect(struct answer *answer, struct word *const *words,
                          size_t count) {
    answer->hits = must(loam_new_array(struct hit, words[0]->posting_count));
    for (uint32_t i = 0; i < words[0]->posting_count; i++) {
        const struct posting *postings[QUERY_WORD_MAX];
        struct source *source = words[0]->postings[i].source;
        struct hit hit = {.source = source, .score = UINT32_MAX};
        size_t has = 0;
        for (; has < count; has++) {
            postings[has] = word_posting(words[has], source);
            if (postings[has] == NULL) {
                break;
            }
            if (postings[has]->occurrence_count < hit.score) {
                hit.score = postings[has]->occurrence_count;
            }
        }
        if (has == count) {
            query_choose_line(&hit, postings, count);
            answer->hits[answer->hit_count++] = hit;
        }
    }
    // The sources that qsort moves about are held by the index as well.
    qsort(answer->hits, answer->hit_count, sizeof(struct hit), query_compare);
}

struct answer *query_answer(struct index *index, const char *query) {
    struct answer *answer = must(loam_new(struct answer));
    struct word *words[QUERY_WORD_MAX];
    size_t count = 0;
    uint32_t line = 0;
    while (count < QUERY_WORD_MAX) {
        char *text = index_next_word(&query, &line);
        if (text == NULL) {
            break;
        }
        struct word *word = index_find(index, text);
        if (word == NULL) {
            answer->missing = text;
            return answer;
        }
        words[count++] = word;
    }
    answer->word_count = count;
    if (count > 0) {
        query_collect(answer, words, count);
    }
    return answer;
}
