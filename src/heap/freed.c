// SPDX-License-Identifier: MIT
// freed.c: a bit for every 16 bytes, which is the least a cell has.

#include "heap/freed.h"

#include "base/settings.h"
#include "heap/space.h"
#include "os/memory.h"

#define GRAIN_SHIFT 4

static uint8_t *freed_bits; // atomic
static size_t freed_bytes;

void lm_freed_init(void) {
    if (lm_settings.check >= 3) {
        freed_bytes = lm_space.reserved_bytes >> (GRAIN_SHIFT + 3);
        freed_bits = lm_memory_map(freed_bytes);
    }
}

void lm_freed_note(uintptr_t start, size_t bytes) {
    if (freed_bits == NULL) {
        return;
    }
    size_t grain = (start - lm_space.base) >> GRAIN_SHIFT;
    size_t end = (start - lm_space.base + bytes + 15) >> GRAIN_SHIFT;
    for (; grain < end; grain++) {
        __atomic_fetch_or(&freed_bits[grain / 8], (uint8_t)(1 << (grain % 8)),
                          __ATOMIC_RELAXED);
    }
}

bool lm_freed_has(uintptr_t address) {
    size_t grain = (address - lm_space.base) >> GRAIN_SHIFT;
    return freed_bits != NULL &&
           (__atomic_load_n(&freed_bits[grain / 8], __ATOMIC_RELAXED) >>
                (grain % 8) &
            1);
}

void lm_freed_forget(void) {
    if (freed_bits != NULL) {
        size_t used = lm_space_used_blocks() << LM_BLOCK_SHIFT;
        lm_memory_discard(freed_bits, used >> (GRAIN_SHIFT + 3));
    }
}

void lm_freed_fini(void) {
    if (freed_bits != NULL) {
        lm_memory_release(freed_bits, freed_bytes);
        freed_bits = NULL;
    }
}
