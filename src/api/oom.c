// SPDX-License-Identifier: MIT
// oom.c: saying no.
//
// All that could be done has been done (collect/last.c). The explanation takes
// no memory; the report does where it can be had. It is written once: a program
// that lives on with a full heap fails often, and the first time is the one that
// explains it.

#include "api/oom.h"

#include "api/status.h"
#include "base/format.h"
#include "collect/cycle.h"
#include "collect/limit.h"
#include "collect/pace.h"
#include "heap/run.h"
#include "heap/space.h"
#include "os/lock.h"
#include "see/log.h"
#include "see/stats.h"
#include "world/member.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OOM_TYPES 3
#define OOM_PATH 1024

static struct {
    bool is_dumped; // atomic
    char path[OOM_PATH];
} oom;

// ---- Explaining ----------------------------------------------------------------

// The types with most alive, as words.
static void types_spell(char *text, size_t room) {
    struct loam_type_stats types[OOM_TYPES];
    size_t count = lm_stats_biggest(types, OOM_TYPES);
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char name[48]; // cut where it is longer
        lm_format(name, sizeof name, "%s", types[i].name);
        size_t n = lm_format(text + at, room - at, "%s%s (%B in %lu)",
                             i ? ", " : "; most of it is ", name,
                             (size_t)types[i].live_bytes, types[i].live_count);
        at += n;
        if (at >= room) {
            return;
        }
    }
}

static void explain_full(size_t bytes, const char *types) {
    size_t max = __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    struct lm_cycle_figures f;
    lm_cycle_figures_get(&f);
    lm_status_set(
        LOAM_HEAP_FULL,
        "heap full: asked for %zu bytes (%B), while %B are used, of "
        "which %B were alive after a full collection, and %B are "
        "allowed%s%s; let go of objects, or raise LOAM_HEAP_MAX",
        bytes, bytes, lm_run_used() << LM_BLOCK_SHIFT, f.live_bytes, max,
        lm_limit_is_container() ? " in a container with this limit" : "",
        types);
}

static void explain_refused(size_t bytes, const char *types) {
    lm_status_set(LOAM_NO_MEMORY,
                  "no memory: asked for %zu bytes (%B), while %B are used; the "
                  "system gave no more even after a full collection%s; look at "
                  "ulimit -v, the container's limit and LOAM_RESERVE (%B)",
                  bytes, bytes, lm_run_used() << LM_BLOCK_SHIFT, types,
                  lm_space.reserved_bytes);
}

static void oom_dump(void) {
    const char *path = __atomic_load_n(&lm_settings.oom_dump, __ATOMIC_ACQUIRE);
    if (path && !__atomic_exchange_n(&oom.is_dumped, true, __ATOMIC_ACQ_REL)) {
        lm_log_dump(path, loam_last_error());
    }
}

// Without the functions of atexit: they may allocate.
static void oom_end(void) {
    enum lm_oom_action action =
        __atomic_load_n(&lm_settings.on_oom, __ATOMIC_RELAXED);
    if (action == LM_OOM_NULL) {
        return;
    }
    lm_print(2, "loam: %s\n", loam_last_error());
    if (action == LM_OOM_ABORT) {
        abort();
    }
    _exit(__atomic_load_n(&lm_settings.oom_status, __ATOMIC_RELAXED));
}

void *lm_oom_fail(enum lm_refill why, size_t bytes) {
    char types[256];
    types_spell(types, sizeof types);
    if (why == LM_REFILL_LIMIT) {
        explain_full(bytes, types);
    } else {
        explain_refused(bytes, types);
    }
    oom_dump();
    oom_end();
    return NULL;
}

// ---- Settings --------------------------------------------------------------------

bool lm_oom_set_dump(const char *path) {
    size_t n = path ? strlen(path) : 0;
    if (n >= sizeof oom.path) {
        return false;
    }
    __atomic_store_n(&lm_settings.oom_dump, NULL, __ATOMIC_RELEASE);
    if (n > 0) {
        memcpy(oom.path, path, n + 1);
        __atomic_store_n(&oom.is_dumped, false, __ATOMIC_RELEASE);
        __atomic_store_n(&lm_settings.oom_dump, oom.path, __ATOMIC_RELEASE);
    }
    return true;
}

void lm_oom_set_action(enum lm_oom_action action, int status) {
    __atomic_store_n(&lm_settings.oom_status, status, __ATOMIC_RELAXED);
    __atomic_store_n(&lm_settings.on_oom, action, __ATOMIC_RELAXED);
}

void lm_oom_set_limits(const struct lm_share *heap_max,
                       const struct lm_share *soft, enum lm_toggle container) {
    struct lm_member *self = lm_self;
    if (self) {
        lm_member_inside(self);
    }
    lm_limit_set(heap_max, soft, container);
    lm_pace_change();
    if (self) {
        lm_member_outside(self);
    }
}
