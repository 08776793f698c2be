// SPDX-License-Identifier: MIT
// counted.c: counts that are biased towards the thread that made the object.
//
// After Choi, Shull and Torrellas, "Biased Reference Counting" (PACT 2018): the
// thread that made an object, its owner, counts in `local` without atomic
// instructions, others count in `shared` with them. There the owner has to help
// where another thread lets go of what the owner counted, and until it does the
// object does not die. Here nobody waits for the owner: its additions are steps
// (os/restart), so another thread takes the owner's name off the object, waits
// until no step is under way, and adds the two counts up. Then the object has no
// owner, and all threads count in `shared`.
//
//            owner's count is 1 and `shared` 0,
//   owned ------------------------------------------> dying --> free
//     |                 owner lets go                   ^
//     | settle: somebody lets go of                     |  last one lets go
//     | what the owner counted                          |
//     +-------------------------> without owner --------+
//
//   counted.1  While an object is owned, `local` is 1 or more, only the owner
//              writes it, and `shared` counts no less than zero. The references
//              are local + shared / 2.
//   counted.2  Where `shared` is odd the object has no owner and shared / 2 is
//              the number of references; at 1 it is dying, or dead.
//   counted.3  `local` and `owner` together are no address of the heap, and while
//              the object waits to die they are the next that waits, or NULL. So
//              the word is a pointer field of every counted type.
//   counted.4  An object that is dying is referred to by its thread's queue, or
//              by the frame of queue_run.
//   counted.5  What has been disposed of, or is held for it, by the collector has
//              no owner, and COUNT_ENDED in place of a count of its owner's; when
//              it dies after all, SHARED_ENDED says so.

#include "life/counted.h"

#include "alloc/cache.h"
#include "alloc/large.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/freed.h"
#include "life/record.h"
#include "life/release.h"
#include "os/lock.h"
#include "os/restart.h"
#include "os/thread.h"

#include <string.h>

// Makes every owner's word larger than any address. (counted.3)
#define OWNER_BIT 0x80000000u

// See counted.5.
#define COUNT_ENDED 1u
#define SHARED_ENDED (UINT64_C(1) << 62)

// A step that the kernel has interrupted so often is not tried again: a debugger
// may be stepping through it.
#define STEP_TRIES 3

static struct {
    struct lm_lock lock; // held by who settles a count
    bool has_steps;      // set before there are members
} counted;

// What the kernel looks at for threads that have no area: nobody does.
static struct { uint64_t words[4]; } no_area;

__thread struct loam_stepper_ loam_stepper_
    __attribute__((tls_model("initial-exec"))) = {LOAM_OWNER_NOT_YET_,
                                                  &no_area};

// Objects that wait to die, linked through their first word. Scanned as all
// thread-local storage is. (counted.4)
static __thread struct {
    struct loam_count_ *first;
    struct loam_count_ *last_child; // of the object that is being disposed of
    bool is_running;
} queue __attribute__((tls_model("initial-exec")));

_Static_assert(sizeof(struct loam_count_) == 16 &&
                   sizeof(struct loam_count_) % _Alignof(max_align_t) == 0,
               "what stands behind the count is aligned as the cell is");

void lm_counted_init(void) {
    counted.has_steps = lm_restart_init();
}

void lm_counted_join(const struct lm_member *self) {
    void *area = counted.has_steps ? lm_restart_area() : NULL;
    if (area && loam_stepper_.owner == LOAM_OWNER_NOT_YET_) {
        loam_stepper_.area = area;
        loam_stepper_.owner = (uint32_t)self->id | OWNER_BIT;
    }
}

// ---- Errors of the caller ------------------------------------------------------

void lm_counted_error(const void *p, const char *call) {
    struct lm_object o;
    const struct loam_type *type = NULL;
    if (lm_find((uintptr_t)p, &o)) {
        type = lm_kinds[o.kind].type;
    }
    if (type && type->lead_bytes == 0) {
        lm_caller_error("only what loam_counted_new made is counted",
                        "make the object with loam_counted_new, or leave the "
                        "call out: the collector keeps what is reachable",
                        "%s(%p), an object of type %s that has no count", call,
                        p, type->name);
    }
    if (type && o.start + type->lead_bytes != (uintptr_t)p) {
        lm_caller_error("a counted object is known by its start",
                        "pass what loam_counted_new returned, which "
                        "loam_base_of finds",
                        "%s(%p), which is %zu bytes into an object of type %s",
                        call, p, (uintptr_t)p - o.start - type->lead_bytes,
                        type->name);
    }
    lm_caller_error("a counted object is gone once it was released as often as "
                    "it was retained, and once more; its dispose function "
                    "cannot keep it",
                    "look for the release that is one too many, or the "
                    "reference that was kept without loam_retain",
                    "%s(%p), %s whose count has fallen below 1", call, p,
                    type ? type->name : "a pointer to memory");
}

// ---- The count -----------------------------------------------------------------

static uint64_t count_shared(const struct loam_count_ *count) {
    // Acquire: at zero, all that was done with the object is seen.
    return __atomic_load_n(&count->shared, __ATOMIC_ACQUIRE);
}

// Whether a count can be one of a living object's. The owner may be counting, and
// another settling.
static bool count_is_sound(const struct loam_count_ *count, uint64_t shared) {
    if (shared & 1) {
        return shared > 1 && shared >> 62 == 0;
    }
    uint32_t owner = __atomic_load_n(&count->owner, __ATOMIC_RELAXED);
    return (owner & OWNER_BIT) && shared >> 62 == 0;
}

static inline bool count_is_ended(const struct loam_count_ *count) {
    return count->owner == LOAM_OWNER_NOBODY_ && count->local == COUNT_ENDED;
}

static void count_note_handed(const struct loam_count_ *count) {
    struct lm_object o;
    if (lm_find((uintptr_t)count, &o)) {
        // The type's description is constant, but for this.
        struct loam_type *type = (struct loam_type *)lm_kinds[o.kind].type;
        __atomic_fetch_add(&type->death.handed_count, 1, __ATOMIC_RELAXED);
    }
}

// Adds the owner's count to the others' and leaves the object without an owner.
// The caller has a reference, or is the owner.
static void count_settle(struct lm_member *self, struct loam_count_ *count) {
    lm_member_inside(self);
    lm_lock_acquire(&counted.lock);
    if ((count_shared(count) & 1) == 0) {
        bool is_ours = count->owner == loam_stepper_.owner;
        __atomic_store_n(&count->owner, LOAM_OWNER_NOBODY_, __ATOMIC_SEQ_CST);
        if (!is_ours && !lm_restart_others()) {
            lm_caller_error(
                "membarrier(2), which was allowed when the program "
                "started, stays allowed while counted objects are "
                "handed from thread to thread",
                "let the program's filter of system calls permit it",
                "a release of an object that another thread made");
        }
        // The owner's steps are over, and it sees that it begins none. (counted.1)
        uint64_t local =
            __atomic_exchange_n(&count->local, 0, __ATOMIC_RELAXED);
        __atomic_fetch_add(&count->shared, 2 * local + 1, __ATOMIC_ACQ_REL);
        if (!is_ours) {
            count_note_handed(count);
        }
    }
    lm_lock_release(&counted.lock);
    lm_member_outside(self);
}

void lm_counted_retain(struct loam_count_ *count) {
    for (int i = 0; i < STEP_TRIES; i++) {
        if (count->owner != loam_stepper_.owner) {
            break;
        }
        if (loam_step_up_(count, &loam_stepper_)) {
            return;
        }
    }
    if (!count_is_sound(count, count_shared(count))) {
        lm_counted_error(count + 1, "loam_retain");
    }
    // Relaxed: whoever adds to the count has a reference already. Nobody can have
    // let go of the last one but by an error of the program's.
    if (__atomic_fetch_add(&count->shared, 2, __ATOMIC_RELAXED) == 1) {
        lm_counted_error(count + 1, "loam_retain");
    }
}

size_t lm_counted_value(const struct loam_count_ *count) {
    uint64_t shared = count_shared(count);
    uint32_t local = __atomic_load_n(&count->local, __ATOMIC_RELAXED);
    return (size_t)(shared >> 1) + (shared & 1 ? 0 : local);
}

// ---- Dying ---------------------------------------------------------------------

static inline struct loam_count_ **link_of(struct loam_count_ *count) {
    return (struct loam_count_ **)count; // (counted.3)
}

// Puts an object that nobody refers to behind its older siblings, before all
// else that waits. The thread is inside.
static inline void queue_add(struct loam_count_ *count) {
    struct loam_count_ **at =
        queue.last_child ? link_of(queue.last_child) : &queue.first;
    count->shared = count_is_ended(count) ? SHARED_ENDED | 1 : 1;
    *link_of(count) = *at;
    *at = count;
    queue.last_child = count;
}

static inline struct loam_count_ *queue_take(void) {
    struct loam_count_ *count = queue.first;
    if (count) {
        queue.first = *link_of(count);
        *link_of(count) = NULL;
    }
    return count;
}

// Dead cells of one word of bits, which are freed together; and what is known of
// their block, since what dies together often lies together. Nothing refers to
// these cells, so a collection may take them back, too: a row that was begun
// before the program was stopped is left to the next one.
struct row {
    struct lm_object object; // one of them
    const struct lm_death *death;
    uintptr_t block_start; // 0: none yet
    uint32_t scale;        // of the block; 0 for a large object
    bool is_plain;         // cells, and what is freed is not noted
    size_t link_bytes;     // plain, and they own one field, there; else 0
    uint32_t owner;        // that the calling thread is
    uint32_t phase;        // of the world, when the first was added
    uint64_t cells;
};

static void row_free(struct lm_member *self, struct row *row) {
    if (row->cells && row->phase == lm_world_phase()) {
        lm_cache_free_row(self->cache, &row->object, row->cells);
    }
    row->cells = 0;
}

static void row_begin(struct lm_member *self, struct row *row,
                      const struct loam_count_ *count) {
    row_free(self, row);
    bool is_there = lm_find_cell((uintptr_t)count, &row->object);
    LM_CHECK(1, is_there && row->object.start == (uintptr_t)count,
             "counted.4 what waits to die is an object");
    row->death = &lm_kinds[row->object.kind].type->death;
    row->block_start = (uintptr_t)count & ~(LM_BLOCK_BYTES - 1);
    row->scale = lm_kinds[row->object.kind].scale;
    row->is_plain = row->scale && lm_settings.check < 3;
    bool is_one = row->death->owned_count == 1 &&
                  row->death->owned[0].word_count == 1 &&
                  row->death->owned_flex_bytes == 0;
    row->link_bytes =
        row->is_plain && is_one ? row->death->owned[0].offset_bytes : 0;
}

// What row_add has seldom to do. False when the object is not to be added.
static bool row_prepare(struct lm_member *self, struct row *row,
                        const struct loam_count_ *count, uint32_t cell) {
    if (lm_settings.check >= 3) {
        lm_freed_note((uintptr_t)count, lm_find_size(&row->object));
    }
    if (lm_record_count() != 0) {
        struct lm_object object = row->object;
        object.start = (uintptr_t)count;
        object.cell = cell;
        if (!lm_release_object(&object)) {
            return false; // the collector will find it
        }
    }
    if (row->scale == 0) {
        self->cache->freed_bytes +=
            lm_large_free(row->object.kind, row->object.block);
        row->block_start = 0;
        return false;
    }
    return true;
}

// Adds the object at a count, whose block the row is of.
static inline void row_add(struct lm_member *self, struct row *row,
                           const struct loam_count_ *count) {
    uint64_t offset = (uintptr_t)count - row->block_start;
    uint32_t cell = (uint32_t)((offset * row->scale) >> 32);
    if (lm_unlikely(!row->is_plain || lm_record_count() != 0) &&
        !row_prepare(self, row, count, cell)) {
        return;
    }
    if (row->object.cell / 64 != cell / 64) {
        row_free(self, row);
    }
    if (row->cells == 0) {
        row->phase = lm_world_phase();
        row->object.start = (uintptr_t)count;
        row->object.cell = cell;
    }
    row->cells |= (uint64_t)1 << (cell % 64);
}

// `local`, the lower half, and `owner`, looked at with one load.
typedef uint64_t __attribute__((may_alias)) both_words;
_Static_assert(offsetof(struct loam_count_, local) == 0 &&
                   offsetof(struct loam_count_, owner) == 4 &&
                   __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the two halves of a word are local and owner");

// Whether the thread has the only reference, by its own count.
static inline bool count_is_last(const struct loam_count_ *count,
                                 uint32_t owner) {
    // Relaxed: only this thread changes its own count, and another's reference
    // would show in the shared one. (counted.1)
    uint64_t both =
        __atomic_load_n((const both_words *)count, __ATOMIC_RELAXED);
    return both == ((uint64_t)owner << 32 | 1) && count_shared(count) == 0;
}

// Releases what some fields refer to. The first that dies of all is returned, or
// the one that there is already; it need not wait in the queue.
static inline struct loam_count_ *words_release(struct lm_member *self,
                                                uint32_t owner, char *from,
                                                const char *to,
                                                struct loam_count_ *first) {
    for (; from < to; from += sizeof(void *)) {
        void *p = *(void **)from;
        if (p == NULL) {
            continue;
        }
        struct loam_count_ *count = (struct loam_count_ *)p - 1;
        if (!count_is_last(count, owner)) {
            lm_counted_release(self, count, "the release of an owned field");
        } else if (first) {
            queue_add(count);
        } else {
            count->shared = 1;
            first = count;
        }
    }
    return first;
}

static inline struct loam_count_ *owned_release(struct lm_member *self,
                                                const struct row *row,
                                                struct loam_count_ *count) {
    const struct lm_death *death = row->death;
    char *start = (char *)count;
    struct loam_count_ *first = NULL;
    for (size_t i = 0; i < death->owned_count; i++) {
        char *from = start + death->owned[i].offset_bytes;
        first = words_release(
            self, row->owner, from,
            from + death->owned[i].word_count * sizeof(void *), first);
    }
    if (lm_unlikely(death->owned_flex_bytes)) {
        first = words_release(self, row->owner, start + death->owned_flex_bytes,
                              start + lm_find_size(&row->object), first);
    }
    return first;
}

// Runs the dispose function of an object of the row's type. The thread is inside,
// once, but not in dispose.
static inline void object_dispose(struct lm_member *self,
                                  struct loam_count_ *count,
                                  loam_dispose_fn *dispose) {
    queue.last_child = NULL;
    if (dispose && lm_likely(count->shared == 1)) {
        // Object by object, so that none waits for the one before.
        lm_member_leave(self);
        dispose(count + 1);
        lm_member_enter(self);
    }
}

// As object_end, for a list: objects of the row, each of which owns the next one
// and nothing else. Returns the first of another block, or that has to wait.
static struct loam_count_ *list_end(struct lm_member *self,
                                    struct loam_count_ *count,
                                    struct row *row) {
    loam_dispose_fn *dispose = row->death->dispose;
    uintptr_t block_start = row->block_start;
    size_t link_bytes = row->link_bytes;
    uint32_t owner = row->owner;
    do {
        struct loam_count_ *next = NULL;
        object_dispose(self, count, dispose);
        void *p = *(void **)((char *)count + link_bytes);
        if (p && lm_likely(count_is_last((struct loam_count_ *)p - 1, owner))) {
            next = (struct loam_count_ *)p - 1;
            next->shared = 1;
        } else if (p) {
            lm_counted_release(self, (struct loam_count_ *)p - 1,
                               "the release of an owned field");
        }
        row_add(self, row, count);
        count = next;
    } while (count && (uintptr_t)count - block_start < LM_BLOCK_BYTES &&
             !self->is_due);
    return count;
}

// Runs dispose, releases what the object owns, and gives its memory back. The
// thread is inside, once, but for dispose. Returns an object that died by that.
static inline struct loam_count_ *object_end(struct lm_member *self,
                                             struct loam_count_ *count,
                                             struct row *row) {
    if ((uintptr_t)count - row->block_start >= LM_BLOCK_BYTES) {
        row_begin(self, row, count);
    }
    if (lm_likely(row->link_bytes)) {
        return list_end(self, count, row);
    }
    object_dispose(self, count, row->death->dispose);
    struct loam_count_ *first = owned_release(self, row, count);
    row_add(self, row, count);
    return first;
}

// Lets what waits die, and what dies by that. (counted.4)
static void queue_run(struct lm_member *self) {
    static const struct lm_death none;
    struct row row = {.death = &none, .owner = loam_stepper_.owner};
    struct loam_count_ *count = queue_take();
    queue.is_running = true;
    while (count) {
        count = object_end(self, count, &row);
        if (lm_unlikely(self->is_due)) {
            row_free(self, &row);
            row.block_start = 0; // it may become another kind's
            lm_member_outside(self);
            lm_member_inside(self);
        }
        if (count == NULL) {
            count = queue_take();
        }
    }
    row_free(self, &row);
    queue.is_running = false;
}

static void object_die(struct lm_member *self, struct loam_count_ *count) {
    if (queue.is_running) {
        lm_member_inside(self);
        queue_add(count); // the frame below goes on with it
        lm_member_outside(self);
    } else if (self->inside) {
        // A handler of a fault in the allocator must not touch its lists, which
        // freeing does; the collector will find the object stranded, or dead.
        uint32_t ended = count_is_ended(count) ? COUNT_ENDED : 0;
        count->shared = 2 * 1 + 1;
        count->owner = LOAM_OWNER_NOBODY_;
        count->local = ended;
    } else {
        lm_member_inside(self);
        queue_add(count);
        queue_run(self);
        lm_member_outside(self);
    }
}

// ---- Releasing -----------------------------------------------------------------

// Takes one off what all threads count together. True where that was the last.
static bool count_drop(struct lm_member *self, struct loam_count_ *count,
                       const char *call) {
    for (;;) {
        uint64_t shared = count_shared(count);
        if (lm_unlikely(!count_is_sound(count, shared))) {
            lm_counted_error(count + 1, call);
        }
        if (shared == 0) {
            count_settle(self, count);
        } else if (__atomic_compare_exchange_n(
                       &count->shared, &shared, shared - 2, true,
                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return shared - 2 == 1;
        }
    }
}

void lm_counted_release(struct lm_member *self, struct loam_count_ *count,
                        const char *call) {
    if (count_is_last(count, loam_stepper_.owner)) {
        object_die(self, count);
        return;
    }
    for (int i = 0; i < STEP_TRIES; i++) {
        if (count->owner != loam_stepper_.owner) {
            break;
        }
        if (loam_step_down_(count, &loam_stepper_)) {
            return;
        }
    }
    if (count_drop(self, count, call)) {
        object_die(self, count);
    }
}

// ---- Stranded objects ------------------------------------------------------------

bool lm_counted_is_stranded(const struct loam_count_ *count) {
    uint64_t shared = count_shared(count);
    return count_is_sound(count, shared) && !count_is_ended(count);
}

static void words_each(char *from, const char *to, void (*fn)(void **field)) {
    for (; from < to; from += sizeof(void *)) {
        if (*(void **)from) {
            fn((void **)from);
        }
    }
}

void lm_counted_each_owned(struct loam_count_ *count,
                           void (*fn)(void **field)) {
    struct lm_object object;
    char *start = (char *)count;
    if (!lm_find_cell((uintptr_t)count, &object)) {
        return;
    }
    const struct lm_death *death = &lm_kinds[object.kind].type->death;
    for (size_t i = 0; i < death->owned_count; i++) {
        char *from = start + death->owned[i].offset_bytes;
        words_each(from, from + death->owned[i].word_count * sizeof(void *),
                   fn);
    }
    if (death->owned_flex_bytes) {
        words_each(start + death->owned_flex_bytes,
                   start + lm_find_size(&object), fn);
    }
}

// No step is under way, since nobody has the object.
static void count_fix(struct loam_count_ *count, size_t references,
                      uint32_t local) {
    count->owner = LOAM_OWNER_NOBODY_;
    count->local = local;
    __atomic_store_n(&count->shared, 2 * references + 1, __ATOMIC_RELEASE);
}

void lm_counted_disown_stranded(struct loam_count_ *count) {
    count_fix(count, lm_counted_value(count), 0);
}

void lm_counted_hold_stranded(struct loam_count_ *count) {
    count_fix(count, lm_counted_value(count) + 1, COUNT_ENDED);
}

static void stranded_release(void **field) {
    struct loam_count_ *owned = (struct loam_count_ *)*field - 1;
    *field = NULL; // it lives until the hold is let go of
    lm_counted_release(lm_self, owned, "the release of an owned field");
}

void lm_counted_end_stranded(void *object, void *unused) {
    struct loam_count_ *count = (struct loam_count_ *)object - 1;
    struct lm_object found;
    (void)unused;
    if (lm_find((uintptr_t)count, &found)) {
        lm_kinds[found.kind].type->death.dispose(object);
        lm_counted_each_owned(count, stranded_release);
        lm_counted_release(lm_self, count, "loam_release");
    }
}

// ---- Fork ----------------------------------------------------------------------

void lm_counted_fork_prepare(void) {
    lm_lock_acquire(&counted.lock);
}

void lm_counted_fork_done(bool in_child) {
    if (!in_child) {
        lm_lock_release(&counted.lock);
        return;
    }
    lm_lock_reset(&counted.lock);
    // Its thread has another number now, under which it owns nothing yet: what
    // it made so far has an owner that does not run, and is settled as it comes.
    if (loam_stepper_.owner != LOAM_OWNER_NOT_YET_) {
        loam_stepper_.owner = (uint32_t)lm_thread_id() | OWNER_BIT;
    }
    counted.has_steps = lm_restart_init();
}
