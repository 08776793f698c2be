// SPDX-License-Identifier: MIT
// index.c: the inverted index, from words to the files and lines they are on.
//
// A thread collects the words of its file in a table of its own, where it needs
// no lock, and then moves them to the shared shards. A word that is new there
// is moved as it is, and else its posting is: the thread hands over plain
// pointers, and nobody keeps book of who owns them. What was not handed over,
// and there are a few tokens for every word kept, is for the collector.

#include "index.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "must.h"

enum {
    INDEX_FILE_BUCKETS = 256,
    INDEX_SHARD_BUCKETS = 64,
};

struct index *index_new(void) {
    struct index *index = must(loam_new(struct index));
    for (size_t i = 0; i < INDEX_SHARD_COUNT; i++) {
        pthread_mutex_init(&index->shards[i].lock, NULL);
        table_init(&index->shards[i].table, INDEX_SHARD_BUCKETS);
    }
    return index;
}

// Bytes from 0x80 are parts of UTF-8 characters, all taken for letters.
static int index_starts_word(unsigned char c) {
    return isalpha(c) || c == '_' || c >= 0x80;
}

static int index_continues_word(unsigned char c) {
    return index_starts_word(c) || isdigit(c);
}

char *index_next_word(const char **text, uint32_t *line) {
    const char *p = *text;
    while (*p != '\0' && !index_starts_word((unsigned char)*p)) {
        if (*p == '\n') {
            (*line)++;
        }
        // Skip the rest of a number, as in 0xff or 10ms.
        if (isdigit((unsigned char)*p)) {
            while (index_continues_word((unsigned char)p[1])) {
                p++;
            }
        }
        p++;
    }
    const char *from = p;
    while (index_continues_word((unsigned char)*p)) {
        p++;
    }
    *text = p;
    if (p == from) {
        return NULL;
    }
    char *word = must(loam_strndup(from, (size_t)(p - from)));
    for (char *c = word; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return word;
}

static struct shard *index_shard(struct index *index, uint64_t hash) {
    // The low bits choose the bucket within the shard.
    return &index->shards[(hash >> 48) % INDEX_SHARD_COUNT];
}

static void index_take(struct index *index, struct word *word) {
    struct shard *shard = index_shard(index, word->hash);
    pthread_mutex_lock(&shard->lock);
    struct word *known = table_find(&shard->table, word->text, word->hash);
    if (known == NULL) {
        table_add(&shard->table, word);
    } else {
        word_take(known, &word->postings[0]);
    }
    pthread_mutex_unlock(&shard->lock);
}

void index_add(struct index *index, struct source *source) {
    struct table table;
    table_init(&table, INDEX_FILE_BUCKETS);
    const char *text = source->text;
    uint32_t line = 1;
    for (char *token; (token = index_next_word(&text, &line)) != NULL;) {
        uint64_t hash = word_hash(token);
        struct word *word = table_find(&table, token, hash);
        if (word == NULL) {
            word = word_new(token, hash);
            table_add(&table, word);
        }
        word_note(word, source, line);
    }
    for (size_t i = 0; i < table.bucket_count; i++) {
        for (struct word *word = table.buckets[i].first; word != NULL;) {
            struct word *next = word->next;
            index_take(index, word);
            word = next;
        }
    }
}

struct word *index_find(struct index *index, const char *text) {
    uint64_t hash = word_hash(text);
    return table_find(&index_shard(index, hash)->table, text, hash);
}

static int index_compare(const void *left, const void *right) {
    const struct word *a = *(struct word *const *)left;
    const struct word *b = *(struct word *const *)right;
    if (a->occurrence_count != b->occurrence_count) {
        return a->occurrence_count < b->occurrence_count ? 1 : -1;
    }
    return strcmp(a->text, b->text);
}

struct word **index_ranked(struct index *index, size_t *word_count) {
    size_t count = 0;
    for (size_t i = 0; i < INDEX_SHARD_COUNT; i++) {
        count += index->shards[i].table.word_count;
    }
    struct word **words = must(loam_new_array(struct word *, count));
    size_t n = 0;
    for (size_t i = 0; i < INDEX_SHARD_COUNT; i++) {
        const struct table *table = &index->shards[i].table;
        for (size_t k = 0; k < table->bucket_count; k++) {
            for (struct word *w = table->buckets[k].first; w; w = w->next) {
                words[n++] = w;
            }
        }
    }
    // The library's qsort may hold some of the pointers in malloc's memory for
    // a while, where the collector does not look. These words are in the index
    // too, so it does no harm.
    qsort(words, count, sizeof(words[0]), index_compare);
    *word_count = count;
    return words;
}
