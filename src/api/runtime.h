// SPDX-License-Identifier: MIT
// api/runtime.h: the beginning and end of the heap, and joining it.

#ifndef API_RUNTIME_H
#define API_RUNTIME_H

#include "world/member.h"

#include <stdbool.h>

// lm_runtime_init sets everything up once; false with a status when refused.
bool lm_runtime_init(void);

// lm_runtime_join makes the calling thread a member, setting the heap up if it
// is the first. NULL with a status when refused; aborts after shutdown.
struct lm_member *lm_runtime_join(void);

// lm_runtime_self returns the calling member, joining first where needed.
static inline struct lm_member *lm_runtime_self(void) {
    struct lm_member *self = lm_self;
    return __builtin_expect(self != NULL, 1) ? self : lm_runtime_join();
}

// lm_runtime_is_ready says whether the heap is set up and not shut down.
bool lm_runtime_is_ready(void);

// lm_runtime_shutdown is loam_shutdown.
void lm_runtime_shutdown(void);

#endif // API_RUNTIME_H
