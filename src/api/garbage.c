// SPDX-License-Identifier: MIT
// garbage.c: loam/garbage.h.

#include <loam/garbage.h>

#include <loam/heap.h>

#include "api/runtime.h"
#include "collect/cycle.h"
#include "heap/find.h"
#include "life/garbage.h"

#define GARBAGE_BATCH 64

size_t loam_garbage_count(void) {
    if (lm_runtime_self() == NULL) {
        return 0;
    }
    lm_cycle_hold();
    size_t count = lm_garbage_count();
    lm_cycle_let();
    return count;
}

// Those from `from` on, as many as fit; none once another collection has come.
static size_t gather(struct loam_garbage *batch, size_t from,
                     uint64_t collection) {
    size_t count = 0;
    lm_cycle_hold();
    if (lm_cycle_number() == collection) {
        while (count < GARBAGE_BATCH && from + count < lm_garbage_count()) {
            struct lm_garbage g = lm_garbage_at(from + count);
            void *p = (void *)lm_find_known(g.start); // NOLINT
            batch[count++] = (struct loam_garbage){p, NULL, 0, g.is_referred};
        }
    }
    lm_cycle_let();
    return count;
}

size_t loam_garbage_each(void (*fn)(const struct loam_garbage *garbage,
                                    void *argument),
                         void *argument) {
    struct loam_garbage batch[GARBAGE_BATCH];
    size_t total = 0;
    size_t count;
    if (lm_runtime_self() == NULL) {
        return 0;
    }
    uint64_t collection = lm_cycle_number();
    while ((count = gather(batch, total, collection)) > 0) {
        for (size_t i = 0; i < count; i++) {
            batch[i].type = loam_type_of(batch[i].object);
            batch[i].bytes = loam_size_of(batch[i].object);
            fn(&batch[i], argument);
        }
        total += count;
    }
    return total;
}
