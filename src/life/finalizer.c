// SPDX-License-Identifier: MIT
// finalizer.c: calling what is due.
//
// A thread of ours does it, which begins with the first of them, or whoever asks.
// It is a member like any other: what it allocates, locks and jumps over is its
// own business.

#include "life/finalizer.h"

#include "base/format.h"
#include "base/settings.h"
#include "heap/find.h"
#include "heap/type.h"
#include "life/due.h"
#include "life/record.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/thread.h"
#include "world/roll.h"
#include "world/stop.h"

#include <stdlib.h>

static struct {
    struct lm_lock lock; // guards beginning and ending the thread
    bool has_thread;     // atomic
    bool is_ending;      // atomic
    bool is_on_demand;   // atomic
    uint32_t bell;       // changes when calls have come due; atomic
    uint32_t finished; // those that have returned, or are the program's; atomic
    uint32_t waiting;  // threads that wait for that; atomic
    uint32_t begun;    // calls that have begun; guarded by the records' lock
    void (*notify)(void *); // guarded by the lock
    void *notify_argument;  // too
    uint64_t since_ns;     // the thread's call under way began; 0: none; atomic
    const char *type_name; // of its object; atomic
    bool is_reported;      // atomic
} finalizers;

// Whether this is the library's thread.
static __thread bool finalize_is_thread;
// The frame from which this thread calls one, or has called one that has left by
// longjmp.
static __thread uintptr_t finalize_frame;

// Whether the caller is called by a finalizer: its frame lies below.
static bool is_within(void) {
    return (uintptr_t)__builtin_frame_address(0) < finalize_frame;
}

// ---- Calling -------------------------------------------------------------------------

static const char *object_type_name(uintptr_t start) {
    struct lm_object object;
    return start && lm_find_cell(start, &object)
               ? lm_kinds[object.kind].type->name
               : "(unknown)";
}

static void report_slow(uint64_t ns, bool is_over) {
    const char *name = __atomic_load_n(&finalizers.type_name, __ATOMIC_ACQUIRE);
    if (!__atomic_exchange_n(&finalizers.is_reported, true, __ATOMIC_RELAXED)) {
        lm_print(2,
                 "loam: a slow finalizer: that of an object of type %s %s %zu "
                 "ms\n  the rule: all other finalizers wait meanwhile\n"
                 "  what to do: let it hand over what takes long, or call "
                 "loam_finalizers_run on threads of your own\n",
                 name, is_over ? "took" : "has been running for",
                 (size_t)(ns / 1000000));
    }
}

static bool is_slow(uint64_t ns) {
    uint64_t most =
        __atomic_load_n(&lm_settings.finalizer_slow_ns, __ATOMIC_RELAXED);
    return most && ns > most;
}

void lm_finalizer_check(void) {
    uint64_t since = __atomic_load_n(&finalizers.since_ns, __ATOMIC_ACQUIRE);
    uint64_t now = lm_clock_ns();
    if (since && now > since && is_slow(now - since)) {
        report_slow(now - since, false);
    }
}

static void call(const struct lm_record *r) {
    if (r->fn == NULL) {
        return; // what it was for was freed while it was due
    }
    // Of a weak reference that has been cleared the reference is told.
    uintptr_t word =
        r->kind == LM_RECORD_WEAK ? r->holder : lm_find_known(r->target);
    void *first = (void *)word; // NOLINT: an address of the heap
    uintptr_t before = finalize_frame;
    finalize_frame = (uintptr_t)__builtin_frame_address(0);
    r->fn(first, (void *)r->argument); // NOLINT
    finalize_frame = before;
}

static void call_watched(const struct lm_record *r) {
    uint64_t began = lm_clock_ns();
    uintptr_t start = r->kind == LM_RECORD_WEAK ? r->holder : r->target;
    __atomic_store_n(&finalizers.type_name, object_type_name(start),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&finalizers.is_reported, false, __ATOMIC_RELAXED);
    __atomic_store_n(&finalizers.since_ns, began, __ATOMIC_RELEASE);
    call(r);
    uint64_t ns = lm_clock_ns() - began;
    if (is_slow(ns)) {
        report_slow(ns, true);
    }
    __atomic_store_n(&finalizers.since_ns, 0, __ATOMIC_RELEASE);
}

static void note_finished(void) {
    __atomic_add_fetch(&finalizers.finished, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&finalizers.waiting, __ATOMIC_SEQ_CST)) {
        lm_futex_wake(&finalizers.finished, INT32_MAX);
    }
}

static bool call_next(struct lm_member *self) {
    struct lm_record record;
    lm_member_inside(self);
    bool ok = lm_due_take(&record, &finalizers.begun);
    lm_member_outside(self);
    if (ok && finalize_is_thread) {
        call_watched(&record);
        note_finished();
    } else if (ok) {
        note_finished(); // it may leave by longjmp
        call(&record);
    }
    return ok;
}

size_t lm_finalizer_run(struct lm_member *self, size_t most) {
    size_t count = 0;
    while (count < most && call_next(self)) {
        count++;
    }
    return count;
}

// ---- The library's thread --------------------------------------------------------------

// A collection need not wait for who sleeps here.
static void sleep_on(struct lm_member *self, uint32_t *word, uint32_t value,
                     uint64_t ns) {
    lm_member_retreat(self);
    lm_futex_wait(word, value, ns);
    lm_member_resume(self);
}

static bool is_on_demand(void) {
    return __atomic_load_n(&finalizers.is_on_demand, __ATOMIC_RELAXED);
}

static void *thread_run(void *unused) {
    (void)unused;
    lm_thread_begin(0); // its turns are as long as any thread's
    lm_world_let_in();
    struct lm_member *self = lm_roll_attach(NULL) ? lm_self : NULL;
    finalize_is_thread = true;
    while (self && !__atomic_load_n(&finalizers.is_ending, __ATOMIC_ACQUIRE)) {
        uint32_t bell = __atomic_load_n(&finalizers.bell, __ATOMIC_ACQUIRE);
        if (is_on_demand() || !call_next(self)) {
            sleep_on(self, &finalizers.bell, bell, 0);
        }
    }
    __atomic_store_n(&finalizers.has_thread, false, __ATOMIC_RELEASE);
    return NULL;
}

static void thread_begin(void) {
    if (__atomic_load_n(&finalizers.has_thread, __ATOMIC_ACQUIRE)) {
        return;
    }
    lm_lock_acquire(&finalizers.lock);
    if (!finalizers.has_thread) {
        __atomic_store_n(&finalizers.has_thread, true, __ATOMIC_RELEASE);
        if (!lm_thread_start(thread_run, NULL, "loam-finalizer", true)) {
            // The next collection tries again.
            __atomic_store_n(&finalizers.has_thread, false, __ATOMIC_RELEASE);
        }
    }
    lm_lock_release(&finalizers.lock);
}

static void ring(void) {
    __atomic_add_fetch(&finalizers.bell, 1, __ATOMIC_RELEASE);
    lm_futex_wake(&finalizers.bell, INT32_MAX);
}

void lm_finalizer_notice(void) {
    lm_finalizer_check();
    if (lm_due_count() == 0) {
        return;
    }
    if (!is_on_demand()) {
        thread_begin();
        ring();
        return;
    }
    lm_lock_acquire(&finalizers.lock);
    void (*notify)(void *) = finalizers.notify;
    void *argument = finalizers.notify_argument;
    lm_lock_release(&finalizers.lock);
    if (notify) {
        notify(argument);
    }
}

void lm_finalizer_stop(void) {
    __atomic_store_n(&finalizers.is_ending, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&finalizers.has_thread, __ATOMIC_ACQUIRE) &&
           !finalize_is_thread) {
        ring();
        lm_thread_yield();
    }
}

// The thread is gone, unless it is the one that forked.
void lm_finalizer_fork_child(void) {
    lm_lock_reset(&finalizers.lock);
    if (!finalize_is_thread) {
        finalizers.has_thread = false;
        finalizers.since_ns = 0;
    }
    // Those that were under way in other threads will not return here.
    finalizers.finished =
        finalizers.begun - (finalize_is_thread && is_within());
}

void lm_finalizer_on_demand(struct lm_member *self, void (*notify)(void *),
                            void *argument) {
    lm_member_inside(self);
    lm_lock_acquire(&finalizers.lock);
    finalizers.notify = notify;
    finalizers.notify_argument = argument;
    lm_lock_release(&finalizers.lock);
    lm_member_outside(self);
    __atomic_store_n(&finalizers.is_on_demand, true, __ATOMIC_RELEASE);
}

// Until so many calls have returned.
static bool wait_for(struct lm_member *self, uint32_t last,
                     uint64_t timeout_ns) {
    uint64_t until = timeout_ns ? lm_clock_ns() + timeout_ns : UINT64_MAX;
    for (;;) {
        uint32_t done = __atomic_load_n(&finalizers.finished, __ATOMIC_SEQ_CST);
        uint64_t now = lm_clock_ns();
        if ((int32_t)(done - last) >= 0 || now >= until) {
            return (int32_t)(done - last) >= 0;
        }
        sleep_on(self, &finalizers.finished, done,
                 timeout_ns ? until - now : 0);
    }
}

bool lm_finalizer_wait(struct lm_member *self, uint64_t timeout_ns) {
    if (is_within()) {
        return false;
    }
    lm_member_inside(self);
    uint32_t last = lm_due_last(&finalizers.begun);
    lm_member_outside(self);
    __atomic_add_fetch(&finalizers.waiting, 1, __ATOMIC_SEQ_CST);
    bool ok = wait_for(self, last, timeout_ns);
    __atomic_sub_fetch(&finalizers.waiting, 1, __ATOMIC_SEQ_CST);
    return ok;
}

// ---- At exit -------------------------------------------------------------------------

struct birth {
    uint32_t birth;
    uint32_t number;
};

static int birth_compare(const void *a, const void *b) {
    uint32_t one = ((const struct birth *)a)->birth;
    uint32_t other = ((const struct birth *)b)->birth;
    return one < other ? 1 : one > other ? -1 : 0; // newest first
}

// Takes a record that has not been taken meanwhile.
static bool exit_take(const struct birth *birth, struct lm_record *record) {
    lm_record_lock();
    *record = *lm_record_at(birth->number);
    bool ok = record->kind == LM_RECORD_FINAL &&
              record->birth == birth->birth &&
              !(record->flags & LM_RECORD_READY);
    if (ok) {
        lm_record_remove(birth->number);
    }
    lm_record_unlock();
    return ok;
}

static size_t exit_gather(struct birth *births, size_t room) {
    size_t count = 0;
    lm_record_lock();
    for (uint32_t n = 1; n < lm_record_end() && count < room; n++) {
        const struct lm_record *r = lm_record_at(n);
        if (r->kind == LM_RECORD_FINAL && !(r->flags & LM_RECORD_READY)) {
            births[count++] = (struct birth){r->birth, n};
        }
    }
    lm_record_unlock();
    return count;
}

void lm_finalizer_exit(struct lm_member *self) {
    size_t room = lm_record_count();
    size_t bytes = (room * sizeof(struct birth) + 4095) & ~(size_t)4095;
    if (!__atomic_load_n(&lm_settings.finalize_at_exit, __ATOMIC_RELAXED) ||
        room == 0) {
        return;
    }
    lm_finalizer_run(self, SIZE_MAX);
    struct birth *births = lm_memory_map(bytes);
    if (births == NULL) {
        lm_print(2, "loam: no memory to order the finalizers at exit: they are "
                    "not called\n");
        return;
    }
    lm_member_inside(self);
    size_t count = exit_gather(births, room);
    lm_member_outside(self);
    qsort(births, count, sizeof *births, birth_compare);
    for (size_t i = 0; i < count; i++) {
        struct lm_record record;
        lm_member_inside(self);
        bool ok = exit_take(&births[i], &record);
        lm_member_outside(self);
        if (ok) {
            call(&record);
        }
    }
    lm_memory_release(births, bytes);
}
