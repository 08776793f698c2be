// SPDX-License-Identifier: MIT
// watch.c: telling the program of collections.

#include "see/watch.h"

#include "life/due.h"
#include "os/lock.h"

#include <stddef.h>

static struct {
    struct lm_lock lock; // guards the two
    void (*fn)(const struct loam_collection *, void *);
    void *argument;
} watch;

void lm_watch_set(struct lm_member *self,
                  void (*fn)(const struct loam_collection *, void *),
                  void *argument) {
    lm_member_inside(self);
    lm_lock_acquire(&watch.lock);
    watch.fn = fn;
    watch.argument = argument;
    lm_lock_release(&watch.lock);
    lm_member_outside(self);
}

static void tell(const struct loam_collection *collection) {
    lm_lock_acquire(&watch.lock);
    void (*fn)(const struct loam_collection *, void *) = watch.fn;
    void *argument = watch.argument;
    lm_lock_release(&watch.lock);
    if (fn) {
        fn(collection, argument);
    }
}

void lm_watch_begin(uint64_t number) {
    tell(&(struct loam_collection){.number = number});
}

void lm_watch_end(const struct lm_cycle_event *event) {
    tell(&(struct loam_collection){.number = event->number,
                                   .is_over = 1,
                                   .kind = lm_cycle_kind_name(event->kind),
                                   .live_bytes = event->live_bytes,
                                   .live_count = event->live_count,
                                   .pause_ns = event->pause_ns,
                                   .due_count = lm_due_count()});
}

void lm_watch_fork_child(void) {
    lm_lock_reset(&watch.lock);
}
