// SPDX-License-Identifier: MIT
// limit.c: what is set comes first, then what the container allows.
//
// Without being told, a heap in a container with memory.max stays under that, so
// that it is refused memory with a reason in words and not killed without one.
// Its soft limit lies lower by as much again: where it collects harder it should
// still be let grow a little before it is refused.

#include "collect/limit.h"

#include "base/format.h"
#include "os/cgroup.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/pressure.h"

#include <stdint.h>

#define LIMIT_HEADROOM_LEAST ((size_t)16 << 20)

static struct {
    struct lm_lock lock; // guards what was set, and all below
    struct lm_cgroup group;
    size_t physical;
    bool is_container; // the maximum is
} limit;

size_t lm_limit_headroom(size_t bytes) {
    size_t room = bytes / 10;
    room = room > LIMIT_HEADROOM_LEAST ? room : LIMIT_HEADROOM_LEAST;
    return room < bytes / 4 ? room : bytes / 4;
}

static bool limit_has_container(void) {
    return lm_settings.container != LM_OFF;
}

static size_t limit_available(void) {
    size_t bytes = limit.physical;
    if (limit_has_container()) {
        bytes = bytes < limit.group.max ? bytes : limit.group.max;
        bytes = bytes < limit.group.high ? bytes : limit.group.high;
    }
    return bytes;
}

static size_t share_bytes(const struct lm_share *share) {
    return share->percent ? limit_available() / 100 * share->percent
                          : share->bytes;
}

static size_t limit_heap_max(void) {
    limit.is_container = false;
    if (lm_settings.heap_max_share.is_set) {
        return share_bytes(&lm_settings.heap_max_share);
    }
    if (!limit_has_container() || limit.group.max == SIZE_MAX) {
        return 0;
    }
    limit.is_container = true;
    return limit.group.max - lm_limit_headroom(limit.group.max);
}

static size_t limit_soft(void) {
    size_t bytes =
        limit.group.max < limit.group.high ? limit.group.max : limit.group.high;
    if (lm_settings.soft_limit_share.is_set) {
        return share_bytes(&lm_settings.soft_limit_share);
    }
    return limit_has_container() && bytes != SIZE_MAX
               ? bytes - 2 * lm_limit_headroom(bytes)
               : 0;
}

static void limit_apply(void) {
    __atomic_store_n(&lm_settings.heap_max, limit_heap_max(), __ATOMIC_RELAXED);
    __atomic_store_n(&lm_settings.soft_limit, limit_soft(), __ATOMIC_RELAXED);
}

static const char *limit_source(const struct lm_share *share, size_t bytes) {
    return share->percent  ? "a share of what is available"
           : share->is_set ? "set"
           : bytes         ? "the container's, with headroom"
                           : "none";
}

static void limit_log(void) {
    if (!lm_settings.log_limits) {
        return;
    }
    lm_print(
        2,
        "loam limits: heap max %B (%s), soft limit %B (%s), %B available; "
        "%s%s; pressure: %s\n",
        lm_settings.heap_max,
        limit_source(&lm_settings.heap_max_share, lm_settings.heap_max),
        lm_settings.soft_limit,
        limit_source(&lm_settings.soft_limit_share, lm_settings.soft_limit),
        limit_available(), limit.group.why,
        limit_has_container() ? "" : " (not heeded: LOAM_CONTAINER=off)",
        lm_pressure_reason());
}

void lm_limit_init(const char *root) {
    limit.physical = lm_memory_physical();
    lm_cgroup_read(root, &limit.group);
    lm_pressure_open(root, limit.group.folder);
    limit_apply();
    limit_log();
}

void lm_limit_set(const struct lm_share *heap_max, const struct lm_share *soft,
                  enum lm_toggle container) {
    lm_lock_acquire(&limit.lock);
    if (heap_max) {
        lm_settings.heap_max_share = *heap_max;
    }
    if (soft) {
        lm_settings.soft_limit_share = *soft;
    }
    if (container != LM_ON) {
        __atomic_store_n(&lm_settings.container, container, __ATOMIC_RELAXED);
    }
    limit_apply();
    lm_lock_release(&limit.lock);
}

size_t lm_limit_available(void) {
    return limit_available();
}

bool lm_limit_is_container(void) {
    return limit.is_container;
}

const char *lm_limit_reason(void) {
    return limit.group.why;
}

void lm_limit_fork_child(void) {
    lm_lock_reset(&limit.lock);
}
