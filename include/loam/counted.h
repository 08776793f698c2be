// SPDX-License-Identifier: MIT
// loam/counted.h: objects that die at the moment nobody refers to them.
//
//     struct channel { int fd; struct channel *next; };
//     LOAM_TYPE(struct channel, next)
//     LOAM_COUNTED_OWNS(struct channel, channel_close, next)
//
//     struct channel *c = loam_counted_new(struct channel); // its count is 1
//     loam_retain(c);                                       // 2
//     loam_release(c);                                      // 1
//     loam_release(c); // 0: channel_close(c), c->next is released, c is freed
//
// A counted object is an object of the heap with a count in front of it. The
// count decides when it dies early; for the rest the collector decides, as for
// any other object:
//   * A positive count alone does not keep an object. It is alive as long as it
//     is reachable, from where the collector looks.
//   * Counted objects that refer to each other in a cycle keep their counts above
//     zero for ever; and so does one whose reference was lost, because what held
//     it was collected. When the program cannot reach them a full collection finds
//     them, and their dispose functions run, once each, where finalizers run: on a
//     thread of the library's, or in loam_finalizers_run. What an object owns
//     (LOAM_COUNTED_OWNS) follows it, as if its last reference had been released;
//     within a cycle one is the first, nobody knows which. Finalizers come before.
//
// The count is in sixteen bytes before the address that the program knows. So a
// counted object is not resized with loam_realloc, nor freed with loam_free.

#ifndef LOAM_COUNTED_H
#define LOAM_COUNTED_H

#include <stddef.h>
#include <stdint.h>

#include <loam/heap.h>
#include <loam/machine.h>
#include <loam/size.h>
#include <loam/type.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_dispose_fn puts an object's affairs in order: closes what it has open,
// releases what it has retained. It runs on the thread that released the object
// last, or where finalizers do, outside of the library's locks, and must return.
// It may allocate, collect, and release other objects. Those that die by that
// follow when it has returned, before anything else that waits to die; so a chain
// of any length takes no stack. It must not retain the object, nor give it to
// anybody: when the function returns the object is freed.
typedef void loam_dispose_fn(void *object);

// struct loam_counted_spec is what LOAM_COUNTED says about a type.
struct loam_counted_spec {
    const char *name;               // of the type, as spelled
    const void *unit;               // the source file
    loam_dispose_fn *dispose;       // or NULL
    const struct loam_field *owned; // what is released after it
    size_t owned_count;
};

void *loam_retain_slow_(void *p);
void loam_release_slow_(void *p);

// The calling thread's steps. A thread whose objects are not biased towards it
// has an owner that no object has.
extern __thread struct loam_stepper_ loam_stepper_
    __attribute__((tls_model("initial-exec")));

static inline void *loam_retain_(void *p) {
    if (p == NULL ||
        loam_step_up_((struct loam_count_ *)p - 1, &loam_stepper_)) {
        return p;
    }
    return loam_retain_slow_(p);
}

// loam_release takes 1 off the count of a counted object. At zero the object is
// disposed of: its dispose function runs, what it owns is released, and its
// memory is free at once, on the calling thread. NULL is ignored. A p that is no
// counted object, or whose count has fallen to zero before, is an error of the
// caller where it can be seen: one message, then abort.
//
//   threads  any       collects  never       cost  about 1 ns on the thread
//                                                  that made p, 6 on others,
//                                                  and the disposal; see the
//                                                  guide for the first release
//                                                  on another thread
static inline void loam_release(void *p) {
    if (p != NULL &&
        !loam_step_down_((struct loam_count_ *)p - 1, &loam_stepper_)) {
        loam_release_slow_(p);
    }
}

// loam_count_of returns the count of a counted object, for tests and messages:
// it may have changed by the time the caller looks at it.
//
//   threads  any       collects  never       cost  three loads
size_t loam_count_of(const void *p);

// ---- Making counted objects -------------------------------------------------

// Where in the program a counted type is asked for.
struct loam_counted_site_ {
    struct loam_site_ site; // its size is T's, without the count
    const struct loam_counted_spec *const *specs_begin;
    const struct loam_counted_spec *const *specs_end;
    // How many objects of the type were released on a thread that did not make
    // them while their owner still counted; NULL until resolved. Atomic.
    const uint32_t *handed_count;
};

void *loam_counted_slow_(struct loam_counted_site_ *site, size_t bytes);

extern const struct loam_counted_spec *const __start_loam_counted[]
    __attribute__((weak, visibility("hidden")));
extern const struct loam_counted_spec *const __stop_loam_counted[]
    __attribute__((weak, visibility("hidden")));

#define LOAM_OWNER_NOBODY_ UINT32_MAX // of an object without an owner
#define LOAM_OWNER_NOT_YET_ 1u        // of a thread that owns none

// After so many of a type, its objects are made without an owner.
#define LOAM_HANDED_MAX_ 64

// Gives a new cell a count of 1, and returns the address behind the count.
static inline void *loam_count_begin_(void *cell,
                                      const uint32_t *handed_count) {
    struct loam_count_ *count = (struct loam_count_ *)cell;
    uint32_t owner = loam_stepper_.owner;
    // Relaxed: it only says what pays.
    if (owner != LOAM_OWNER_NOT_YET_ &&
        __atomic_load_n(handed_count, __ATOMIC_RELAXED) < LOAM_HANDED_MAX_) {
        count->local = 1;
        count->owner = owner;
    } else {
        count->owner = LOAM_OWNER_NOBODY_;
        count->shared = 2 * 1 + 1;
    }
    return count + 1;
}

static inline void *loam_counted_new_(struct loam_counted_site_ *site,
                                      size_t bytes) {
    size_t whole = bytes + sizeof(struct loam_count_);
    if (whole <= LOAM_SMALL_MAX) {
        // Acquire: where there is a kind, the rest of the site is there.
        uint32_t kind = __atomic_load_n(&site->site.kind, __ATOMIC_ACQUIRE);
        size_t cell = loam_cell_bytes_(loam_size_class_(whole));
        uintptr_t p = loam_slot_claim_(&loam_slots_[kind], cell);
        if (__builtin_expect(p != 0, 1)) {
            return loam_count_begin_((void *)p, site->handed_count);
        }
    }
    return loam_counted_slow_(site, bytes);
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

// loam_retain adds 1 to the count of a counted object, which the caller must
// know to be above zero, and returns p. NULL is returned as it is. A p that is
// no counted object, or whose count has fallen to zero, is an error of the
// caller where it can be seen.
//
//   threads  any       collects  never       cost  about 1 ns on the thread
//                                                  that made p, 6 on others
#define loam_retain(p) ((__typeof__(p))loam_retain_(p))

#define LOAM_COUNTED_SITE_(T)                                                  \
    { LOAM_SITE_(T), __start_loam_counted, __stop_loam_counted, NULL }

// loam_counted_new(T) returns a zeroed T with a count of 1, scanned as LOAM_TYPE
// described it and conservatively if nothing did; it dies as LOAM_COUNTED said,
// and is just freed if nothing did. NULL as for loam_alloc. A type with a mark
// function is an error of the caller.
//
//   threads  any       collects  may         cost  about 3 ns
#define loam_counted_new(T)                                                    \
    (__extension__({                                                           \
        static struct loam_counted_site_ loam_site_here_ =                     \
            LOAM_COUNTED_SITE_(T);                                             \
        (T *)loam_counted_new_(&loam_site_here_, sizeof(T));                   \
    }))

// loam_counted_new_flex(T, field, n) is the same with n elements of the flexible
// array member `field`; a size that overflows is LOAM_TOO_LARGE.
//
//   threads  any       collects  may         cost  about 8 ns, and zeroing
#define loam_counted_new_flex(T, field, n)                                     \
    (__extension__({                                                           \
        static struct loam_counted_site_ loam_site_here_ =                     \
            LOAM_COUNTED_SITE_(T);                                             \
        (T *)loam_counted_slow_(&loam_site_here_,                              \
                                loam_flex_bytes_(offsetof(T, field),           \
                                                 sizeof(((T *)0)->field[0]),   \
                                                 (n)));                        \
    }))

// ---- Saying how a type dies -------------------------------------------------

#define LOAM_COUNTED_EMIT_(id, T, dispose, fieldlist, count)                   \
    static const struct loam_counted_spec LOAM_CAT_(loam_counted_, id) = {     \
        #T, &loam_unit_, dispose, fieldlist, count};                           \
    static const struct loam_counted_spec *const LOAM_CAT_(                    \
        loam_counted_at_, id) __attribute__((used, section("loam_counted"))) = \
        &LOAM_CAT_(loam_counted_, id);

// LOAM_COUNTED(T, dispose) says that dispose, a loam_dispose_fn or NULL, runs
// when a counted T dies. At file scope, without a semicolon, after T's
// definition; found as LOAM_TYPE is.
#define LOAM_COUNTED(T, dispose)                                               \
    LOAM_COUNTED_EMIT_(__COUNTER__, T, dispose, NULL, 0)

// LOAM_COUNTED_OWNS(T, dispose, field, ...) also says that each of these fields
// holds a reference: what it points to when dispose has returned, a counted
// object or NULL, is released. A field is a pointer, an array of pointers, or
// LOAM_FLEX(f); an owned field must be one that LOAM_TYPE names, too.
#define LOAM_COUNTED_OWNS(T, dispose, ...)                                     \
    LOAM_COUNTED_OWNS_(__COUNTER__, T, dispose, __VA_ARGS__)
#define LOAM_COUNTED_OWNS_(id, T, dispose, ...)                                \
    static const struct loam_field LOAM_CAT_(loam_owned_, id)[] = {            \
        LOAM_EACH_(T, __VA_ARGS__)};                                           \
    LOAM_COUNTED_EMIT_(id, T, dispose, LOAM_CAT_(loam_owned_, id),             \
                       sizeof(LOAM_CAT_(loam_owned_, id)) /                    \
                           sizeof(LOAM_CAT_(loam_owned_, id)[0]))

#endif // LOAM_COUNTED_H
