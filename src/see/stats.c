// SPDX-License-Identifier: MIT
// stats.c: pulling figures together.

#include "see/stats.h"

#include "alloc/budget.h"
#include "alloc/cache.h"
#include "base/settings.h"
#include "collect/compact.h"
#include "collect/cycle.h"
#include "collect/pause.h"
#include "collect/room.h"
#include "heap/kind.h"
#include "heap/run.h"
#include "heap/space.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/memory.h"
#include "see/pauses.h"
#include "world/roll.h"

#include <string.h>

// What each kind has allocated, the threads' caches included. The table is
// larger than a thread's stack should hold; NULL when the system refuses it.
static uint64_t *stats_allocated(void) {
    uint64_t *counts = lm_memory_map(LM_KIND_MAX * sizeof *counts);
    if (counts) {
        lm_member_inside(lm_self);
        lm_cache_allocated(counts);
        lm_member_outside(lm_self);
    }
    return counts;
}

static void stats_free(uint64_t *counts) {
    if (counts) {
        lm_memory_release(counts, LM_KIND_MAX * sizeof *counts);
    }
}

static uint64_t kind_allocated(uint32_t kind, const uint64_t *cached,
                               uint64_t *bytes) {
    const struct lm_kind *k = &lm_kinds[kind];
    uint64_t more = cached ? cached[kind] : 0;
    *bytes = __atomic_load_n(&k->allocated_bytes, __ATOMIC_RELAXED) +
             more * k->cell_bytes;
    return __atomic_load_n(&k->allocated_count, __ATOMIC_RELAXED) + more;
}

static void stats_of_heap(struct loam_stats *s) {
    uint64_t *cached = stats_allocated();
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        uint64_t bytes;
        s->allocated_count += kind_allocated(kind, cached, &bytes);
        s->allocated_bytes += bytes;
    }
    stats_free(cached);
    s->freed_bytes = lm_cache_freed_bytes();
    s->heap_bytes = lm_run_used() << LM_BLOCK_SHIFT;
    s->heap_peak_bytes = lm_run_used_peak() << LM_BLOCK_SHIFT;
    s->committed_bytes = lm_run_committed_bytes();
    s->returned_bytes = lm_run_returned_bytes();
    s->heap_max_bytes =
        __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    s->soft_limit_bytes =
        __atomic_load_n(&lm_settings.soft_limit, __ATOMIC_RELAXED);
    s->own_bytes = lm_room_own_bytes();
    s->next_collection_bytes = lm_budget_left();
    s->type_count = lm_type_count();
}

static void stats_of_compaction(struct loam_stats *s) {
    struct lm_compact_figures f;
    lm_compact_figures_get(&f);
    s->compaction_count = f.count;
    s->moved_count = f.moved_count;
    s->moved_bytes = f.moved_bytes;
    s->compaction_pause_max_ns = f.pause_max_ns;
}

// The histogram gives the middle of a bucket, which may lie past the longest.
static uint64_t pause_at_most(uint64_t ns, uint64_t max_ns) {
    return ns < max_ns ? ns : max_ns;
}

void lm_stats_get(struct loam_stats *s) {
    struct lm_cycle_figures f;
    memset(s, 0, sizeof *s);
    lm_cycle_figures_get(&f);
    // Not to be stopped with a lock that a thread needs to come to its end, or
    // the collector itself.
    lm_member_inside(lm_self);
    stats_of_heap(s);
    stats_of_compaction(s);
    lm_member_outside(lm_self);
    s->collection_count = lm_cycle_number();
    s->live_bytes = f.live_bytes;
    s->live_count = f.live_count;
    s->pause_total_ns = f.pause_total_ns;
    s->pause_last_ns = f.pause_last_ns;
    s->pause_max_ns = f.pause_max_ns;
    s->pause_median_ns = pause_at_most(lm_pauses_quantile(500), f.pause_max_ns);
    s->pause_p99_ns = pause_at_most(lm_pauses_quantile(990), f.pause_max_ns);
    s->stop_max_ns = f.stop_max_ns;
    s->collector_cpu_ns = f.cpu_ns + lm_team_helper_cpu_ns();
    s->process_cpu_ns = lm_clock_process_ns();
    s->full_count = f.count[LM_CYCLE_FULL];
    s->minor_count = f.count[LM_CYCLE_MINOR];
    s->concurrent_count = f.count[LM_CYCLE_BESIDE];
    s->given_up_count = f.count[LM_CYCLE_GIVEN_UP];
    s->full_pause_max_ns = f.kind_pause_max_ns[LM_CYCLE_FULL];
    s->minor_pause_max_ns = f.kind_pause_max_ns[LM_CYCLE_MINOR];
    s->concurrent_pause_max_ns = f.kind_pause_max_ns[LM_CYCLE_BESIDE];
    s->dirty_page_count = f.dirty_pages;
    s->thread_count = lm_roll_count();
    s->marker_count = lm_team_size();
}

// ---- By type -------------------------------------------------------------------

// Adds a kind to its type's entry. Returns the entry's index, which is `count`
// for a new one; the entries are in no order yet.
static size_t types_add(struct loam_type_stats *entries, size_t count,
                        uint32_t kind, const uint64_t *cached) {
    const struct lm_kind *k = &lm_kinds[kind];
    size_t i = 0;
    while (i < count && entries[i].name != k->type->name) {
        i++;
    }
    struct loam_type_stats *e = &entries[i];
    if (i == count) {
        memset(e, 0, sizeof *e);
        e->name = k->type->name;
    }
    uint64_t bytes;
    e->allocated_count += kind_allocated(kind, cached, &bytes);
    e->allocated_bytes += bytes;
    e->live_count += k->live_count;
    e->live_bytes += k->live_bytes;
    return i;
}

// A type is there once something of it was allocated.
static bool kind_is_used(uint32_t kind, const uint64_t *cached) {
    uint64_t bytes;
    return kind_allocated(kind, cached, &bytes) > 0;
}

static bool entry_is_before(const struct loam_type_stats *a,
                            const struct loam_type_stats *b) {
    return a->live_bytes != b->live_bytes
               ? a->live_bytes > b->live_bytes
               : a->allocated_bytes > b->allocated_bytes;
}

// Heapsort would be shorter to run and longer to read; types are few.
static void entries_sort(struct loam_type_stats *entries, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct loam_type_stats e = entries[i];
        size_t j = i;
        for (; j > 0 && entry_is_before(&e, &entries[j - 1]); j--) {
            entries[j] = entries[j - 1];
        }
        entries[j] = e;
    }
}

size_t lm_stats_types(struct loam_type_stats *entries, size_t room) {
    size_t bytes = LM_KIND_MAX * sizeof(struct loam_type_stats);
    struct loam_type_stats *all = lm_memory_map(bytes);
    if (all == NULL) {
        return 0;
    }
    uint64_t *cached = stats_allocated();
    size_t count = 0;
    lm_pause_gate(); // the figures of live objects change in collections
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        if (kind_is_used(kind, cached)) {
            size_t i = types_add(all, count, kind, cached);
            count += i == count;
        }
    }
    lm_pause_ungate();
    stats_free(cached);
    entries_sort(all, count);
    if (room > 0) {
        memcpy(entries, all, (count < room ? count : room) * sizeof *all);
    }
    lm_memory_release(all, bytes);
    return count;
}

// ---- Without memory ------------------------------------------------------------

// A type's entry, if this is the first of its kinds.
static bool type_sum(uint32_t kind, struct loam_type_stats *e) {
    const char *name = lm_kinds[kind].type->name;
    *e = (struct loam_type_stats){.name = name};
    for (uint32_t other = 1; other < lm_kind_count(); other++) {
        const struct lm_kind *k = &lm_kinds[other];
        if (k->type->name != name) {
            continue;
        }
        if (other < kind) {
            return false;
        }
        e->live_count += k->live_count;
        e->live_bytes += k->live_bytes;
    }
    return e->live_bytes > 0;
}

size_t lm_stats_biggest(struct loam_type_stats *entries, size_t room) {
    size_t count = 0;
    lm_pause_gate();
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct loam_type_stats e;
        if (!type_sum(kind, &e)) {
            continue;
        }
        size_t i = count < room ? count++ : room;
        for (; i > 0 && entry_is_before(&e, &entries[i - 1]); i--) {
            if (i < room) {
                entries[i] = entries[i - 1];
            }
        }
        if (i < room) {
            entries[i] = e;
        }
    }
    lm_pause_ungate();
    return count;
}
