// SPDX-License-Identifier: MIT
// garbage.c: loam/garbage.h.

#include <loam/garbage.h>

#include <loam/heap.h>

#include "api/runtime.h"
#include "collect/cycle.h"
#include "heap/find.h"
#include "life/garbage.h"

#define GARBAGE_BATCH 64

// More than may be found while the list is copied.
#define GARBAGE_SPARE 64

size_t loam_garbage_count(void) {
    if (lm_runtime_self() == NULL) {
        return 0;
    }
    lm_cycle_hold();
    size_t count = lm_garbage_count();
    lm_cycle_let();
    return count;
}

// A copy of the list, whose words keep nothing alive: the lowest bit says whether
// another one refers to the object. NULL where it is empty, or there is no memory.
static uintptr_t *list_copy(size_t *count) {
    uintptr_t *list = NULL;
    size_t room = 0;
    for (;;) {
        lm_cycle_hold();
        *count = lm_garbage_count();
        for (size_t i = 0; i < *count && *count <= room; i++) {
            struct lm_garbage g = lm_garbage_at(i);
            list[i] = g.start | g.is_referred;
        }
        lm_cycle_let();
        if (*count <= room) {
            return list;
        }
        loam_free(list);
        room = *count + GARBAGE_SPARE;
        list = loam_alloc_leaf(room * sizeof *list); // may find more of them
        if (list == NULL) {
            *count = 0;
            return NULL;
        }
    }
}

// The next of them that have not been freed by hand. Collections are held off:
// in the course of one what is kept, and nobody refers to, is not there.
static size_t gather(struct loam_garbage *batch, const uintptr_t *list,
                     size_t *index, size_t end) {
    struct lm_object object;
    size_t count = 0;
    lm_cycle_hold();
    for (; *index < end && count < GARBAGE_BATCH; ++*index) {
        uintptr_t start = list[*index] & ~(uintptr_t)1;
        if (lm_find(start, &object) && object.start == start) {
            void *p = (void *)lm_find_known(start); // NOLINT
            batch[count++] =
                (struct loam_garbage){p, NULL, 0, list[*index] & 1};
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
    size_t index = 0;
    size_t end;
    size_t count;
    if (lm_runtime_self() == NULL) {
        return 0;
    }
    uintptr_t *list = list_copy(&end);
    while ((count = gather(batch, list, &index, end)) > 0) {
        for (size_t i = 0; i < count; i++) {
            batch[i].type = loam_type_of(batch[i].object);
            batch[i].bytes = loam_size_of(batch[i].object);
            if (batch[i].bytes) { // else an earlier call has freed it
                fn(&batch[i], argument);
                total++;
            }
        }
    }
    loam_free(list);
    return total;
}
