// SPDX-License-Identifier: MIT
// words.c: what does a program pay whose memory is strings, most of them
// short-lived?
//
// Counts the words of a made-up text, in which few words are frequent and most
// are rare, and every fourth pair of neighbouring words. A word is copied, then
// copied again in lower case, looked up, and kept only if it is new; a pair is
// joined with a space first. The table doubles as it fills.
//
//   words WORDS

#include "backend.h"
#include "measure.h"

#include <string.h>

enum { VOCABULARY = 150000, WORD_BYTES_MAX = 24 };

struct entry {
    struct entry *chain;
    char *text;
    uint64_t hash;
    uint64_t count;
};
TYPE(struct entry, chain, text)

struct bucket {
    struct entry *first;
};
TYPE(struct bucket, first)

struct table {
    struct bucket *buckets;
    size_t bucket_count;
    size_t entry_count;
};

static struct table table; // static data, where collectors look

static uint64_t text_hash(const char *text) {
    uint64_t hash = 14695981039346656037u;
    for (; *text != 0; text++) {
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    }
    return hash ^ (hash >> 29);
}

static void table_grow(void) {
    size_t count = table.bucket_count == 0 ? 1024 : table.bucket_count * 2;
    struct bucket *buckets = NEW_ARRAY(struct bucket, count);
    for (size_t i = 0; i < table.bucket_count; i++) {
        struct entry *next;
        for (struct entry *e = table.buckets[i].first; e != NULL; e = next) {
            next = e->chain;
            struct bucket *bucket = &buckets[e->hash & (count - 1)];
            e->chain = bucket->first;
            bucket->first = e;
        }
    }
    FREE_EXPLICIT(table.buckets);
    table.buckets = buckets;
    table.bucket_count = count;
}

// Counts text, which is the table's from here on.
static void table_count(char *text) {
    uint64_t hash = text_hash(text);
    struct entry *e = table.buckets[hash & (table.bucket_count - 1)].first;
    for (; e != NULL; e = e->chain) {
        if (e->hash == hash && strcmp(e->text, text) == 0) {
            e->count++;
            FREE_EXPLICIT(text);
            return;
        }
    }
    if (table.entry_count == table.bucket_count) {
        table_grow();
    }
    struct bucket *bucket = &table.buckets[hash & (table.bucket_count - 1)];
    e = NEW(struct entry);
    e->chain = bucket->first;
    e->text = text;
    e->hash = hash;
    e->count = 1;
    bucket->first = e;
    table.entry_count++;
}

// The text: words of 2 to 17 letters, frequent ones short, some capitalised.
static size_t word_read(char *word, struct bench_random *random) {
    double u = bench_random_unit(random);
    uint64_t rank = (uint64_t)(u * u * u * u * VOCABULARY);
    uint64_t letters = bench_mix(rank);
    size_t length = 2 + (letters >> 60) % 4;
    for (uint64_t r = rank; r > 0; r /= 6) {
        length += 1 + (letters >> 59) % 2;
    }
    if (length > WORD_BYTES_MAX - 1) {
        length = WORD_BYTES_MAX - 1;
    }
    for (size_t i = 0; i < length; i++) {
        if (i == 12) {
            letters = bench_mix(letters);
        }
        word[i] = (char)('a' + (letters & 31) % 26);
        letters >>= 5;
    }
    if (bench_random_below(random, 8) == 0) {
        word[0] = (char)(word[0] - 'a' + 'A');
    }
    word[length] = 0;
    return length;
}

static char *text_copy(const char *text, size_t length) {
    char *copy = ALLOC_LEAF(length + 1);
    memcpy(copy, text, length + 1);
    return copy;
}

static char *text_lower(const char *text, size_t length) {
    char *lower = ALLOC_LEAF(length + 1);
    for (size_t i = 0; i <= length; i++) {
        char c = text[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return lower;
}

static char *text_join(const char *a, const char *b) {
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    char *joined = ALLOC_LEAF(a_length + b_length + 2);
    memcpy(joined, a, a_length);
    joined[a_length] = ' ';
    memcpy(joined + a_length + 1, b, b_length);
    joined[a_length + 1 + b_length] = 0;
    return joined;
}

int main(int argc, char **argv) {
    bench_start();
    long words = bench_argument(argc, argv, 1, 6000000);
    if (words < 1) {
        bench_fail("usage: words WORDS");
    }
    table_grow();
    struct bench_random random = bench_random_from(11);
    char *before = text_copy("", 0);
    for (long i = 0; i < words; i++) {
        char word[WORD_BYTES_MAX];
        size_t length = word_read(word, &random);
        char *copy = text_copy(word, length);
        char *lower = text_lower(copy, length);
        FREE_EXPLICIT(copy);
        if (i % 4 == 0) {
            table_count(text_join(before, lower));
        }
        table_count(text_copy(lower, length));
        FREE_EXPLICIT(before);
        before = lower;
    }

    uint64_t answer = bench_mix(table.entry_count);
    uint64_t total = 0;
    uint64_t folded = 0; // the same in whatever order
    for (size_t i = 0; i < table.bucket_count; i++) {
        for (struct entry *e = table.buckets[i].first; e; e = e->chain) {
            if (text_hash(e->text) != e->hash) {
                bench_fail("a word changed");
            }
            total += e->count;
            folded += bench_mix(e->hash ^ e->count);
        }
    }
    if (total != (uint64_t)words + ((uint64_t)words + 3) / 4) {
        bench_fail("words were lost");
    }
    bench_say(bench_mix(answer ^ folded), bench_pauses(), ", \"entries\": %zu",
              table.entry_count);
    return 0;
}
