// SPDX-License-Identifier: MIT
// api/pool.h: what pools and caches have in common.

#ifndef API_POOL_H
#define API_POOL_H

#include <loam/pool.h>

#include "api/runtime.h"
#include "base/check.h"

// lm_pool_self returns the calling member, which must not be in a blocking
// region: no stop would wait for it. NULL as for lm_runtime_self.
static inline struct lm_member *lm_pool_self(const char *call) {
    struct lm_member *self = lm_runtime_self();
    if (lm_unlikely(self && self->blocking_depth)) {
        lm_caller_error("a thread does not touch the heap between "
                        "loam_blocking_begin and loam_blocking_end",
                        "end the region first", "%s in a blocking region",
                        call);
    }
    return self;
}

// lm_pool_make makes an object by a function or, where that is NULL, of a type.
static inline void *lm_pool_make(const struct loam_type *type,
                                 loam_make_fn *make, void *argument) {
    return make ? make(argument) : loam_new_of(type, 0);
}

#endif // API_POOL_H
