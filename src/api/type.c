// SPDX-License-Identifier: MIT
// type.c: loam/type.h.

#include <loam/type.h>

#include "api/runtime.h"
#include "api/status.h"
#include "heap/type.h"
#include "mark/marker.h"
#include "world/stop.h"

void loam_mark(struct loam_marker *marker, const void *p) {
    lm_marker_push(marker, (uintptr_t)p);
}

const struct loam_type *loam_type_define(const struct loam_type_spec *spec) {
    enum loam_status why = LOAM_OK;
    char message[LM_MESSAGE_BYTES];
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    lm_member_inside(self);
    const struct loam_type *type =
        lm_type_define(spec, &why, message, sizeof message);
    lm_member_outside(self);
    if (type == NULL) {
        lm_status_set(why, "%s", message);
    }
    return type;
}

const char *loam_type_name(const struct loam_type *type) {
    return type->name;
}
