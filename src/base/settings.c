// SPDX-License-Identifier: MIT
// settings.c: the defaults.

#include "base/settings.h"

#include "base/config.h"

#ifndef LM_CHECK_DEFAULT
#define LM_CHECK_DEFAULT 1
#endif

struct lm_settings lm_settings = {
    .heap_min = LM_HEAP_MIN_BYTES,
    .growth = 100, // as Go's GOGC: the heap may double
    .check = LM_CHECK_DEFAULT,
};
