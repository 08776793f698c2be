// SPDX-License-Identifier: MIT
// kind.c: the table of kinds.
//
//   kind.1  A kind below lm_kind_count() is complete and, but for its lists
//           and figures, never changes.

#include "heap/kind.h"

#include <loam/size.h>

#include "base/bits.h"
#include "base/config.h"
#include "os/memory.h"

struct lm_kind *lm_kinds;
struct lm_scan *lm_scans;

static struct lm_lock kind_lock; // guards adding
static uint32_t kind_count;      // atomic

// The words that a layout's spans name, if all are among the first 64.
static bool layout_mask(const struct lm_layout *layout, uint64_t *mask) {
    *mask = 0;
    for (size_t i = 0; i < layout->fixed_count; i++) {
        const struct lm_span *span = &layout->fixed[i];
        size_t first = span->offset_bytes / sizeof(void *);
        if (first + span->word_count > 64) {
            return false;
        }
        *mask |= lm_bits_low(span->word_count)
                 << (64 - first - span->word_count);
    }
    return layout->repeat_count == 0 && layout->mark == NULL;
}

static enum lm_shape kind_shape(const struct lm_kind *k, uint64_t *mask) {
    const struct lm_layout *layout = k->layout;
    if (k->is_leaf) {
        return LM_SHAPE_LEAF;
    }
    if (k->cell_bytes == 0 || layout->mark) {
        return LM_SHAPE_GENERAL;
    }
    if (layout->repeat_count == 1 && layout->fixed_count == 0 &&
        layout->repeat_start_bytes == 0 &&
        layout->repeat_stride_bytes == sizeof(void *)) {
        return LM_SHAPE_WORDS;
    }
    return layout_mask(layout, mask) ? LM_SHAPE_MASK : LM_SHAPE_GENERAL;
}

static void kind_fill(struct lm_kind *k, const struct loam_type *type,
                      bool is_array, uint32_t size_class) {
    k->layout = is_array ? &type->array : &type->single;
    k->type = type;
    k->is_leaf = type->scan == LOAM_SCAN_LEAF;
    k->is_zeroed = type != &lm_type_leaf;
    k->has_ends = is_array || type == &lm_type_raw || type == &lm_type_leaf ||
                  k->layout->repeat_count > 0;
    k->size_class = (uint8_t)size_class;
    if (size_class != LM_KIND_LARGE_CLASS) {
        k->cell_bytes = (uint32_t)loam_cell_bytes_(size_class);
        k->cell_count = (uint16_t)(LM_BLOCK_BYTES / k->cell_bytes);
        k->scale = (uint32_t)((((uint64_t)1 << 32) + k->cell_bytes - 1) /
                              k->cell_bytes);
    }
    struct lm_scan *scan = &lm_scans[k - lm_kinds];
    scan->cell_bytes = k->cell_bytes;
    scan->shape = kind_shape(k, &scan->pointer_mask);
}

static uint32_t kind_add(const struct loam_type *type, bool is_array,
                         uint32_t size_class) {
    if (kind_count == LM_KIND_MAX) {
        return 0;
    }
    uint32_t number = kind_count;
    kind_fill(&lm_kinds[number], type, is_array, size_class);
    // Release: who reads the count sees the kind. (kind.1)
    __atomic_store_n(&kind_count, number + 1, __ATOMIC_RELEASE);
    return number;
}

// Not static data: the collector would scan it as a root.
#define KIND_TABLE_BYTES                                                       \
    (LM_KIND_MAX * (sizeof(struct lm_kind) + sizeof(struct lm_scan)))

bool lm_kind_init(void) {
    lm_kinds = lm_memory_map(KIND_TABLE_BYTES);
    if (lm_kinds == NULL) {
        return false;
    }
    lm_scans = (struct lm_scan *)(lm_kinds + LM_KIND_MAX);
    kind_count = 1;
    for (uint32_t c = 0; c < LOAM_SIZE_CLASS_COUNT; c++) {
        kind_add(&lm_type_raw, false, c);
        kind_add(&lm_type_leaf, false, c);
    }
    kind_add(&lm_type_raw, false, LM_KIND_LARGE_CLASS);
    kind_add(&lm_type_leaf, false, LM_KIND_LARGE_CLASS);
    return true;
}

void lm_kind_fini(void) {
    lm_memory_release(lm_kinds, KIND_TABLE_BYTES);
    lm_kinds = NULL;
    lm_scans = NULL;
    kind_count = 0;
}

uint32_t lm_kind_count(void) {
    return __atomic_load_n(&kind_count, __ATOMIC_ACQUIRE);
}

uint32_t lm_kind_of(const struct loam_type *type, bool is_array, size_t bytes) {
    uint32_t c = bytes > LOAM_SMALL_MAX ? LM_KIND_LARGE_CLASS
                                        : loam_size_class_(bytes ? bytes : 1);
    if (type == &lm_type_raw || type == &lm_type_leaf) {
        return 1 + 2 * c + (type == &lm_type_leaf);
    }
    // The table of a type is its own cache of this function, and belongs to
    // this module; the type's description is constant.
    struct loam_type *owner = (struct loam_type *)type; // NOLINT
    uint16_t *entry = is_array ? &owner->kind_array[c] : &owner->kind_single[c];
    uint32_t kind = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
    if (kind == 0) {
        lm_lock_acquire(&kind_lock);
        kind = *entry ? *entry : kind_add(type, is_array, c);
        __atomic_store_n(entry, (uint16_t)kind, __ATOMIC_RELEASE);
        lm_lock_release(&kind_lock);
    }
    return kind;
}

void lm_kind_fork_prepare(void) {
    lm_lock_acquire(&kind_lock);
    for (uint32_t i = 1; i < kind_count; i++) {
        lm_lock_acquire(&lm_kinds[i].lock);
    }
}

void lm_kind_fork_done(bool in_child) {
    for (uint32_t i = 1; i < kind_count; i++) {
        if (in_child) {
            lm_lock_reset(&lm_kinds[i].lock);
        } else {
            lm_lock_release(&lm_kinds[i].lock);
        }
    }
    if (in_child) {
        lm_lock_reset(&kind_lock);
    } else {
        lm_lock_release(&kind_lock);
    }
}
