// SPDX-License-Identifier: MIT
// word.c: a word and where it occurs; tables of words.
//
// Arrays grow by loam_realloc and tables by making a new one; the old one is
// simply forgotten.

#include "word.h"

#include <string.h>

#include "must.h"

uint64_t word_hash(const char *text) {
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash ^ hash >> 32;
}

struct word *word_new(char *text, uint64_t hash) {
    struct word *word = must(loam_new(struct word));
    word->text = text;
    word->hash = hash;
    return word;
}

// Makes room for one more posting and returns it: the one at `place`.
static struct posting *word_insert(struct word *word, uint32_t place) {
    if (word->postings == NULL) {
        word->postings = must(loam_new_array(struct posting, 1));
        word->posting_room = 1;
    } else if (word->posting_count == word->posting_room) {
        word->posting_room *= 2;
        word->postings = must(loam_realloc(
            word->postings, word->posting_room * sizeof(struct posting)));
    }
    struct posting *posting = &word->postings[place];
    memmove(posting + 1, posting,
            (word->posting_count - place) * sizeof(struct posting));
    memset(posting, 0, sizeof *posting);
    word->posting_count++;
    return posting;
}

void word_note(struct word *word, struct source *source, uint32_t line) {
    struct posting *posting = NULL;
    if (word->posting_count > 0) {
        posting = &word->postings[word->posting_count - 1];
    } else {
        posting = word_insert(word, 0);
        posting->source = source;
    }
    word->occurrence_count++;
    posting->occurrence_count++;
    if (posting->line_count > 0 &&
        posting->lines[posting->line_count - 1] == line) {
        return;
    }
    if (posting->lines == NULL) {
        posting->line_room = 4;
        posting->lines = must(loam_alloc_leaf(4 * sizeof(uint32_t)));
    } else if (posting->line_count == posting->line_room) {
        posting->line_room *= 2;
        posting->lines = must(loam_realloc(
            posting->lines, posting->line_room * sizeof(uint32_t)));
    }
    posting->lines[posting->line_count++] = line;
}

void word_take(struct word *word, const struct posting *posting) {
    // Files are finished nearly in the order they were begun, so the place is
    // at the end or close to it.
    uint32_t place = word->posting_count;
    while (place > 0 &&
           word->postings[place - 1].source->number > posting->source->number) {
        place--;
    }
    *word_insert(word, place) = *posting;
    word->occurrence_count += posting->occurrence_count;
}

const struct posting *word_posting(const struct word *word,
                                   const struct source *source) {
    uint32_t low = 0;
    uint32_t high = word->posting_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (word->postings[middle].source->number < source->number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < word->posting_count && word->postings[low].source == source
               ? &word->postings[low]
               : NULL;
}

int posting_has(const struct posting *posting, uint32_t line) {
    uint32_t low = 0;
    uint32_t high = posting->line_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (posting->lines[middle] < line) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < posting->line_count && posting->lines[low] == line;
}

void table_init(struct table *table, size_t bucket_count) {
    table->buckets = must(loam_new_array(struct bucket, bucket_count));
    table->bucket_count = bucket_count;
    table->word_count = 0;
}

struct word *table_find(const struct table *table, const char *text,
                        uint64_t hash) {
    size_t place = hash & (table->bucket_count - 1);
    struct word *word = table->buckets[place].first;
    while (word != NULL &&
           (word->hash != hash || strcmp(word->text, text) != 0)) {
        word = word->next;
    }
    return word;
}

static void table_push(struct table *table, struct word *word) {
    struct bucket *bucket =
        &table->buckets[word->hash & (table->bucket_count - 1)];
    word->next = bucket->first;
    bucket->first = word;
}

static void table_grow(struct table *table) {
    struct table wider;
    table_init(&wider, table->bucket_count * 2);
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (struct word *word = table->buckets[i].first; word != NULL;) {
            struct word *next = word->next;
            table_push(&wider, word);
            word = next;
        }
    }
    table->buckets = wider.buckets;
    table->bucket_count = wider.bucket_count;
}

void table_add(struct table *table, struct word *word) {
    if (table->word_count == table->bucket_count) {
        table_grow(table);
    }
    table_push(table, word);
    table->word_count++;
}
