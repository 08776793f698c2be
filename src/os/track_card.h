// SPDX-License-Identifier: MIT
// os/track_card.h: a byte a page, for the rungs of os/track that note stores
// themselves.

#ifndef OS_TRACK_CARD_H
#define OS_TRACK_CARD_H

#include "os/track_scan.h"

// What a card says. Whatever is not ARMED counts as written; loam_store knows
// the number of WRITTEN, too.
enum lm_card {
    LM_CARD_FRESH = 0,   // never armed
    LM_CARD_WRITTEN = 1, // since it was last armed
    LM_CARD_ARMED = 2,   // and not written since
};

// lm_track_card_open makes the table for a range; false when refused. It takes
// memory where cards are set only.
bool lm_track_card_open(uintptr_t base, uintptr_t end);
void lm_track_card_close(void);

// lm_track_card_of returns the card of an address, NULL outside of the range or
// without a table.
uint8_t *lm_track_card_of(uintptr_t address);

// lm_track_card_set sets the cards of whole pages in the range.
void lm_track_card_set(uintptr_t start, uintptr_t end, enum lm_card card);

// lm_track_card_has_armed says whether one of them is armed.
bool lm_track_card_has_armed(uintptr_t start, uintptr_t end);

// lm_track_card_next is lm_track_scan_next, but arms nothing.
bool lm_track_card_next(struct lm_track_scan *scan, uintptr_t *start,
                        uintptr_t *end);

#endif // OS_TRACK_CARD_H
