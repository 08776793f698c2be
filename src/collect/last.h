// SPDX-License-Identifier: MIT
// collect/last.h: what is tried before an allocation fails.

#ifndef COLLECT_LAST_H
#define COLLECT_LAST_H

#include "world/member.h"

#include <stdbool.h>
#include <stddef.h>

// lm_last_listen adds a function that clears what is softly held, or empties a
// pool, and says whether it let go of anything. It is called on the thread that
// allocates, which is no longer inside, and there is a collection after it. At
// most LM_LAST_LISTENERS; call it while the heap is set up.
#define LM_LAST_LISTENERS 8
typedef bool lm_last_listener(void);
void lm_last_listen(lm_last_listener *listener);

// lm_last_set_handler sets the program's handler, or NULL: it gets the size that
// was asked for, and returns whether to try again.
typedef int lm_last_handler(size_t bytes, void *argument);
void lm_last_set_handler(lm_last_handler *handler, void *argument);

// What could not be had. attempt tries once more, inside; true when it succeeds.
struct lm_last {
    size_t bytes;
    bool (*attempt)(void *argument);
    void *argument;
};

// lm_last_resort tries all there is, in turn with other threads; a full
// collection has come before. The caller is inside. True when an attempt
// succeeded.
bool lm_last_resort(struct lm_member *self, const struct lm_last *wish);

// lm_last_notice ends the turn of a thread whose handler has left by longjmp;
// called when a thread allocates.
void lm_last_notice_left(const struct lm_member *self);
bool lm_last_is_turn_of(const struct lm_member *self);

static inline void lm_last_notice(const struct lm_member *self) {
    if (__builtin_expect(lm_last_is_turn_of(self), 0)) {
        lm_last_notice_left(self);
    }
}

void lm_last_fork_child(void);

#endif // COLLECT_LAST_H
