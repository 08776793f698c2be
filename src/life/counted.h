// SPDX-License-Identifier: MIT
// life/counted.h: counting references, and objects that die at zero.

#ifndef LIFE_COUNTED_H
#define LIFE_COUNTED_H

#include "heap/type.h"
#include "world/member.h"

#include <loam/counted.h>

#include <stdbool.h>
#include <stddef.h>

// lm_counted_init finds out whether counts can be biased towards the thread that
// made the object.
void lm_counted_init(void);

// lm_counted_join lets the calling thread own the objects that it makes, if it
// does not already and can.
void lm_counted_join(const struct lm_member *self);

// lm_counted_retain is what loam_retain does where a step did not do.
void lm_counted_retain(struct loam_count_ *count);

// lm_counted_release is the same for loam_release; `call` is its name in messages.
void lm_counted_release(struct lm_member *self, struct loam_count_ *count,
                        const char *call);

// lm_counted_error says what is wrong with a call that counts at p, and aborts.
__attribute__((noreturn)) void lm_counted_error(const void *p,
                                                const char *call);

// lm_counted_value returns the count.
size_t lm_counted_value(const struct loam_count_ *count);

// For stranded.c, while nobody can reach the objects: lm_counted_is_stranded says
// whether a dead object counts references, and has not been disposed of;
// lm_counted_each_owned calls fn with each field that holds something it owns;
// lm_counted_disown_stranded takes it from its owner, which another thread's release
// would have to do, for a thousand times as much; lm_counted_hold_stranded does so
// and adds one reference, and no ordinary release will dispose of it any more;
// lm_counted_end_stranded, a finalizer, disposes of it and lets it go.
bool lm_counted_is_stranded(const struct loam_count_ *count);
void lm_counted_each_owned(struct loam_count_ *count, void (*fn)(void **field));
void lm_counted_disown_stranded(struct loam_count_ *count);
void lm_counted_hold_stranded(struct loam_count_ *count);
void lm_counted_end_stranded(void *object, void *unused);

void lm_counted_fork_prepare(void);
void lm_counted_fork_done(bool in_child);

#endif // LIFE_COUNTED_H
