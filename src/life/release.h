// SPDX-License-Identifier: MIT
// life/release.h: objects that are freed, or moved, by hand.

#ifndef LIFE_RELEASE_H
#define LIFE_RELEASE_H

#include "heap/find.h"
#include "life/record.h"

#include <loam/weak.h>

#include <stdbool.h>

// lm_release_object is for an object that is to be freed: weak references to it are
// cleared, and it has no finalizer any more. False when a weak map may know its
// address, or it is one: then the next collection has to free it. By a member,
// inside, as all here.
bool lm_release_object(const struct lm_object *object);

// lm_release_weak clears a weak reference; nobody is told.
void lm_release_weak(struct loam_weak *weak);

// lm_release_moved is for an object that another one takes the place of; false
// without memory.
bool lm_release_moved(const struct lm_object *from, const struct lm_object *to);

// lm_release_target clears the weak reference of a record, with the records' lock or
// in a stop.
void lm_release_target(const struct lm_record *record);

// By these types weak references and guardians are known when they are freed.
void lm_release_know_weak(const struct loam_type *type);
void lm_release_know_guardian(const struct loam_type *type);

#endif // LIFE_RELEASE_H
