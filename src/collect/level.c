// SPDX-License-Identifier: MIT
// level.c: a few functions, each with a level and two flags.
//
//              alive >= level                      a thread allocates
//   below -----------------------> above, due -----------------------> above
//     ^                                                                  |
//     +------------------------------------------------------------------+
//                     alive < level - LEVEL_BACK percent
//
// What is alive is known after a collection, on whatever thread ran it, which
// holds locks; so the function is called by the next thread that comes out of
// the allocator. Until it has been, a fall and another rise count as nothing.

#include "collect/level.h"

#include "base/settings.h"
#include "os/lock.h"
#include "world/member.h"

#define LEVELS 16

// So far it must fall before the next rise counts.
#define LEVEL_BACK 5

struct level {
    lm_level_fn *fn; // NULL: free
    void *argument;  // kept alive by standing here, as static data is a root
    unsigned percent;
    bool is_above;
    bool is_due;
};

static struct {
    struct lm_lock lock; // guards the levels
    struct level level[LEVELS];
    unsigned percent; // alive, of the limit
    bool has_due;     // atomic
} levels;

// A function that allocates does not start another.
static __thread bool level_is_telling
    __attribute__((tls_model("initial-exec")));

bool lm_level_add(unsigned percent, lm_level_fn *fn, void *argument) {
    bool ok = false;
    lm_lock_acquire(&levels.lock);
    for (unsigned i = 0; i < LEVELS && !ok; i++) {
        struct level *l = &levels.level[i];
        if (l->fn == NULL) {
            *l = (struct level){fn, argument, percent, false, false};
            ok = true;
        }
    }
    lm_lock_release(&levels.lock);
    return ok;
}

bool lm_level_remove(lm_level_fn *fn, void *argument) {
    bool ok = false;
    lm_lock_acquire(&levels.lock);
    for (unsigned i = 0; i < LEVELS; i++) {
        struct level *l = &levels.level[i];
        if (l->fn == fn && l->argument == argument) {
            *l = (struct level){0};
            ok = true;
        }
    }
    lm_lock_release(&levels.lock);
    return ok;
}

static size_t level_limit(void) {
    size_t max = __atomic_load_n(&lm_settings.heap_max, __ATOMIC_RELAXED);
    return max ? max
               : __atomic_load_n(&lm_settings.soft_limit, __ATOMIC_RELAXED);
}

static bool level_note(struct level *l, unsigned percent) {
    if (percent >= l->percent) {
        l->is_due = l->is_due || !l->is_above;
        l->is_above = true;
    } else if (!l->is_due && percent + LEVEL_BACK < l->percent) {
        l->is_above = false;
    }
    return l->is_due;
}

void lm_level_note(size_t live_bytes) {
    size_t limit = level_limit();
    bool has_due = false;
    if (limit == 0) {
        return;
    }
    size_t percent = live_bytes / (limit / 100 + 1);
    lm_lock_acquire(&levels.lock);
    levels.percent = percent < 1000 ? (unsigned)percent : 1000;
    for (unsigned i = 0; i < LEVELS; i++) {
        struct level *l = &levels.level[i];
        has_due = (l->fn && level_note(l, levels.percent)) || has_due;
    }
    __atomic_store_n(&levels.has_due, has_due, __ATOMIC_RELAXED);
    lm_lock_release(&levels.lock);
}

bool lm_level_is_due(void) {
    // Relaxed: who is late is told by the next allocation.
    return __atomic_load_n(&levels.has_due, __ATOMIC_RELAXED);
}

// Takes one that is due; its fn is NULL when none is.
static struct level level_take(unsigned *percent) {
    struct level taken = {0};
    lm_member_inside(lm_self);
    lm_lock_acquire(&levels.lock);
    for (unsigned i = 0; i < LEVELS && taken.fn == NULL; i++) {
        if (levels.level[i].is_due) {
            levels.level[i].is_due = false;
            taken = levels.level[i];
        }
    }
    *percent = levels.percent;
    if (taken.fn == NULL) {
        __atomic_store_n(&levels.has_due, false, __ATOMIC_RELAXED);
    }
    lm_lock_release(&levels.lock);
    lm_member_outside(lm_self);
    return taken;
}

void lm_level_tell_due(void) {
    if (level_is_telling) {
        return;
    }
    level_is_telling = true;
    for (;;) {
        unsigned percent;
        struct level l = level_take(&percent);
        if (l.fn == NULL) {
            break;
        }
        l.fn(percent, l.argument);
    }
    level_is_telling = false;
}

void lm_level_fork_child(void) {
    lm_lock_reset(&levels.lock);
}
