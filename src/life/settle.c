// SPDX-License-Identifier: MIT
// settle.c: one stage after the other.
//
//   settle.1  When no part is at work, what is marked has been scanned, or lies in
//             a block that is flagged for it: so a child of fork can begin anew.
//   settle.2  A record on one of the lists is detached from its object and
//             READY; nobody else can see it there.

#include "life/settle.h"

#include <loam/weak.h>

#include "alloc/sweep.h"
#include "life/due.h"
#include "life/garbage.h"
#include "life/map.h"
#include "life/record.h"
#include "life/release.h"
#include "life/stranded.h"
#include "mark/phase.h"
#include "mark/scan.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/lock.h"
#include "world/member.h"

#include <stdint.h>

// What one part looks at: some 100 us.
#define SETTLE_BLOCKS 32
#define SETTLE_RECORDS 2048

// Records whose roots are looked up under the lock at a time.
#define SETTLE_BATCH 128

// A minor collection looks at no more new records than this in its stop: about
// 200 us.
#define SETTLE_MINOR_RECORDS 8192

// Who waited has so long to come back, if the machine is busy elsewhere.
#define SETTLE_LET_IN_NS 5000000u

enum stage {
    STAGE_NONE,
    STAGE_KEYS,
    STAGE_DEATH,
    STAGE_ORDER,
    STAGE_RAISE,
    STAGE_RAISED,
    STAGE_STRANDED,
    STAGE_FOUND,
    STAGE_MAPS,
    STAGE_REST,
    STAGE_LIST,
    STAGE_FOLLOW,
    STAGE_KEEP,
    STAGE_PUBLISH,
    STAGE_GUARDS,
};

struct list {
    uint32_t first;
    uint32_t last;
};

static struct {
    uint32_t stage;      // enum stage; atomic
    uint32_t cursor;     // where it goes on
    bool has_rest;       // the last stage has something to do
    bool is_pressed;     // atomic
    uint32_t waiting;    // threads in lm_settle_wait; atomic
    struct list ordered; // finalizers that may have to wait for others
    struct list pending; // calls that will be due
} settle;

unsigned loam_weak_epoch_;

static void list_append(struct list *list, uint32_t number) {
    struct lm_record *r = lm_record_at(number);
    r->queue = 0;
    r->flags |= LM_RECORD_READY;
    if (list->first) {
        lm_record_at(list->last)->queue = number;
    } else {
        list->first = number;
    }
    list->last = number;
}

static uint32_t list_take(struct list *list) {
    uint32_t number = list->first;
    if (number) {
        list->first = lm_record_at(number)->queue;
    }
    return number;
}

// ---- Roots -----------------------------------------------------------------------

// What lives because of a record; the words that are nothing are 0.
struct record_roots {
    uintptr_t word[3];
};

static struct record_roots roots_of(const struct lm_record *r) {
    struct record_roots roots = {{r->argument, 0, 0}};
    bool is_soft = (r->flags & LM_RECORD_SOFT) &&
                   !__atomic_load_n(&settle.is_pressed, __ATOMIC_RELAXED);
    // A guardian is asked for first: see keys_guarded.
    if ((r->flags & LM_RECORD_READY) && r->kind != LM_RECORD_GUARD) {
        roots.word[1] = r->target;
        roots.word[2] = r->holder;
    } else if (is_soft) {
        roots.word[1] = r->target;
    }
    return roots;
}

static void roots_mark(struct loam_marker *m,
                       const struct record_roots *roots) {
    for (unsigned i = 0; i < 3; i++) {
        if (roots->word[i]) {
            lm_marker_root(m, roots->word[i]);
        }
    }
}

static void records_ahead(struct loam_marker *m) {
    struct record_roots batch[SETTLE_BATCH];
    lm_record_lock();
    lm_record_fresh_clear(); // what comes from now on waits for the stop
    lm_record_unlock();
    for (uint32_t n = 1; n < lm_record_end();) {
        unsigned count = 0;
        lm_record_lock();
        for (; n < lm_record_end() && count < SETTLE_BATCH; n++) {
            batch[count++] = roots_of(lm_record_at(n));
        }
        lm_record_unlock();
        for (unsigned i = 0; i < count; i++) {
            roots_mark(m, &batch[i]);
        }
    }
}

void lm_settle_ahead(struct loam_marker *m, bool is_first) {
    if (is_first) {
        records_ahead(m);
    }
    lm_map_mark_ahead(m);
}

void lm_settle_roots(struct loam_marker *m, bool is_all) {
    size_t count = lm_record_fresh_count();
    if (is_all || count == SIZE_MAX) {
        for (uint32_t n = 1; n < lm_record_end(); n++) {
            struct record_roots roots = roots_of(lm_record_at(n));
            roots_mark(m, &roots);
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct record_roots roots = roots_of(lm_record_at(lm_record_fresh(i)));
        roots_mark(m, &roots);
    }
}

// ---- What becomes of a record ------------------------------------------------------

// A weak reference whose object has died.
static enum lm_record_fate weak_end(uint32_t number) {
    struct lm_record *r = lm_record_at(number);
    lm_release_target(r);
    if (r->fn == NULL || !lm_marker_is_kept(r->holder)) {
        return LM_RECORD_REMOVE;
    }
    r->target = 0;
    list_append(&settle.pending, number);
    return LM_RECORD_DETACH;
}

static enum lm_record_fate final_end(uint32_t number, struct loam_marker *m) {
    struct lm_record *r = lm_record_at(number);
    bool is_ordered = r->flags & LM_RECORD_ORDERED;
    if (is_ordered && m) {
        lm_marker_root(m, r->target); // a collection of all will see to it
        return LM_RECORD_KEEP;
    }
    list_append(is_ordered ? &settle.ordered : &settle.pending, number);
    return LM_RECORD_DETACH;
}

// Whether a record is nothing without its holder.
static bool record_is_held(const struct lm_record *r) {
    return r->kind == LM_RECORD_WEAK || r->kind == LM_RECORD_GUARD;
}

// After marking; the argument is the marker of a minor collection, or NULL.
static enum lm_record_fate judge_death(uint32_t number, void *argument) {
    struct lm_record *r = lm_record_at(number);
    bool is_weak = r->kind == LM_RECORD_WEAK;
    if (record_is_held(r) && !lm_marker_is_kept(r->holder)) {
        settle.has_rest = true; // it may yet be raised
    }
    if (lm_marker_is_kept(r->target)) {
        return LM_RECORD_KEEP;
    }
    if (is_weak && (r->flags & LM_RECORD_LONG)) {
        settle.has_rest = true;
        return LM_RECORD_KEEP;
    }
    if (is_weak) {
        return weak_end(number);
    }
    if (r->kind == LM_RECORD_FINAL) {
        return final_end(number, argument);
    }
    if (r->kind == LM_RECORD_GUARD && lm_marker_is_kept(r->holder)) {
        list_append(&settle.pending, number);
        return LM_RECORD_DETACH;
    }
    if (r->kind == LM_RECORD_MAP) {
        settle.has_rest = true;
        return LM_RECORD_KEEP; // a finalizer may raise it
    }
    return LM_RECORD_REMOVE;
}

// When all that will live is marked.
static enum lm_record_fate judge_rest(uint32_t number, void *unused) {
    (void)unused;
    const struct lm_record *r = lm_record_at(number);
    bool is_dead = !lm_marker_is_kept(r->target);
    if (record_is_held(r) && !lm_marker_is_kept(r->holder)) {
        return LM_RECORD_REMOVE;
    }
    if (r->kind == LM_RECORD_WEAK && is_dead) {
        return weak_end(number);
    }
    return is_dead ? LM_RECORD_REMOVE : LM_RECORD_KEEP;
}

// ---- Stages ------------------------------------------------------------------------
//
// Each does a part of its work, and says whether that was the last.

// Objects that wait at a guardian live as long as it does.
static bool keys_guarded(struct loam_marker *m) {
    bool has_marked = false;
    for (uint32_t n = 1; n < lm_record_end(); n++) {
        const struct lm_record *r = lm_record_at(n);
        if (r->kind == LM_RECORD_GUARD && (r->flags & LM_RECORD_READY) &&
            r->holder && lm_marker_is_kept(r->holder) && r->target &&
            !lm_marker_is_kept(r->target)) {
            lm_marker_root(m, r->target);
            has_marked = true;
        }
    }
    return has_marked;
}

static bool stage_keys(struct loam_marker *m) {
    bool is_more = lm_map_mark_some(m);
    if (is_more || lm_due_guarded_count() == 0) {
        return !is_more;
    }
    lm_record_lock();
    bool has_marked = keys_guarded(m);
    lm_record_unlock();
    return !has_marked;
}

static bool filter_some(lm_record_filter_fn *fn) {
    lm_record_lock();
    for (unsigned i = 0; i < SETTLE_BLOCKS && settle.cursor; i++) {
        uint32_t block = lm_record_block(settle.cursor);
        if (block) {
            lm_record_filter(block, fn, NULL);
        }
        settle.cursor = block ? block + 1 : 0;
    }
    lm_record_unlock();
    return settle.cursor == 0;
}

static bool stage_death(struct loam_marker *m) {
    (void)m;
    return filter_some(judge_death);
}

// Who is not led to by any of the others comes first. Marking from what they refer
// to, and not from themselves, tells.
static bool order_mark(struct loam_marker *m) {
    uint32_t n = settle.cursor;
    for (unsigned i = 0; n && i < SETTLE_RECORDS; i++) {
        lm_marker_inside(m, lm_record_at(n)->target);
        n = lm_record_at(n)->queue;
    }
    settle.cursor = n;
    return n == 0;
}

static void order_decide(void) {
    struct list waiting = {0, 0};
    struct list *ordered = &settle.ordered;
    uint32_t n;
    bool has_first = false;
    while ((n = list_take(ordered)) != 0) {
        bool is_first = !lm_marker_is_kept(lm_record_at(n)->target);
        has_first |= is_first;
        list_append(is_first ? &settle.pending : &waiting, n);
    }
    lm_record_lock();
    while ((n = list_take(&waiting)) != 0) {
        if (has_first) {
            lm_record_attach(n); // until the next time
        } else {
            list_append(&settle.pending, n); // only circles are left
        }
    }
    lm_record_unlock();
}

static bool stage_order(struct loam_marker *m) {
    if (settle.ordered.first == 0) {
        return true;
    }
    if (!order_mark(m)) {
        return false;
    }
    lm_team_drain_after();
    if (!lm_settle_needs_stop()) {
        order_decide();
    }
    return true;
}

static bool stage_raise(struct loam_marker *m) {
    uint32_t n = settle.cursor;
    for (unsigned i = 0; n && i < SETTLE_RECORDS; i++) {
        const struct lm_record *r = lm_record_at(n);
        if (r->target) {
            lm_marker_root(m, r->target);
        }
        n = r->queue;
    }
    settle.cursor = n;
    return n == 0;
}

// What was raised may lead to maps, or be watched by one.
static bool stage_raised(struct loam_marker *m) {
    return !lm_map_mark_some(m);
}

static void stranded_due(uint32_t number) {
    list_append(&settle.pending, number);
}

static bool stage_stranded(struct loam_marker *m) {
    // Kept garbage is to be looked at as it died.
    return lm_garbage_is_kept() || !lm_stranded_some(m, stranded_due);
}

static bool stage_maps(struct loam_marker *m) {
    (void)m;
    return !lm_map_sweep_some();
}

static bool stage_rest(struct loam_marker *m) {
    (void)m;
    return !settle.has_rest || filter_some(judge_rest);
}

// The three of LOAM_KEEP=unreachable.
static bool stage_list(struct loam_marker *m) {
    (void)m;
    return !lm_garbage_is_kept() || !lm_garbage_list();
}

static bool stage_follow(struct loam_marker *m) {
    return !lm_garbage_is_kept() || !lm_garbage_follow(m);
}

static bool stage_keep(struct loam_marker *m) {
    return !lm_garbage_is_kept() || !lm_garbage_raise(m);
}

// Forgets what waits at guardians that have died.
static bool stage_guards(struct loam_marker *m) {
    (void)m;
    lm_record_lock();
    for (uint32_t n = 1; n < lm_record_end() && lm_due_guarded_count(); n++) {
        const struct lm_record *r = lm_record_at(n);
        if (r->kind == LM_RECORD_GUARD && (r->flags & LM_RECORD_READY) &&
            !(r->holder && lm_marker_is_kept(r->holder))) {
            lm_due_forget_guarded(n);
        }
    }
    lm_record_unlock();
    return true;
}

static bool stage_publish(struct loam_marker *m) {
    (void)m;
    uint32_t n = 0;
    lm_record_lock();
    for (unsigned i = 0; i < SETTLE_RECORDS; i++) {
        n = list_take(&settle.pending);
        if (n == 0) {
            break;
        }
        lm_due_add(n);
    }
    lm_record_unlock();
    return n == 0;
}

// ---- The whole of it -----------------------------------------------------------------

static uint32_t stage_now(void) {
    return __atomic_load_n(&settle.stage, __ATOMIC_RELAXED);
}

// Release: who sees the stage sees what the ones before it have cleared.
static void stage_set(uint32_t stage) {
    settle.cursor = stage == STAGE_ORDER   ? settle.ordered.first
                    : stage == STAGE_RAISE ? settle.pending.first
                                           : 1;
    __atomic_store_n(&settle.stage, stage, __ATOMIC_RELEASE);
}

bool lm_settle_some(void) {
    static bool (*const stages[])(struct loam_marker *) = {
        NULL,        stage_keys,    stage_death,    stage_order,
        stage_raise, stage_raised,  stage_stranded, stage_raised,
        stage_maps,  stage_rest,    stage_list,     stage_follow,
        stage_keep,  stage_publish, stage_guards};
    uint32_t stage = stage_now();
    struct loam_marker *m = lm_team_begin_after();
    m->on_mark = lm_map_on_mark();
    bool is_done = stages[stage](m);
    lm_team_drain_after();
    m->on_mark = NULL;
    lm_team_end_after();
    if (!is_done || lm_settle_needs_stop()) {
        return true;
    }
    if (stage == STAGE_GUARDS) {
        return false;
    }
    stage_set(stage + 1);
    return true;
}

bool lm_settle_needs_stop(void) {
    return lm_settle_is_under_way() && lm_scan_has_lost();
}

void lm_settle_stopped(void) {
    struct loam_marker *m = lm_team_begin_after();
    m->on_mark = lm_map_on_mark();
    lm_phase_set_stopped();
    bool has_lost = true;
    while (has_lost && stage_now() == STAGE_ORDER) {
        settle.cursor = settle.ordered.first;
        while (!order_mark(m)) {
            lm_marker_drain(m);
        }
        lm_marker_drain(m);
        has_lost = lm_scan_has_lost();
        lm_marker_recover(m);
    }
    lm_marker_recover(m);
    m->on_mark = NULL;
    lm_team_end_after();
}

// In the stop, what maps and guardians keep: no thread then has to wait for that.
static void keys_stopped(void) {
    while (stage_now() == STAGE_KEYS) {
        lm_settle_some();
        if (lm_settle_needs_stop()) {
            lm_settle_stopped();
        }
    }
}

void lm_settle_begin(bool is_marked_stopped) {
    lm_record_fresh_clear();
    if (lm_record_count() == 0 && !lm_garbage_is_kept() &&
        !lm_stranded_is_possible()) {
        return;
    }
    lm_sweep_hold(true);
    lm_garbage_begin();
    lm_map_begin();
    lm_stranded_begin();
    settle.has_rest = false;
    stage_set(STAGE_KEYS);
    __atomic_store_n(&loam_weak_epoch_, loam_weak_epoch_ + 1, __ATOMIC_RELEASE);
    if (is_marked_stopped && lm_map_allows_stop() &&
        (lm_due_guarded_count() == 0 || lm_record_end() <= SETTLE_RECORDS)) {
        keys_stopped();
    }
}

// Lets those who waited look before another settling can begin: they come back
// inside. Else a thread that collects again and again would keep them for ever.
static void settle_let_in(void) {
    uint64_t until_ns = lm_clock_ns() + SETTLE_LET_IN_NS;
    uint32_t count;
    while ((count = __atomic_load_n(&settle.waiting, __ATOMIC_ACQUIRE)) != 0 &&
           lm_clock_ns() < until_ns) {
        lm_futex_wait(&settle.waiting, count, SETTLE_LET_IN_NS);
    }
}

void lm_settle_end(void) {
    __atomic_store_n(&settle.is_pressed, false, __ATOMIC_RELAXED);
    lm_stranded_end();
    stage_set(STAGE_NONE);
    lm_sweep_hold(false);
    // In one order with who comes to wait: he sees it, or is counted.
    __atomic_store_n(&loam_weak_epoch_, loam_weak_epoch_ + 1, __ATOMIC_SEQ_CST);
    lm_futex_wake(&loam_weak_epoch_, INT32_MAX);
    settle_let_in();
}

void lm_settle_wait(struct lm_member *self) {
    bool is_running = lm_member_is_running(self);
    lm_member_inside(self);
    __atomic_add_fetch(&settle.waiting, 1, __ATOMIC_SEQ_CST);
    unsigned epoch;
    while ((epoch = __atomic_load_n(&loam_weak_epoch_, __ATOMIC_SEQ_CST)) & 1) {
        if (is_running) {
            lm_member_retreat(self);
        }
        lm_futex_wait(&loam_weak_epoch_, epoch, 0);
        if (is_running) {
            lm_member_resume(self);
        }
    }
    if (__atomic_sub_fetch(&settle.waiting, 1, __ATOMIC_SEQ_CST) == 0) {
        lm_futex_wake(&settle.waiting, 1);
    }
}

bool lm_settle_is_open(void) {
    return __atomic_load_n(&settle.stage, __ATOMIC_ACQUIRE) == STAGE_KEYS;
}

void *loam_weak_slow_(const struct loam_weak *weak) {
    struct lm_member *self = lm_self;
    struct lm_object object;
    for (bool has_waited = false;; has_waited = true) {
        unsigned before = __atomic_load_n(&loam_weak_epoch_, __ATOMIC_ACQUIRE);
        void *p = __atomic_load_n(&weak->target_, __ATOMIC_ACQUIRE);
        bool is_marked = lm_find((uintptr_t)p, &object);
        bool can_wait = (weak->flags_ & LM_RECORD_LONG) || lm_settle_is_open();
        // Acquire above: these come after the target.
        unsigned after = __atomic_load_n(&loam_weak_epoch_, __ATOMIC_ACQUIRE);
        bool is_sure = before == after;
        if (has_waited) {
            lm_member_outside(self);
        }
        if (p == NULL || (is_sure && ((before & 1) == 0 || is_marked))) {
            return p;
        }
        if (is_sure && !can_wait) {
            return NULL;
        }
        lm_settle_wait(self);
    }
}

bool lm_settle_press(struct lm_member *self) {
    bool has_soft = false;
    lm_member_inside(self);
    lm_record_lock();
    for (uint32_t n = 1; n < lm_record_end() && !has_soft; n++) {
        has_soft = lm_record_at(n)->flags & LM_RECORD_SOFT;
    }
    lm_record_unlock();
    lm_member_outside(self);
    __atomic_store_n(&settle.is_pressed, has_soft, __ATOMIC_RELAXED);
    return has_soft;
}

void lm_settle_fork_child(void) {
    settle.waiting = 0;
    lm_garbage_begin();
    lm_map_begin();
    lm_stranded_begin();
    settle.has_rest = true;
    stage_set(STAGE_KEYS);
}

// ---- A minor collection --------------------------------------------------------------

bool lm_settle_allows_minor(void) {
    return lm_record_fresh_count() <= SETTLE_MINOR_RECORDS &&
           lm_map_allows_minor();
}

// All records of the blocks that new ones are of: the others are of old objects,
// and so are their holders.
static void fresh_filter(lm_record_filter_fn *fn, struct loam_marker *m) {
    struct lm_object object;
    lm_record_begin_round();
    for (size_t i = 0; i < lm_record_fresh_count(); i++) {
        const struct lm_record *r = lm_record_at(lm_record_fresh(i));
        if (r->kind != LM_RECORD_NONE && !(r->flags & LM_RECORD_READY) &&
            lm_find_cell(r->target, &object) &&
            lm_record_is_first(object.block)) {
            lm_record_filter(object.block, fn, m);
        }
    }
}

void lm_settle_minor(struct loam_marker *m) {
    bool has_fresh = lm_record_fresh_count() > 0;
    if (lm_stranded_keep_young(m)) {
        lm_team_complete();
    }
    lm_map_mark_minor(m);
    if (has_fresh) {
        fresh_filter(judge_death, m);
        settle.cursor = settle.pending.first;
        while (!stage_raise(m)) {
        }
        lm_team_complete();
        lm_map_mark_minor(m);
    }
    lm_map_sweep_minor(m);
    if (has_fresh) {
        fresh_filter(judge_rest, NULL);
        while (!stage_publish(m)) {
        }
    }
    lm_record_fresh_clear();
}
