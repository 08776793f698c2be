// SPDX-License-Identifier: MIT
// life/stranded.h: counted objects that nobody can reach any more, and whose count
// says otherwise.
//
// They refer to each other in a circle, or to one that refers to them, or what
// referred to them has died without letting go. A collection of all finds them
// among what it has not marked, and their dispose functions are called where
// finalizers are. A minor one keeps them until then.

#ifndef LIFE_STRANDED_H
#define LIFE_STRANDED_H

#include "mark/marker.h"

#include <stdbool.h>
#include <stdint.h>

// lm_stranded_is_possible says whether any counted type has a dispose function.
bool lm_stranded_is_possible(void);

// For settle.c, when what finalizers will get has been marked: lm_stranded_begin
// begins anew; lm_stranded_some does a part of the work, and says whether more is
// left. It marks what is to be disposed of, and gives due the record of the call.
// What dies by such a call in its turn has none of its own. lm_stranded_end gives
// the memory back.
typedef void lm_stranded_fn(uint32_t record);
void lm_stranded_begin(void);
bool lm_stranded_some(struct loam_marker *m, lm_stranded_fn *due);
void lm_stranded_end(void);

// lm_stranded_keep_young marks what a minor collection has found stranded; false
// when there can be nothing.
bool lm_stranded_keep_young(struct loam_marker *m);

#endif // LIFE_STRANDED_H
