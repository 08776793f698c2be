// SPDX-License-Identifier: MIT
// heap/run.h: the pool of free blocks, and runs of them.
//
// A bit a block says what is free. The lowest run that is long enough is
// taken, so the heap stays compact and its top can be given back.

#ifndef HEAP_RUN_H
#define HEAP_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool lm_run_init(void);
void lm_run_fini(void);

// Why a run could not be had.
enum lm_run_result {
    LM_RUN_OK,
    LM_RUN_NONE,    // no free run, and growing was not allowed
    LM_RUN_LIMIT,   // the heap's maximum would be passed
    LM_RUN_REFUSED, // the system gave nothing, or the range is used up
};

struct lm_run {
    size_t block;  // the first
    bool is_clean; // known to read as zeroes
};

// Blocks whose objects are scanned and blocks of leaves are kept apart, a region
// of 2 MiB to each, as long as there is room: then writing to leaves has
// nothing to do with tracking writes, and huge pages of theirs stay whole.
enum lm_zone { LM_ZONE_SCANNED = 0, LM_ZONE_LEAF = 1 };
#define LM_ZONES 2

// How far to go for a run.
enum lm_run_how {
    LM_RUN_USED, // blocks that have been used before
    LM_RUN_GROW, // or the part in use grows
    LM_RUN_LAST, // or those that are kept back below the heap's maximum
};

// lm_run_take takes `count` adjacent blocks whose first is a multiple of
// `align` blocks (a power of two).
enum lm_run_result lm_run_take(size_t count, size_t align, enum lm_zone zone,
                               enum lm_run_how how, struct lm_run *run);

// The last blocks below the maximum are kept for kinds that have few, as those
// whose objects live for a moment. Other kinds would take them all, one by one,
// and hardly ever have one that is wholly free again; then every block of the few
// would cost a collection. A run that is extended may grow into them.
// lm_run_kept_bytes returns how much that is; 0 without a maximum.
size_t lm_run_kept_bytes(void);

// lm_run_listen sets what is called when memory ahead of the heap should be
// touched; it may be called with the pool's lock held. lm_run_warm does it,
// and calls before_each before each huge page.
void lm_run_listen(void (*on_cold)(void));
void lm_run_warm(void (*before_each)(void));

// lm_run_is_leaf_region says whether nothing but leaves, and free blocks, lies
// in the region of a block. A hint: one load.
bool lm_run_is_leaf_region(size_t block);

// lm_run_give returns blocks, taken for that zone, to the pool; their entries are
// made free.
void lm_run_give(size_t block, size_t count, enum lm_zone zone);

// lm_run_set_ceiling sets the soft limit: how many bytes of blocks may be in use
// before lm_run_is_high says that so many more would be too many; 0: none. Free
// blocks' memory goes back as the memory obtained passes it.
void lm_run_set_ceiling(size_t bytes);
bool lm_run_is_high(size_t count);

// lm_run_let_spare lets the calling thread pass the heap's maximum by
// lm_settings.oom_spare bytes, or ends that.
void lm_run_let_spare(bool is_let);

// lm_run_extend takes the `count` blocks right behind a run, if they are free
// or never used. is_clean as in struct lm_run.
bool lm_run_extend(size_t block, size_t count, enum lm_zone zone,
                   bool *is_clean);

// lm_run_discard gives free blocks' memory back to the system, the highest
// first, but keeps `keep_blocks` of it ready. Returns the bytes.
size_t lm_run_discard(size_t keep_blocks);

// Figures, in blocks: taken now, the most that were, and the bytes obtained
// from and returned to the system.
size_t lm_run_used(void);
size_t lm_run_used_peak(void);
size_t lm_run_committed_bytes(void);
size_t lm_run_returned_bytes(void);

// lm_run_is_free says whether a block is in the pool, for verification.
bool lm_run_is_free(size_t block);

void lm_run_fork_prepare(void);
void lm_run_fork_done(bool in_child);

#endif // HEAP_RUN_H
