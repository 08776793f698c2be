// SPDX-License-Identifier: MIT
// collect.c: loam/collect.h.

#include <loam/collect.h>

#include "api/runtime.h"
#include "base/settings.h"
#include "collect/cycle.h"
#include "collect/idle.h"
#include "collect/pace.h"
#include "collect/verify.h"
#include "see/stats.h"

#include <string.h>

void loam_collect(void) {
    struct lm_member *self = lm_runtime_self();
    if (self && self->inside == 0) {
        lm_cycle_collect(LM_CAUSE_REQUEST, 0);
    }
}

size_t loam_release(void) {
    return lm_runtime_self() ? lm_idle_release() : 0;
}

void loam_heap_max_set(size_t bytes) {
    lm_runtime_init();
    __atomic_store_n(&lm_settings.heap_max, bytes, __ATOMIC_RELAXED);
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
