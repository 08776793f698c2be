// SPDX-License-Identifier: MIT
// life/record.h: what somebody wants to know of an object's end.
//
// A record says that an object is the target of a weak reference, has a
// finalizer, or is guarded. It is memory of the library's own, so it keeps
// nothing alive by itself; what should live because of it is given to the marker
// as a root.

#ifndef LIFE_RECORD_H
#define LIFE_RECORD_H

#include "heap/find.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lm_record_kind {
    LM_RECORD_NONE,  // not in use
    LM_RECORD_WEAK,  // holder is a struct loam_weak
    LM_RECORD_FINAL, // fn is called with the object and the argument
    LM_RECORD_GUARD, // holder is a guardian
    LM_RECORD_MAP,   // the target is a weak map
};

enum lm_record_flags {
    LM_RECORD_LONG = 1,    // a weak reference that outlasts finalizers
    LM_RECORD_SOFT = 2,    // one that keeps the object until memory is short
    LM_RECORD_ORDERED = 4, // a finalizer that waits for those of referrers
    LM_RECORD_READY = 8,   // the object has died: the call is due
};

typedef void lm_record_fn(void *first, void *argument);

struct lm_record {
    uintptr_t target;   // start of the object; 0 once a weak one is READY
    uintptr_t holder;   // see enum lm_record_kind, or 0
    uintptr_t argument; // of fn; may be an object
    lm_record_fn *fn;   // or NULL
    uint32_t next;      // of the target's block; 0 is the end
    uint32_t queue;     // behind this one, where calls are due
    uint32_t birth;     // counts registrations, for their order
    uint8_t kind;       // enum lm_record_kind
    uint8_t flags;      // enum lm_record_flags
};

// The lock guards all records and all below, unless the program is stopped. A
// member takes it inside.
void lm_record_lock(void);
void lm_record_unlock(void);

// lm_record_add makes a record of an object, and returns its number, or 0 when
// the system gives no memory.
uint32_t lm_record_add(const struct lm_object *object,
                       const struct lm_record *record);

// lm_record_find returns the first record of a kind of an object, or of those
// behind `after`; 0 when there is none, which is known without a search.
// lm_record_find_any does so for all kinds.
uint32_t lm_record_find(const struct lm_object *object,
                        enum lm_record_kind kind, uint32_t after);
uint32_t lm_record_find_any(const struct lm_object *object);

// lm_record_may_have says whether an object may have any; without the lock, for
// who knows that nobody else is giving it one.
bool lm_record_may_have(const struct lm_object *object);

// lm_record_set_due notes that a record, which is detached, is due, or no longer.
// lm_record_find_due finds one of an object that is, or one behind `after`; 0 when
// there is none. That is known at once, or costs a look at all records.
void lm_record_set_due(uint32_t number, bool is_due);
uint32_t lm_record_find_due(const struct lm_object *object, uint32_t after);

// lm_record_watch notes that a weak map watches an object, which must not be freed
// by hand then; false without memory. Any thread, without the lock, inside.
// lm_record_unwatch_all forgets that of all objects, and lm_record_is_watched asks.
bool lm_record_watch(const struct lm_object *object);
void lm_record_unwatch_all(void);
bool lm_record_is_watched(const struct lm_object *object);

// lm_record_detach takes a record away from its object; it stays in use.
// lm_record_remove also forgets it.
void lm_record_detach(uint32_t number);
void lm_record_attach(uint32_t number); // undoes it

// lm_record_move makes a detached record one of another object, for which
// lm_record_reserve has found memory; false when there is none.
bool lm_record_reserve(const struct lm_object *object);
void lm_record_move(uint32_t number, const struct lm_object *object);
void lm_record_remove(uint32_t number);

struct lm_record *lm_record_at(uint32_t number);

// lm_record_block returns the next block from `block` on that has records, or 0.
uint32_t lm_record_block(uint32_t block);

// lm_record_filter asks for each record of a block what shall become of it.
enum lm_record_fate { LM_RECORD_KEEP, LM_RECORD_DETACH, LM_RECORD_REMOVE };
typedef enum lm_record_fate lm_record_filter_fn(uint32_t number,
                                                void *argument);
void lm_record_filter(uint32_t block, lm_record_filter_fn *fn, void *argument);

// lm_record_end returns one more than the highest number there is.
// Without the lock a hint.
uint32_t lm_record_end(void);

// lm_record_count returns how many are in use. Without the lock a hint.
extern size_t lm_record_used; // atomic, guarded by the lock
static inline size_t lm_record_count(void) {
    return __atomic_load_n(&lm_record_used, __ATOMIC_RELAXED);
}

// lm_record_touch says that a record is new, or refers to something new.
// lm_record_fresh_count returns how many were touched since
// lm_record_fresh_clear, and lm_record_fresh their numbers, some more than once
// or not in use any more. SIZE_MAX: too many to be kept.
void lm_record_touch(uint32_t number);
size_t lm_record_fresh_count(void);
uint32_t lm_record_fresh(size_t index);
void lm_record_fresh_clear(void);

// lm_record_is_first says of a block whether it is asked for the first time
// since lm_record_begin_round.
void lm_record_begin_round(void);
bool lm_record_is_first(uint32_t block);

void lm_record_fini(void);
void lm_record_fork_prepare(void);
void lm_record_fork_done(bool in_child);

#endif // LIFE_RECORD_H
