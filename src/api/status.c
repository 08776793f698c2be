// SPDX-License-Identifier: MIT
// status.c: the last failure of each thread.

#include "api/status.h"

#include "base/format.h"
#include "world/member.h"

#include <stdarg.h>

// For threads that could not become members. They share it: the text of one
// may be another's, the status is seldom wrong.
static struct {
    enum loam_status status; // atomic
    char message[LM_MESSAGE_BYTES];
} status_orphan;

void lm_status_set(enum loam_status status, const char *format, ...) {
    struct lm_member *self = lm_self;
    va_list list;
    va_start(list, format);
    if (self) {
        self->status = status;
        lm_format_list(self->message, sizeof self->message, format, list);
    } else {
        lm_format_list(status_orphan.message, sizeof status_orphan.message,
                       format, list);
        __atomic_store_n(&status_orphan.status, status, __ATOMIC_RELEASE);
    }
    va_end(list);
}

enum loam_status loam_last_status(void) {
    return lm_self ? lm_self->status
                   : __atomic_load_n(&status_orphan.status, __ATOMIC_ACQUIRE);
}

const char *loam_last_error(void) {
    return lm_self ? lm_self->message : status_orphan.message;
}

const char *loam_status_name(enum loam_status status) {
    static const char *const names[] = {
        "ok",           "heap full",         "no memory",      "too large",
        "bad argument", "in signal handler", "too many types", "unsupported",
        "busy"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status]
                                                           : "unknown";
}
