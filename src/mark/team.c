// SPDX-License-Identifier: MIT
// team.c: helper threads, and the sum of what the markers counted.

#include "mark/team.h"

#include "base/config.h"
#include "base/settings.h"
#include "heap/kind.h"
#include "heap/space.h"
#include "mark/share.h"
#include "os/clock.h"
#include "os/thread.h"

#include <string.h>

// More markers than this were never seen to help, and each has its counts.
#define TEAM_MAX 16

static struct {
    struct loam_marker marker[TEAM_MAX]; // 0 is the collecting thread's
    unsigned wanted;                     // markers in all
    unsigned started;                    // helpers running
    uint64_t helper_cpu_ns;              // atomic
} team;

bool lm_team_init(void) {
    memset(&team, 0, sizeof team);
    unsigned wanted =
        lm_settings.markers ? lm_settings.markers : lm_thread_processors();
    team.wanted = wanted < TEAM_MAX ? wanted : TEAM_MAX;
    return lm_chunk_init() && lm_marker_init(&team.marker[0]);
}

void lm_team_fini(void) {
    lm_share_dismiss();
    for (unsigned i = 0; i <= team.started; i++) {
        lm_marker_fini(&team.marker[i]);
    }
    lm_chunk_fini();
}

static void *team_help(void *argument) {
    struct loam_marker *m = argument;
    for (;;) {
        struct lm_chunk *chunk = lm_share_join();
        if (chunk == NULL) {
            return NULL;
        }
        uint64_t began = lm_clock_thread_ns();
        m->has_company = m->is_parallel = true;
        while (chunk) {
            lm_marker_begin(m, chunk);
            lm_marker_drain(m);
            lm_marker_end(m);
            chunk = lm_share_steal();
        }
        __atomic_add_fetch(&team.helper_cpu_ns, lm_clock_thread_ns() - began,
                           __ATOMIC_RELAXED);
        lm_share_leave();
    }
}

void lm_team_prepare(size_t heap_bytes) {
    // Less than that; written so that a bound of 0 makes no warning.
    if (heap_bytes + 1 <= LM_MARK_TEAM_BYTES) {
        return;
    }
    while (team.started + 1 < team.wanted) {
        struct loam_marker *m = &team.marker[team.started + 1];
        if (m->count == NULL && !lm_marker_init(m)) {
            return;
        }
        if (!lm_thread_start(team_help, m, "loam-marker")) {
            return; // fewer helpers; the next collection tries again
        }
        team.started++;
    }
}

struct loam_marker *lm_team_begin(void) {
    uint32_t kinds = lm_kind_count();
    for (uint32_t i = 0; i < kinds; i++) {
        lm_kinds[i].live_count = 0;
        lm_kinds[i].live_bytes = 0;
    }
    for (unsigned i = 0; i <= team.started; i++) {
        struct loam_marker *m = &team.marker[i];
        memset(m->count, 0, kinds * sizeof *m->count);
    }
    struct loam_marker *mine = &team.marker[0];
    lm_marker_begin(mine, NULL); // the first slab always has one (chunk.1)
    mine->has_company = team.started > 0;
    mine->is_parallel = false;
    lm_share_begin(team.started);
    return mine;
}

static size_t kind_large_bytes(const struct lm_kind *k) {
    size_t bytes = 0;
    for (uint32_t b = k->taken.first; b; b = lm_space.next[b]) {
        if (lm_space.bits[b].pair[0][1 - lm_space.live]) {
            bytes += lm_space.large_bytes[b];
        }
    }
    return bytes;
}

static void team_sum(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        for (unsigned i = 0; i <= team.started; i++) {
            k->live_count += team.marker[i].count[kind];
        }
        k->live_bytes =
            k->cell_bytes ? k->live_count * k->cell_bytes : kind_large_bytes(k);
    }
}

void lm_team_finish(void) {
    struct loam_marker *m = &team.marker[0];
    struct lm_chunk *chunk;
    lm_marker_drain(m);
    while ((chunk = lm_share_steal()) != NULL) {
        lm_marker_end(m);
        lm_marker_begin(m, chunk);
        lm_marker_drain(m);
    }
    lm_share_end();
    m->has_company = m->is_parallel = false;
    lm_marker_recover(m);
    if (lm_settings.check >= 3) {
        lm_marker_check(m);
    }
    lm_marker_end(m);
    lm_chunk_trim();
    team_sum();
}

unsigned lm_team_size(void) {
    return team.started + 1;
}

uint64_t lm_team_helper_cpu_ns(void) {
    return __atomic_load_n(&team.helper_cpu_ns, __ATOMIC_RELAXED);
}

void lm_team_fork_child(void) {
    lm_share_fork_child();
    lm_chunk_fork_child();
    team.started = 0;
}
