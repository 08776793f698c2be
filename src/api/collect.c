// SPDX-License-Identifier: MIT
// collect.c: loam/collect.h.

#include <loam/collect.h>

#include "api/oom.h"
#include "api/runtime.h"
#include "base/settings.h"
#include "collect/collector.h"
#include "collect/compact.h"
#include "collect/cycle.h"
#include "collect/dirty.h"
#include "collect/level.h"
#include "collect/pace.h"
#include "collect/pause.h"
#include "collect/verify.h"
#include "os/track.h"
#include "see/stats.h"
#include "see/watch.h"
#include "world/roll.h"

#include <string.h>

void loam_collect(void) {
    struct lm_member *self = lm_runtime_self();
    if (self && self->inside == 0) {
        // Others go on meanwhile; with nobody else a stop is quicker.
        bool is_beside = loam_concurrent_get() == LOAM_ON ||
                         (lm_roll_count() > 1 && lm_pace_is_concurrent());
        lm_cycle_collect(is_beside ? LM_CYCLE_BESIDE : LM_CYCLE_FULL,
                         LM_CAUSE_REQUEST, 0);
        lm_level_tell();
    }
}

void loam_collect_minor(void) {
    struct lm_member *self = lm_runtime_self();
    if (self && self->inside == 0) {
        lm_cycle_collect(LM_CYCLE_MINOR, LM_CAUSE_REQUEST, 0);
    }
}

size_t loam_trim(void) {
    return lm_runtime_self() ? lm_collector_release() : 0;
}

size_t loam_compact(void) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL || self->inside) {
        return 0;
    }
    if (lm_settings.compact == LM_COMPACT_OFF) {
        loam_collect();
    } else {
        lm_compact_run();
    }
    lm_level_tell();
    return lm_collector_release();
}

void loam_on_collection(void (*fn)(const struct loam_collection *, void *),
                        void *argument) {
    struct lm_member *self = lm_runtime_self();
    if (self) {
        lm_watch_set(self, fn, argument);
    }
}

void loam_heap_max_set(size_t bytes) {
    lm_runtime_init();
    lm_oom_set_limits(&(struct lm_share){.bytes = bytes, .is_set = true}, NULL,
                      LM_ON);
}

size_t loam_heap_max_get(void) {
    lm_runtime_init();
    return __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
}

void loam_heap_min_set(size_t bytes) {
    lm_runtime_init();
    __atomic_store_n(&lm_settings.heap_min, bytes, __ATOMIC_RELAXED);
    lm_pace_change();
}

size_t loam_heap_min_get(void) {
    lm_runtime_init();
    return __atomic_load_n(&lm_settings.heap_min, __ATOMIC_RELAXED);
}

void loam_growth_set(unsigned percent) {
    lm_runtime_init();
    __atomic_store_n(&lm_settings.growth, percent ? percent : 1,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&lm_settings.is_growth_fixed, true, __ATOMIC_RELAXED);
    lm_pace_change();
}

unsigned loam_growth_get(void) {
    lm_runtime_init();
    return __atomic_load_n(&lm_settings.growth, __ATOMIC_RELAXED);
}

// The numbers are those of enum lm_toggle.
static void choice_set(enum lm_toggle *setting, enum loam_choice choice) {
    lm_runtime_init();
    if (choice == LOAM_AUTO || choice == LOAM_ON || choice == LOAM_OFF) {
        __atomic_store_n(setting, (enum lm_toggle)choice, __ATOMIC_RELAXED);
    }
}

static enum loam_choice choice_get(const enum lm_toggle *setting) {
    lm_runtime_init();
    return (enum loam_choice)__atomic_load_n(setting, __ATOMIC_RELAXED);
}

void loam_generations_set(enum loam_choice choice) {
    choice_set(&lm_settings.generations, choice);
    struct lm_member *self = lm_runtime_self();
    if (choice == LOAM_OFF && self && self->inside == 0) {
        lm_pause_gate(); // no collection decides about it meanwhile
        lm_pace_forget();
        lm_pause_ungate();
    }
}

enum loam_choice loam_generations_get(void) {
    return choice_get(&lm_settings.generations);
}

void loam_concurrent_set(enum loam_choice choice) {
    choice_set(&lm_settings.concurrent, choice);
}

enum loam_choice loam_concurrent_get(void) {
    return choice_get(&lm_settings.concurrent);
}

void loam_pause_target_set(uint64_t ns) {
    lm_runtime_init();
    __atomic_store_n(&lm_settings.pause_target_ns, ns, __ATOMIC_RELAXED);
}

uint64_t loam_pause_target_get(void) {
    lm_runtime_init();
    return lm_pace_target_ns();
}

// Takes a rung if none was needed yet.
static void track_open(void) {
    struct lm_member *self = lm_runtime_self();
    if (self && self->inside == 0 && lm_track_rung() == LM_TRACK_AUTO) {
        lm_cycle_hold();
        lm_pause_gate();
        lm_dirty_open();
        lm_pause_ungate();
        lm_cycle_let();
    }
}

const char *loam_track_name(void) {
    track_open();
    return lm_track_name(lm_track_rung());
}

const char *loam_track_reason(void) {
    track_open();
    return lm_track_reason();
}

void loam_stats_get(struct loam_stats *stats) {
    memset(stats, 0, sizeof *stats);
    if (lm_runtime_self()) {
        lm_stats_get(stats);
    }
}

size_t loam_type_stats_get(struct loam_type_stats *entries, size_t room) {
    return lm_runtime_self() ? lm_stats_types(entries, room) : 0;
}

size_t loam_verify(void) {
    return lm_runtime_self() ? lm_verify_heap() : 0;
}

const char *loam_version(void) {
    return LOAM_VERSION_TEXT;
}
