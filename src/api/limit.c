// SPDX-License-Identifier: MIT
// limit.c: loam/limit.h.

#include <loam/limit.h>

#include "api/oom.h"
#include "api/runtime.h"
#include "api/status.h"
#include "base/check.h"
#include "base/settings.h"
#include "collect/last.h"
#include "collect/level.h"
#include "collect/limit.h"
#include "os/pressure.h"

// ---- Limits --------------------------------------------------------------------

static struct lm_share share_of(unsigned percent) {
    percent = percent < 100 ? percent : 100;
    return (struct lm_share){.percent = percent ? percent : 1, .is_set = true};
}

void loam_soft_limit_set(size_t bytes) {
    lm_runtime_init();
    lm_oom_set_limits(NULL, &(struct lm_share){.bytes = bytes, .is_set = true},
                      LM_ON);
}

size_t loam_soft_limit_get(void) {
    lm_runtime_init();
    return __atomic_load_n(&lm_settings.soft_limit, __ATOMIC_RELAXED);
}

void loam_heap_max_set_percent(unsigned percent) {
    lm_runtime_init();
    struct lm_share share = share_of(percent);
    lm_oom_set_limits(&share, NULL, LM_ON);
}

void loam_soft_limit_set_percent(unsigned percent) {
    lm_runtime_init();
    struct lm_share share = share_of(percent);
    lm_oom_set_limits(NULL, &share, LM_ON);
}

size_t loam_memory_available(void) {
    lm_runtime_init();
    return lm_limit_available();
}

void loam_container_set(enum loam_choice choice) {
    lm_runtime_init();
    if (choice == LOAM_AUTO || choice == LOAM_OFF) {
        lm_oom_set_limits(NULL, NULL, choice == LOAM_OFF ? LM_OFF : LM_AUTO);
    }
}

enum loam_choice loam_container_get(void) {
    lm_runtime_init();
    return (enum loam_choice)__atomic_load_n(&lm_settings.container,
                                             __ATOMIC_RELAXED);
}

const char *loam_container_reason(void) {
    lm_runtime_init();
    return lm_limit_reason();
}

// ---- Pressure ------------------------------------------------------------------

int loam_system_pressure(void) {
    lm_runtime_init();
    return lm_pressure_percent();
}

int loam_on_pressure(unsigned percent, loam_pressure_fn *fn, void *argument) {
    struct lm_member *self = lm_runtime_self();
    if (fn == NULL) {
        lm_caller_error("loam_on_pressure is given a function",
                        "pass the function to call", "a NULL function");
    }
    if (self == NULL) {
        return -1;
    }
    lm_member_inside(self);
    bool ok = lm_level_add(percent, fn, argument);
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(
            LOAM_BAD_ARGUMENT,
            "bad argument: there are 16 functions of loam_on_pressure "
            "already; remove one with loam_on_pressure_remove");
    }
    return ok ? 0 : -1;
}

int loam_on_pressure_remove(loam_pressure_fn *fn, void *argument) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL || fn == NULL) {
        return -1;
    }
    lm_member_inside(self);
    bool ok = lm_level_remove(fn, argument);
    lm_member_outside(self);
    return ok ? 0 : -1;
}

// ---- The end -------------------------------------------------------------------

void loam_oom_handler_set(loam_oom_handler *handler, void *argument) {
    struct lm_member *self = lm_runtime_self();
    if (self) {
        lm_member_inside(self);
    }
    lm_last_set_handler(handler, argument);
    if (self) {
        lm_member_outside(self);
    }
}

void loam_oom_spare_set(size_t bytes) {
    lm_runtime_init();
    __atomic_store_n(&lm_settings.oom_spare, bytes, __ATOMIC_RELAXED);
}

size_t loam_oom_spare_get(void) {
    lm_runtime_init();
    return __atomic_load_n(&lm_settings.oom_spare, __ATOMIC_RELAXED);
}

int loam_oom_dump_set(const char *path) {
    lm_runtime_init();
    if (!lm_oom_set_dump(path)) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: the path of the dump is longer than 1023 "
                      "bytes");
        return -1;
    }
    return 0;
}

const char *loam_oom_dump_get(void) {
    lm_runtime_init();
    return __atomic_load_n(&lm_settings.oom_dump, __ATOMIC_ACQUIRE);
}

// The numbers are those of enum lm_oom_action.
void loam_on_oom_set(enum loam_oom_action action, int status) {
    lm_runtime_init();
    if (action == LOAM_OOM_NULL || action == LOAM_OOM_EXIT ||
        action == LOAM_OOM_ABORT) {
        lm_oom_set_action((enum lm_oom_action)action, status);
    }
}

enum loam_oom_action loam_on_oom_get(void) {
    lm_runtime_init();
    return (enum loam_oom_action)__atomic_load_n(&lm_settings.on_oom,
                                                 __ATOMIC_RELAXED);
}
