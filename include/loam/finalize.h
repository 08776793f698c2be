// SPDX-License-Identifier: MIT
// loam/finalize.h: what should happen when an object has died.
//
// A finalizer is called after a collection has found that nothing but weak
// references leads to its object; never by the collector itself and never in the
// middle of an allocation, but on a thread of the library's own, or where the
// program asks for it (loam_finalizers_run). It may do anything: allocate,
// collect, lock, fork, or make the object reachable again. The library's thread
// has all signals blocked, and as much stack as any other thread.
//
// Do not count on finalizers for what must happen soon: an object dies when a
// collection finds it dead.

#ifndef LOAM_FINALIZE_H
#define LOAM_FINALIZE_H

#include <stddef.h>
#include <stdint.h>

#include <loam/collect.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_finalizer_fn is called once with an object that has died, which is whole,
// with all it refers to, and with the argument it was registered with.
typedef void loam_finalizer_fn(void *object, void *argument);

// loam_finalize makes fn the finalizer of the object that p points at or into; fn
// gets the start of the object. It replaces one that was there; NULL takes it
// away. The argument is kept alive meanwhile: if it leads to the object, the object
// never dies. All objects of a cycle that has died get their finalizers, in no
// order; an object that was finalized is not finalized again unless this is
// called again, which the finalizer itself may do. loam_free drops the finalizer
// and does not call it. Returns 0, or -1 with loam_last_error when p is no object
// or there is no memory.
//
//   threads  any       collects  never       cost  about 100 ns
int loam_finalize(void *p, loam_finalizer_fn *fn, void *argument);

// loam_finalize_ordered is loam_finalize of a finalizer that waits until no other
// object with such a finalizer leads to this one: those that refer come first.
// Objects that refer to each other in a circle get theirs together, once nothing
// outside such circles is left to wait for.
//
//   threads  any       collects  never       cost  about 100 ns
int loam_finalize_ordered(void *p, loam_finalizer_fn *fn, void *argument);

// loam_finalizers_on_demand stops the library's thread from calling finalizers:
// from now on the program calls loam_finalizers_run. The notifier, or NULL, is
// called with the argument when some have become due: after a collection, on the
// thread that collected, and must not touch the heap; writing to a pipe or an
// eventfd is what it is for.
//
//   threads  any       collects  never       cost  a store
void loam_finalizers_on_demand(void (*notify)(void *argument), void *argument);

// loam_finalizers_run calls at most `most` of the finalizers that are due, the
// oldest first, on the calling thread, and returns how many it has called. A
// finalizer may leave by longjmp. Whoever calls it while it holds a lock that a
// finalizer takes will wait for itself.
//
//   threads  any       collects  as they do  cost  what they cost
size_t loam_finalizers_run(size_t most);

// loam_finalizers_due returns how many are due now.
//
//   threads  any       collects  never       cost  a load
size_t loam_finalizers_due(void);

// loam_finalizers_wait waits until every finalizer that is due now has been called
// by the library's thread and has returned. Returns 0, or -1 when timeout_ns
// have passed before (0: however long), or from within a finalizer.
//
//   threads  any       collects  never       cost  a wait
int loam_finalizers_wait(uint64_t timeout_ns);

// loam_finalizers_at_exit says whether, when the program leaves main or calls
// exit, the finalizers of all objects are called, newest registration first,
// reachable or not (LOAM_FINALIZE_AT_EXIT). LOAM_AUTO is LOAM_OFF.
//
//   threads  any       collects  never       cost  a store
void loam_finalizers_at_exit(enum loam_choice choice);

// ---- Guardians -----------------------------------------------------------------

struct loam_guardian; // a queue of objects that have died

// loam_guardian_new returns a guardian, which is an object itself: when nobody
// refers to it, what it guards is no longer guarded. NULL as for loam_alloc.
//
//   threads  any       collects  may         cost  as loam_alloc
struct loam_guardian *loam_guardian_new(void);

// loam_guard puts the object that p points at or into under the guardian's
// protection: when it has died, loam_guardian_next returns it, once. An object
// may be guarded several times, by one or by several. Returns 0, or -1 with
// loam_last_error when p is no object or there is no memory.
//
//   threads  any       collects  never       cost  about 100 ns
int loam_guard(struct loam_guardian *guardian, void *p);

// loam_guardian_next returns an object that has died, whole, oldest death first,
// and gives it up: it is an ordinary object again. NULL when there is none.
//
//   threads  any       collects  never       cost  a lock
void *loam_guardian_next(struct loam_guardian *guardian);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_FINALIZE_H
