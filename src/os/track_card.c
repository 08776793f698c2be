// SPDX-License-Identifier: MIT
// track_card.c: the table of cards.

#include "os/track_card.h"

#include "os/memory.h"

#include <string.h>

static struct {
    uint8_t *card; // by page of the range; NULL: none. Each is atomic
    uintptr_t base;
    uintptr_t end;
} cards;

static size_t card_index(uintptr_t address) {
    return (address - cards.base) >> LM_PAGE_SHIFT;
}

bool lm_track_card_open(uintptr_t base, uintptr_t end) {
    cards.base = base;
    cards.end = end;
    cards.card = lm_memory_map((end - base) >> LM_PAGE_SHIFT);
    return cards.card != NULL;
}

void lm_track_card_close(void) {
    uint8_t *card = cards.card;
    cards.card = NULL;
    lm_memory_release(card, (cards.end - cards.base) >> LM_PAGE_SHIFT);
}

uint8_t *lm_track_card_of(uintptr_t address) {
    return cards.card && address - cards.base < cards.end - cards.base
               ? &cards.card[card_index(address)]
               : NULL;
}

void lm_track_card_set(uintptr_t start, uintptr_t end, enum lm_card card) {
    memset(&cards.card[card_index(start)], (int)card,
           (end - start) >> LM_PAGE_SHIFT);
}

bool lm_track_card_has_armed(uintptr_t start, uintptr_t end) {
    return memchr(&cards.card[card_index(start)], LM_CARD_ARMED,
                  (end - start) >> LM_PAGE_SHIFT) != NULL;
}

static bool card_is_written(uintptr_t at) {
    return __atomic_load_n(&cards.card[card_index(at)], __ATOMIC_RELAXED) !=
           LM_CARD_ARMED;
}

bool lm_track_card_next(struct lm_track_scan *scan, uintptr_t *start,
                        uintptr_t *end) {
    while (scan->at < scan->end && !card_is_written(scan->at)) {
        scan->at += LM_PAGE_BYTES;
    }
    *start = scan->at;
    while (scan->at < scan->end && card_is_written(scan->at)) {
        scan->at += LM_PAGE_BYTES;
    }
    *end = scan->at;
    return *start < *end;
}
