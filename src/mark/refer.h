// SPDX-License-Identifier: MIT
// mark/refer.h: what refers to the objects of blocks that are being emptied.
//
// A field that is described as a pointer can be changed, so it is recorded. Any
// other word may be a pointer or not, so the block that it may point into is
// kept as it is.

#ifndef MARK_REFER_H
#define MARK_REFER_H

#include "mark/marker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_refer_begin takes memory for records, after lm_evacuate_begin; false when
// refused. lm_refer_end gives it back.
bool lm_refer_begin(void);
void lm_refer_end(void);

// lm_refer_scan looks at all words of objects that lie in [start, end). The
// program may run: what it writes meanwhile must be looked at again. Objects
// with a mark function are passed over.
void lm_refer_scan(uintptr_t start, uintptr_t end);

// lm_refer_roots_begin makes *m a marker that marks nothing: blocks that a word
// given to it points into, or nearly, are kept. lm_refer_roots_end ends that.
void lm_refer_roots_begin(struct loam_marker *m);
void lm_refer_roots_end(struct loam_marker *m);

// lm_refer_visit_marked calls all mark functions; what they name is kept. The
// program is stopped.
void lm_refer_visit_marked(void);

// lm_refer_update makes the fields that were recorded for a source refer to
// where its objects have been moved in this stop, and records the fields of those
// objects where they are now.
void lm_refer_update(uint32_t number);

// lm_refer_check turns all of the above into a check that nothing refers to an
// object that was moved in this stop; false ends it.
void lm_refer_check(bool on);

#endif // MARK_REFER_H
