// SPDX-License-Identifier: MIT
// counted.c: loam/counted.h.

#include <loam/counted.h>

#include "api/runtime.h"
#include "api/status.h"
#include "base/check.h"
#include "heap/find.h"
#include "heap/kind.h"
#include "life/counted.h"

static struct loam_count_ *count_of(void *p) {
    return (struct loam_count_ *)p - 1;
}

// ---- Making --------------------------------------------------------------------

// The type of a site, resolved at its first use.
static const struct loam_type *site_type(struct lm_member *self,
                                         struct loam_counted_site_ *site) {
    const struct loam_type *type =
        __atomic_load_n(&site->site.type, __ATOMIC_ACQUIRE);
    enum loam_status why = LOAM_OK;
    char message[LM_MESSAGE_BYTES];
    if (type || self->inside) {
        return type; // the lock may be ours already
    }
    lm_member_inside(self);
    type = lm_type_resolve_counted(site, &why, message, sizeof message);
    lm_member_outside(self);
    if (why == LOAM_BAD_ARGUMENT) {
        lm_caller_error("LOAM_TYPE names the fields of a counted struct that "
                        "hold pointers, and LOAM_COUNTED_OWNS some of them",
                        "correct these lines in that source file", "%s",
                        message);
    }
    if (type == NULL) {
        lm_status_set(why, "%s", message);
        return NULL;
    }
    __atomic_store_n(&site->handed_count, &type->death.handed_count,
                     __ATOMIC_RELAXED);
    __atomic_store_n(&site->site.type, type, __ATOMIC_RELEASE);
    return type;
}

// From now on the site takes cells by itself.
static void site_settle(struct lm_member *self, struct loam_counted_site_ *site,
                        const struct loam_type *type) {
    lm_member_inside(self);
    uint32_t kind = lm_kind_of(type, false, type->size_bytes);
    lm_member_outside(self);
    if (kind && lm_kinds[kind].cell_bytes) {
        __atomic_store_n(&site->site.kind, kind, __ATOMIC_RELEASE);
    }
}

void *loam_counted_slow_(struct loam_counted_site_ *site, size_t bytes) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    const struct loam_type *type = site_type(self, site);
    if (type == NULL && self->inside) {
        lm_status_set(LOAM_IN_HANDLER,
                      "in a signal handler that interrupted the allocator: "
                      "asked for a counted object of %zu bytes",
                      bytes);
    }
    if (type == NULL) {
        return NULL;
    }
    lm_counted_join(self);
    if (site->site.kind == 0 && !self->inside) {
        site_settle(self, site, type);
    }
    // A size that overflowed stays larger than any heap.
    size_t whole = bytes + sizeof(struct loam_count_);
    void *cell = loam_new_of(type, whole < bytes ? bytes : whole);
    return cell ? loam_count_begin_(cell, site->handed_count) : NULL;
}

// ---- Counting ------------------------------------------------------------------

void *loam_retain_slow_(void *p) {
    lm_counted_retain(count_of(p));
    return p;
}

void loam_release_slow_(void *p) {
    struct lm_member *self = lm_runtime_self();
    if (self) {
        lm_counted_release(self, count_of(p), "loam_release");
    }
}

size_t loam_count_of(const void *p) {
    return p ? lm_counted_value((const struct loam_count_ *)p - 1) : 0;
}
