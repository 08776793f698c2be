// SPDX-License-Identifier: MIT
// life/settle.h: what becomes of weak references, finalizers and guarded objects
// when a collection has found out what is reachable.
//
// A collection of all settles them while the program runs again:
//
//   in the last stop          beside the program
//   lm_settle_begin  ------>  keys -> death -> order -> raise -> stranded  --.
//                     end  <------------------------ keep <- rest <- maps  <--'
//                             lm_settle_some, again and again
//
//   keys   what is reachable through weak maps and guardians is marked
//   death  short weak references to what is not marked are cleared; finalizers
//          and guardians of it come due
//   order  finalizers that wait for others are sorted out
//   raise  what a finalizer or a guardian will get is marked, and all it leads to
//   stranded  counted objects that nobody reaches are picked to be disposed of, and
//          marked
//   maps   entries of weak maps that have died are dropped
//   rest   long weak references to what is still not marked are cleared; records
//          of weak references that are gone themselves are dropped
//   keep   with LOAM_KEEP=unreachable, what has died is listed and marked after all
//
// Until the end nothing is swept, and nobody can get at what is not marked: the
// program has no pointers to it, and loam_weak_get, which could make one, looks at
// the mark (or waits) while loam_weak_epoch_ is odd. So nothing of it changes, and
// it can be marked without another stop.
//
// A minor collection settles what is new while the program is stopped.

#ifndef LIFE_SETTLE_H
#define LIFE_SETTLE_H

#include "heap/find.h"
#include "mark/marker.h"
#include "world/member.h"

#include <loam/weak.h>

#include <stdbool.h>
#include <stddef.h>

// lm_settle_ahead gives a marker, beside the program, what lives because of
// records; not the first time in a marking, only what has turned out to be since.
// lm_settle_roots gives it what was added since or, in a collection that
// began with the program stopped, all of it.
void lm_settle_ahead(struct loam_marker *m, bool is_first);
void lm_settle_roots(struct loam_marker *m, bool is_all);

// lm_settle_minor settles what is new after a minor marking. Where
// lm_settle_allows_minor does not, there is too much of it for a stop, and a
// collection of all is due. Any thread may ask.
bool lm_settle_allows_minor(void);
void lm_settle_minor(struct loam_marker *m);

// lm_settle_begin begins to settle, in the stop that ends a collection of all. Where
// that stop is for the marking, too, what small maps keep is marked in it. (Else that
// may lead to much that would make a short stop a long one.)
//
// lm_settle_some does a part of it, in an order of 100 us, and says whether more
// is left; then lm_settle_end lets things go on. Between parts the process may
// fork.
void lm_settle_begin(bool is_marked_stopped);
static inline bool lm_settle_is_under_way(void) {
    return __atomic_load_n(&loam_weak_epoch_, __ATOMIC_ACQUIRE) & 1;
}

// lm_settle_is_open says whether what is not marked may yet turn out to be alive.
bool lm_settle_is_open(void);
bool lm_settle_some(void);
void lm_settle_end(void);

// lm_settle_needs_stop says that objects with mark functions are to be marked,
// while the program is stopped: by lm_settle_stopped.
bool lm_settle_needs_stop(void);
void lm_settle_stopped(void);

// lm_settle_wait waits until all is settled, in a state in which the program can
// be stopped, and returns inside: until the caller leaves no settling begins.
void lm_settle_wait(struct lm_member *self);

// lm_settle_press says that memory is short: in the next collection soft references
// do not keep their objects. False when there are none. By a member.
bool lm_settle_press(struct lm_member *self);

// lm_settle_fork_child begins anew what was under way; lm_settle_some must be
// called until all is done.
void lm_settle_fork_child(void);

#endif // LIFE_SETTLE_H
