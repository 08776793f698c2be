// SPDX-License-Identifier: MIT
// resource.c: loam/resource.h.

#include <loam/resource.h>

#include <loam/finalize.h>
#include <loam/heap.h>
#include <loam/type.h>

#include "base/format.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

struct loam_resource {
    void *held; // NULL once it is closed; atomic
    loam_close_fn *close;
    const char *what;
    const char *place; // where it was opened
};

// What a program holds may be an object, so it is looked at.
static const struct loam_type *resource_type(void) {
    static const struct loam_field fields[] = {
        {offsetof(struct loam_resource, held), sizeof(void *),
         LOAM_FIELD_POINTERS, NULL, NULL}};
    static const struct loam_type_spec spec = {.name = "struct loam_resource",
                                               .size_bytes =
                                                   sizeof(struct loam_resource),
                                               .scan = LOAM_SCAN_FIELDS,
                                               .fields = fields,
                                               .field_count = 1};
    return loam_type_define(&spec);
}

int loam_resource_close(struct loam_resource *resource) {
    // Of two threads one gets it.
    void *held =
        resource ? __atomic_exchange_n(&resource->held, NULL, __ATOMIC_ACQ_REL)
                 : NULL;
    return held ? resource->close(held) : 0;
}

static void resource_end(void *object, void *unused) {
    struct loam_resource *resource = object;
    (void)unused;
    if (loam_resource_get(resource)) {
        lm_print(2,
                 "loam: left open: a %s that was opened at %s\n"
                 "  the rule: who opens something closes it\n"
                 "  what to do: call loam_resource_close; it was closed now\n",
                 resource->what, resource->place);
        loam_resource_close(resource);
    }
}

struct loam_resource *loam_resource_own_(void *held, loam_close_fn *close,
                                         const char *what, const char *place) {
    if (held == NULL) {
        return NULL;
    }
    struct loam_resource *resource = loam_new_of(resource_type(), 0);
    if (resource == NULL || loam_finalize(resource, resource_end, NULL) != 0) {
        close(held);
        return NULL;
    }
    resource->close = close;
    resource->what = what;
    resource->place = place;
    __atomic_store_n(&resource->held, held, __ATOMIC_RELEASE);
    return resource;
}

void *loam_resource_get(const struct loam_resource *resource) {
    return __atomic_load_n(&resource->held, __ATOMIC_ACQUIRE);
}

// ---- Files and descriptors -------------------------------------------------------

static int file_close(void *file) {
    return fclose(file);
}

struct loam_resource *loam_file_own_(void *file, const char *place) {
    return loam_resource_own_(file, file_close, "file", place);
}

// A descriptor is kept as its number and one more, since NULL holds nothing.
static int fd_of(const void *held) {
    return (int)(intptr_t)held - 1;
}

static int fd_close(void *held) {
    return close(fd_of(held));
}

struct loam_resource *loam_fd_own_(int fd, const char *place) {
    void *held = (void *)((intptr_t)fd + 1); // NOLINT: a number
    return fd < 0 ? NULL
                  : loam_resource_own_(held, fd_close, "descriptor", place);
}

int loam_fd_get(const struct loam_resource *resource) {
    return fd_of(loam_resource_get(resource));
}
