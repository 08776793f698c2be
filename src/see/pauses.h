// SPDX-License-Identifier: MIT
// see/pauses.h: how long pauses were, as a histogram.

#ifndef SEE_PAUSES_H
#define SEE_PAUSES_H

#include <stdint.h>

// lm_pauses_add enters a pause.
void lm_pauses_add(uint64_t ns);

// lm_pauses_quantile returns the pause that `thousandths` of all do not pass,
// within 4 %; 0 when there was none.
uint64_t lm_pauses_quantile(unsigned thousandths);

#endif // SEE_PAUSES_H
