// SPDX-License-Identifier: MIT
// settings.c: the defaults.

#include "base/settings.h"

#include "base/config.h"

#ifndef LM_CHECK_DEFAULT
#define LM_CHECK_DEFAULT 1
#endif

struct lm_settings lm_settings = {
    .heap_min = LM_HEAP_MIN_BYTES,
    // Half of what is alive, for heaps past 88 MiB; smaller ones may double
    // (see collect/pace.c). Chosen by peak memory against bdwgc.
    .growth = 50,
    .finalizer_slow_ns = 1000000000,
    .check = LM_CHECK_DEFAULT,
    .oom_spare = LM_OOM_SPARE_BYTES,
};
