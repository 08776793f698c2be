// SPDX-License-Identifier: MIT
// shadow.h: a naive second book of the heap.
//
// For every object that a random program makes, the shadow keeps a handle in
// malloc's memory with the object's address hidden, what it should contain and
// to which handles its pointers lead. From its own roots it works out by the
// simplest method what must be alive, and holds that against the heap.
//
// A collection may come at any time, beside the program too, so a handle may be
// used only while shadow_may_use says so: an object that nothing keeps alive
// may be gone however short a while ago it was let go. A new one is held, by a
// root of the shadow's own, until shadow_release.

#ifndef LOAM_TESTS_MODEL_SHADOW_H
#define LOAM_TESTS_MODEL_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHADOW_HANDLES 400
#define SHADOW_AREAS 12     // root areas
#define SHADOW_AREA_WORDS 6 // pointers in each
#define SHADOW_SLOTS 24     // pointers in one object
// Every how many collections are followed by one that looks for the dead.
#define SHADOW_COMPARE_EVERY 4

enum kind {
    KIND_RAW,    // scanned conservatively
    KIND_LEAF,   // never scanned; full of addresses
    KIND_PAIR,   // two described pointers, and addresses in other fields
    KIND_ARRAY,  // an array of those
    KIND_FLEX,   // a flexible array of pointers
    KIND_MARKED, // complemented pointers and a mark function
    KIND_COUNT,
};

struct edge {
    size_t target;     // a handle, or SHADOW_NONE
    uintptr_t content; // the complement of the word in the object
};

#define SHADOW_NONE SIZE_MAX

enum final {
    FINAL_NONE,
    FINAL_SET, // its finalizer has not been called
    FINAL_CALLED,
};

struct handle {
    uintptr_t hidden; // 0: this handle is free
    enum kind kind;
    size_t bytes;
    size_t slot_count;
    struct edge edges[SHADOW_SLOTS];
    size_t pin_count;
    uint64_t serial; // what its pattern is made of; later objects have more
    enum final final;
    bool may_be_due;   // its finalizer, although it is within reach again
    bool is_weak_sure; // its weak reference cannot have been cleared
    bool is_reached;
    bool
        is_owed; // to a finalizer: not reached, but from who is still to get one
    bool is_retained;
};

struct area {
    void **words; // in malloc's memory
    size_t targets[SHADOW_AREA_WORDS];
    bool is_added;
};

struct shadow {
    struct handle handles[SHADOW_HANDLES];
    struct area areas[SHADOW_AREAS];
    void **held;             // a word a handle, in malloc's memory, and a root
    struct loam_weak **weak; // weak references to the same; a root, too
    size_t pending[SHADOW_HANDLES]; // reached, with edges to follow
    size_t pending_count;
    uint64_t first_serial;     // the objects of other shadows have lower ones
    size_t called_count;       // finalizers
    uint64_t collection_count; // of the heap, when last looked
    size_t seen_count;         // of those, how many were noticed
    size_t dead_count;         // unreachable objects met, over all collections
    size_t retained_count;     // of those, how many were kept all the same
};

struct shadow *shadow_new(void);
void shadow_free(struct shadow *shadow);

// shadow_make allocates an object of a kind, writes its pattern and holds it.
// Returns its handle, or SHADOW_NONE where there is no room.
size_t shadow_make(struct shadow *shadow, enum kind kind, size_t bytes);

// shadow_release lets go of a held object.
void shadow_release(struct shadow *shadow, size_t which);

// shadow_is_held says that a handle is in use and held.
bool shadow_is_held(const struct shadow *shadow, size_t which);

// shadow_reach works out what can be reached. shadow_may_use then says whether
// a handle may be used, until the next change.
void shadow_reach(struct shadow *shadow);
bool shadow_may_use(const struct shadow *shadow, size_t which);

// shadow_link stores a pointer `offset` bytes into the target (SHADOW_NONE:
// NULL) in a slot of an object.
void shadow_link(struct shadow *shadow, size_t from, size_t slot, size_t target,
                 size_t offset);

// shadow_decoy stores the target's address where the object is not scanned.
void shadow_decoy(struct shadow *shadow, size_t from, size_t target);

// shadow_resize reallocates a held object that nothing else refers to.
void shadow_resize(struct shadow *shadow, size_t which, size_t bytes);

// shadow_drop frees a held object by hand; nothing else may refer to it.
void shadow_drop(struct shadow *shadow, size_t which);

// shadow_is_alone says that no root, pin or object refers to a handle, but for
// its being held.
bool shadow_is_alone(const struct shadow *shadow, size_t which);

// shadow_watch makes a weak reference to an object, or asks the one there is.
void shadow_watch(struct shadow *shadow, size_t which);

// shadow_finalize gives an object a finalizer, or takes it back. shadow_run_finals
// calls those that are due; they require that the object was out of reach and is
// whole, and hold on to some of them again.
void shadow_finalize(struct shadow *shadow, size_t which);
void shadow_run_finals(struct shadow *shadow);

// shadow_area_toggle adds a root area, or empties and removes it.
void shadow_area_toggle(struct shadow *shadow, size_t which);

// shadow_settle looks whether all that can be reached is intact, if the heap has
// collected since the last call; every SHADOW_COMPARE_EVERYth
// time it does shadow_compare. Aborts on any difference.
void shadow_settle(struct shadow *shadow);

// shadow_compare collects all in a stop, requires that what can be reached is
// intact and that next to nothing else is left, and forgets what is dead.
void shadow_compare(struct shadow *shadow);

#endif // LOAM_TESTS_MODEL_SHADOW_H
