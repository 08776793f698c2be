// SPDX-License-Identifier: MIT
// survivors.c: counting which objects outlived a collection.

#include "support/survivors.h"

#include <loam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void must_fail(const char *text, const char *file, int line) {
    fprintf(stderr, "%s:%d: this must hold: %s\n", file, line, text);
    abort();
}

OWN_FRAME bool is_live(uintptr_t hidden) {
    return loam_base_of(unhide(hidden)) == unhide(hidden);
}

struct survivors survivors_new(size_t room) {
    struct survivors list = {calloc(room, sizeof(uintptr_t)), 0, room};
    must(list.hidden != NULL);
    return list;
}

void survivors_free(struct survivors *list) {
    free(list->hidden);
    *list = (struct survivors){0};
}

void survivors_note(struct survivors *list, const void *p) {
    must(list->count < list->room);
    list->hidden[list->count++] = hide(p);
}

size_t survivors_count(const struct survivors *list) {
    size_t live = 0;
    for (size_t i = 0; i < list->count; i++) {
        live += is_live(list->hidden[i]) ? 1 : 0;
    }
    return live;
}

OWN_FRAME void stack_clear(void) {
    // Deeper than any frame of a test; the barrier keeps the stores.
    char below[32 * 1024];
    memset(below, 0, sizeof below);
    __asm__ volatile("" : : "r"(below) : "memory");
}

OWN_FRAME void collect_clean(void) {
    stack_clear();
    loam_collect();
}

OWN_FRAME void fill_place(void **place, size_t count, size_t bytes,
                          struct survivors *list) {
    for (size_t i = 0; i < count; i++) {
        uint64_t *words = loam_alloc(bytes);
        must(words != NULL);
        for (size_t w = 0; w < bytes / sizeof *words; w++) {
            must(words[w] == 0);
            words[w] = i + 1;
        }
        place[i] = words;
        survivors_note(list, words);
    }
}

OWN_FRAME bool is_place_intact(void *const *place, size_t count, size_t bytes) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t *words = place[i];
        for (size_t w = 0; w < bytes / sizeof *words; w++) {
            if (words[w] != i + 1) {
                return false;
            }
        }
    }
    return true;
}
