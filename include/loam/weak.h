// SPDX-License-Identifier: MIT
// loam/weak.h: referring to objects without keeping them alive.
//
// A weak reference is an object itself, that is collected when nobody refers to
// it any more. It tells where its target is until that has died, and NULL from
// then on.

#ifndef LOAM_WEAK_H
#define LOAM_WEAK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// struct loam_weak is a weak reference. Its fields are the library's.
struct loam_weak {
    void *target_;
    uint32_t record_;
    uint32_t flags_;
};

// loam_weak_new returns a weak reference to the object that p points at or into.
// Once nothing but weak references and finalizers leads to that object, the
// reference is cleared: before a finalizer gets the object, so a finalizer that
// brings it back does not bring back the reference. While it is not cleared a
// second call with the same p returns the same reference. NULL with
// loam_last_error when p is no object or there is no memory.
//
//   threads  any       collects  may         cost  about 100 ns
struct loam_weak *loam_weak_new(void *p);

// loam_weak_new_long is loam_weak_new of a reference that is cleared only when
// the object is gone for good: it still leads to an object that waits for its
// finalizer, or was brought back by it.
//
//   threads  any       collects  may         cost  about 100 ns
struct loam_weak *loam_weak_new_long(void *p);

// loam_soft_new is loam_weak_new of a reference that keeps its object alive until
// memory is short: before an allocation fails for the heap's maximum, all objects
// that only soft references lead to are given up. For caches that may be as large
// as there is room.
//
//   threads  any       collects  may         cost  about 100 ns
struct loam_weak *loam_soft_new(void *p);

// loam_weak_fn is told that a weak reference has been cleared since its object
// has died. It is called where finalizers are (see loam/finalize.h), and may do
// what those may.
typedef void loam_weak_fn(struct loam_weak *weak, void *argument);

// loam_weak_watch is loam_weak_new, and fn is called with the new reference and
// the argument, which is kept alive until then, once the object has died; unless
// the reference itself is gone before. Every call makes a reference of its own.
//
//   threads  any       collects  may         cost  about 100 ns
struct loam_weak *loam_weak_watch(void *p, loam_weak_fn *fn, void *argument);

// loam_weak_clear makes a weak reference lead nowhere now; nobody is told. NULL is
// ignored.
//
//   threads  any       collects  never       cost  a lock and a short search
void loam_weak_clear(struct loam_weak *weak);

// Odd while weak references of a collection are being settled.
extern unsigned loam_weak_epoch_;
void *loam_weak_slow_(const struct loam_weak *weak);

// loam_weak_get returns the object, or rather the pointer that the reference was
// made with, or NULL once the object has died.
//
// What it returns is an ordinary strong pointer: as long as you hold it where the
// collector looks, the object stays. So ask once and keep the answer; two calls
// in a row may disagree. A thread that the runtime has not met (see
// loam/thread.h) registers first: nobody would see what it holds.
//
//   threads  any       collects  never       cost  about 1 ns; shortly after a
//                                                  collection about 5 ns, and
//                                                  with weak maps a wait
static inline void *loam_weak_get(const struct loam_weak *weak) {
    // The same even number before and after: no collection was settled between.
    // Acquire: the target is read after the first, and the second after it.
    unsigned before = __atomic_load_n(&loam_weak_epoch_, __ATOMIC_ACQUIRE);
    void *target = __atomic_load_n(&weak->target_, __ATOMIC_ACQUIRE);
    unsigned after = __atomic_load_n(&loam_weak_epoch_, __ATOMIC_RELAXED);
    if (__builtin_expect((before & 1) == 0 && before == after, 1)) {
        return target;
    }
    return loam_weak_slow_(weak);
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_WEAK_H
