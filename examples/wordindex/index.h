// SPDX-License-Identifier: MIT
// index.h: the inverted index, from words to the files and lines they are on.

#ifndef WORDINDEX_INDEX_H
#define WORDINDEX_INDEX_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <loam.h>

#include "source.h"
#include "word.h"

// The words are spread over shards by their hash, so that threads which add to
// different shards seldom wait for each other: 64 is many more than there are
// threads on most machines.
enum { INDEX_SHARD_COUNT = 64 };

struct shard {
    pthread_mutex_t lock; // guards the table and the words in it
    struct table table;
};
LOAM_TYPE(struct shard, LOAM_NESTED(table, struct table))

struct index {
    struct shard shards[INDEX_SHARD_COUNT];
};
LOAM_TYPE(struct index, LOAM_NESTED(shards, struct shard))

struct index *index_new(void);

// index_add adds the words of one source. Any number of threads may call it at
// the same time.
void index_add(struct index *index, struct source *source);

// index_find returns a word, or NULL. Not while threads are adding.
struct word *index_find(struct index *index, const char *text);

// index_ranked returns all words, the most frequent first, and how many they
// are. Not while threads are adding.
struct word **index_ranked(struct index *index, size_t *word_count);

// index_next_word returns the next word of a text in lower case and moves
// *text past it, or NULL at the end. *line counts the newlines passed over.
char *index_next_word(const char **text, uint32_t *line);

#endif // WORDINDEX_INDEX_H
