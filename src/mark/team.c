// SPDX-License-Identifier: MIT
// team.c: helper threads, and the sum of what the markers counted.

#include "mark/team.h"

#include "base/config.h"
#include "base/settings.h"
#include "heap/kind.h"
#include "heap/space.h"
#include "mark/phase.h"
#include "mark/share.h"
#include "os/clock.h"
#include "os/thread.h"

#include <string.h>

// More markers than this were never seen to help: unless the settings ask.
#define TEAM_USUAL 16

// As the collector's own.
#define TEAM_SLICE_NS 500000u

static struct {
    struct loam_marker marker[LM_MARKERS_MAX]; // 0 is the collecting thread's
    unsigned wanted;                           // markers in all
    unsigned started;       // helpers running; atomic for lm_team_lend
    unsigned beside;        // that may mark while the program runs
    unsigned sleeping;      // threads that wait for marking; atomic
    unsigned lent;          // the most of them in this marking; atomic
    bool is_minor;          // the marking under way
    uint64_t helper_cpu_ns; // atomic
} team;

bool lm_team_init(void) {
    memset(&team, 0, sizeof team);
    unsigned usual = lm_thread_processors_init();
    // A quarter of the processors, as in Go, counting the collector's own: see
    // docs/internals/decisions/0009.
    team.beside = usual >= 8 ? usual / 4 - 1 : 0;
    usual = usual < TEAM_USUAL ? usual : TEAM_USUAL;
    team.wanted = lm_settings.markers ? lm_settings.markers : usual;
    return lm_chunk_init() && lm_marker_init(&team.marker[0]);
}

void lm_team_fini(void) {
    if (team.started) {
        lm_share_dismiss(); // for good
    }
    // Also of one whose thread could not be started.
    for (unsigned i = 0; i < LM_MARKERS_MAX; i++) {
        lm_marker_fini(&team.marker[i]);
    }
    lm_chunk_fini();
}

// A marker that is to leave its work leaves its entries to the next phase.
static void team_drop(struct loam_marker *m) {
    if (lm_marker_is_empty(m)) {
        lm_marker_end(m);
    } else {
        lm_marker_offer(m);
    }
}

static void *team_help(void *argument) {
    struct loam_marker *m = argument;
    lm_thread_begin(TEAM_SLICE_NS);
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
            team_drop(m);
            if (lm_phase_is_leaving()) {
                lm_share_quit();
                break;
            }
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
        if (!lm_thread_start(team_help, m, "loam-marker", false)) {
            return; // fewer helpers; the next collection tries again
        }
        __atomic_store_n(&team.started, team.started + 1, __ATOMIC_RELAXED);
    }
}

struct loam_marker *lm_team_begin(bool is_minor) {
    uint32_t kinds = lm_kind_count();
    for (unsigned i = 0; i <= team.started; i++) {
        struct loam_marker *m = &team.marker[i];
        memset(m->count, 0, kinds * sizeof *m->count);
        memset(m->large_bytes, 0, kinds * sizeof *m->large_bytes);
    }
    struct loam_marker *mine = &team.marker[0];
    lm_marker_begin(mine, NULL); // the first slab always has one (chunk.1)
    __atomic_store_n(&team.lent, 0, __ATOMIC_RELAXED);
    lm_phase_hurry(false);
    lm_phase_set(is_minor, false, 0);
    team.is_minor = is_minor;
    return mine;
}

struct loam_marker *lm_team_marker(void) {
    return &team.marker[0];
}

// The helpers that may mark while the program runs.
static unsigned team_beside(void) {
    unsigned count =
        team.beside + __atomic_load_n(&team.lent, __ATOMIC_RELAXED);
    unsigned started = __atomic_load_n(&team.started, __ATOMIC_RELAXED);
    return count < started ? count : started;
}

void lm_team_lend(void) {
    unsigned sleeping = __atomic_add_fetch(&team.sleeping, 1, __ATOMIC_RELAXED);
    if (sleeping > __atomic_load_n(&team.lent, __ATOMIC_RELAXED)) {
        __atomic_store_n(&team.lent, sleeping, __ATOMIC_RELAXED);
        lm_share_widen(team_beside());
    }
}

void lm_team_reclaim(void) {
    __atomic_sub_fetch(&team.sleeping, 1, __ATOMIC_RELAXED);
}

bool lm_team_drain(bool is_concurrent, uint64_t deadline_ns) {
    struct loam_marker *m = &team.marker[0];
    struct lm_chunk *chunk;
    unsigned helpers = is_concurrent ? team_beside() : team.started;
    lm_phase_set(team.is_minor, is_concurrent, deadline_ns);
    m->has_company = team.started > 0; // there may be more helpers soon
    // What was offered before may be taken from the beginning.
    m->is_parallel = is_concurrent || (helpers > 0 && lm_share_has_offer());
    lm_share_begin(helpers);
    if (is_concurrent) {
        lm_share_widen(team_beside()); // lent since they were counted
    }
    lm_marker_drain(m);
    for (;;) {
        // Asked once: to steal and find nothing is to quit as well.
        if (lm_phase_is_leaving()) {
            lm_share_quit();
            break;
        }
        chunk = lm_share_steal();
        if (chunk == NULL) {
            break;
        }
        lm_marker_end(m);
        lm_marker_begin(m, chunk);
        lm_marker_drain(m);
    }
    lm_share_end();
    m->has_company = m->is_parallel = false;
    return !lm_phase_is_leaving();
}

// Until here the figures are those of the last collection: somebody may ask while
// this one marks beside the program.
static void team_sum(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        struct lm_kind *k = &lm_kinds[kind];
        k->live_count = team.is_minor ? k->live_count : 0;
        k->live_bytes = team.is_minor ? k->live_bytes : 0;
        for (unsigned i = 0; i <= team.started; i++) {
            const struct loam_marker *m = &team.marker[i];
            k->live_count += m->count[kind];
            k->live_bytes += k->cell_bytes ? m->count[kind] * k->cell_bytes
                                           : m->large_bytes[kind];
        }
    }
}

void lm_team_complete(void) {
    while (!lm_team_drain(false, 0)) {
    }
    lm_marker_recover(&team.marker[0]);
}

void lm_team_finish(void) {
    struct loam_marker *m = &team.marker[0];
    lm_team_complete();
    if (lm_settings.check >= 3) {
        lm_marker_check(m);
    }
    lm_marker_end(m);
    team_sum();
}

struct loam_marker *lm_team_begin_after(void) {
    struct loam_marker *mine = &team.marker[0];
    lm_marker_begin(mine, NULL);
    lm_phase_set_after();
    return mine;
}

// Those who look up an object that is being marked may run.
void lm_team_drain_after(void) {
    struct loam_marker *m = &team.marker[0];
    m->is_parallel = true;
    lm_marker_drain(m);
    m->is_parallel = false;
}

void lm_team_end_after(void) {
    lm_marker_end(&team.marker[0]);
}

void lm_team_abandon(void) {
    struct lm_chunk *chunk;
    lm_marker_end(&team.marker[0]);
    while ((chunk = lm_share_take()) != NULL) {
        lm_chunk_free(chunk);
    }
}

size_t lm_team_lines(void) {
    size_t count = 0;
    for (unsigned i = 0; i <= team.started; i++) {
        count += team.marker[i].line_count;
        team.marker[i].line_count = 0;
    }
    return count;
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
    team.started = team.sleeping = 0;
    team.helper_cpu_ns = 0; // as the child's processor time begins
}
