// SPDX-License-Identifier: MIT
// heap.c: loam/heap.h.

#include <loam/heap.h>

#include "alloc/cache.h"
#include "alloc/large.h"
#include "api/life.h"
#include "api/oom.h"
#include "api/runtime.h"
#include "api/status.h"
#include "base/check.h"
#include "collect/cycle.h"
#include "collect/grant.h"
#include "heap/find.h"
#include "heap/freed.h"
#include "heap/run.h"
#include "life/record.h"
#include "life/release.h"
#include "os/track.h"
#include "world/stop.h"

#include <stdio.h>
#include <string.h>

// Inside this file the names mean the functions, not the inline paths.
#undef loam_alloc
#undef loam_alloc_leaf

int loam_init(void) {
    return lm_runtime_join() ? 0 : -1;
}

void loam_shutdown(void) {
    lm_runtime_shutdown();
}

// ---- Failing -------------------------------------------------------------------

static void *fail_too_large(size_t bytes) {
    lm_status_set(LOAM_TOO_LARGE,
                  "too large: asked for %zu bytes, or for a number of elements "
                  "whose size overflows; at most %B can be one object",
                  bytes, lm_space.reserved_bytes);
    return NULL;
}

static void *fail_kinds(void) {
    lm_status_set(LOAM_TOO_MANY_TYPES,
                  "too many types: %u pairs of type and size are in use, which "
                  "is all the runtime can tell apart; describe fewer types or "
                  "use loam_alloc",
                  LM_KIND_MAX);
    return NULL;
}

static void *fail_handler(size_t bytes) {
    lm_status_set(LOAM_IN_HANDLER,
                  "in a signal handler that interrupted the allocator: asked "
                  "for %zu bytes; install handlers with sigaction or signal, "
                  "which lets the allocator finish first, and do not allocate "
                  "in handlers of faults",
                  bytes);
    return NULL;
}

// ---- Making --------------------------------------------------------------------

static void *make(struct lm_member *self, uint32_t kind, size_t bytes,
                  size_t align) {
    void *object = NULL;
    bool is_small = lm_kinds[kind].cell_bytes != 0;
    if (lm_unlikely(self->blocking_depth)) {
        lm_caller_error("a thread does not touch the heap between "
                        "loam_blocking_begin and loam_blocking_end",
                        "end the region first",
                        "an allocation of %zu bytes in a blocking region",
                        bytes);
    }
    if (lm_unlikely(self->inside)) {
        return fail_handler(bytes);
    }
    enum lm_refill r = is_small
                           ? lm_grant_cell(self, kind, &object)
                           : lm_grant_large(self, kind, bytes, align, &object);
    return lm_likely(r == LM_REFILL_OK) ? object : lm_oom_fail(r, bytes);
}

void *loam_slot_slow_(uint32_t kind, size_t bytes) {
    struct lm_member *self = lm_runtime_self();
    return self ? make(self, kind, bytes, 1) : NULL;
}

// A large object of a type of untyped memory.
static void *make_large(uint32_t kind, size_t bytes, size_t align) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    if (bytes > lm_space.reserved_bytes) {
        return fail_too_large(bytes);
    }
    return make(self, kind, bytes, align);
}

static inline void *make_untyped(size_t bytes, bool is_leaf) {
    bytes += bytes == 0;
    if (lm_likely(bytes <= LOAM_SMALL_MAX)) {
        uint32_t c = loam_size_class_(bytes);
        uint32_t kind = is_leaf ? LOAM_KIND_LEAF_(c) : LOAM_KIND_RAW_(c);
        return loam_slot_take_(kind, loam_cell_bytes_(c), bytes);
    }
    return make_large(is_leaf ? LM_KIND_LEAF_LARGE : LM_KIND_RAW_LARGE, bytes,
                      1);
}

void *loam_alloc(size_t bytes) {
    return make_untyped(bytes, false);
}

void *loam_alloc_leaf(size_t bytes) {
    return make_untyped(bytes, true);
}

void *loam_alloc_leaf_zeroed(size_t bytes) {
    void *p = make_untyped(bytes, true);
    return p ? memset(p, 0, bytes) : NULL;
}

// The smallest class of at least `bytes` whose cells all lie at multiples of
// align; there is one, since the largest cell is a block.
static uint32_t aligned_class(size_t align, size_t bytes) {
    uint32_t c = loam_size_class_(bytes > align ? bytes : align);
    while (loam_cell_bytes_(c) % align != 0) {
        c++;
    }
    return c;
}

static void *make_aligned(size_t align, size_t bytes, bool is_leaf) {
    if (align == 0 || (align & (align - 1)) != 0 ||
        align > LM_ALIGN_MAX_BYTES) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: alignment %zu; it must be a power of two "
                      "of at most %zu",
                      align, LM_ALIGN_MAX_BYTES);
        return NULL;
    }
    bytes += bytes == 0;
    if (bytes <= LOAM_SMALL_MAX && align <= LM_BLOCK_BYTES) {
        uint32_t c = aligned_class(align, bytes);
        uint32_t kind = is_leaf ? LOAM_KIND_LEAF_(c) : LOAM_KIND_RAW_(c);
        return loam_slot_take_(kind, loam_cell_bytes_(c), bytes);
    }
    // A small object aligned to more than a block still gets a run.
    return make_large(is_leaf ? LM_KIND_LEAF_LARGE : LM_KIND_RAW_LARGE,
                      bytes > LOAM_SMALL_MAX ? bytes : LOAM_SMALL_MAX + 1,
                      align);
}

void *loam_alloc_aligned(size_t align, size_t bytes) {
    return make_aligned(align, bytes, false);
}

void *loam_alloc_leaf_aligned(size_t align, size_t bytes) {
    return make_aligned(align, bytes, true);
}

// ---- Typed -----------------------------------------------------------------------

static void *make_typed(struct lm_member *self, const struct loam_type *type,
                        bool is_array, size_t bytes) {
    bytes += bytes == 0;
    if (bytes > lm_space.reserved_bytes) {
        return fail_too_large(bytes);
    }
    lm_member_inside(self);
    uint32_t kind = lm_kind_of(type, is_array, bytes);
    lm_member_outside(self);
    if (kind == 0) {
        return fail_kinds();
    }
    const struct lm_kind *k = &lm_kinds[kind];
    return k->cell_bytes ? loam_slot_take_(kind, k->cell_bytes, bytes)
                         : make(self, kind, bytes, 1);
}

// The type of a site, resolved at its first use.
static const struct loam_type *site_type(struct lm_member *self,
                                         struct loam_site_ *site) {
    const struct loam_type *type =
        __atomic_load_n(&site->type, __ATOMIC_ACQUIRE);
    enum loam_status why = LOAM_OK;
    char message[LM_MESSAGE_BYTES];
    if (type) {
        return type;
    }
    if (self->inside) {
        fail_handler(site->size_bytes); // the lock may be ours already
        return NULL;
    }
    lm_member_inside(self);
    type = lm_type_resolve(site, &why, message, sizeof message);
    lm_member_outside(self);
    if (why == LOAM_BAD_ARGUMENT) {
        lm_caller_error("LOAM_TYPE names fields of the struct that hold "
                        "pointers, aligned and inside it",
                        "correct the LOAM_TYPE in that source file", "%s",
                        message);
    }
    if (type == NULL) {
        lm_status_set(why, "%s", message);
        return NULL;
    }
    __atomic_store_n(&site->type, type, __ATOMIC_RELEASE);
    return type;
}

const struct loam_type *loam_site_type_(struct loam_site_ *site) {
    struct lm_member *self = lm_runtime_self();
    return self ? site_type(self, site) : NULL;
}

void *loam_site_slow_(struct loam_site_ *site) {
    struct lm_member *self = lm_runtime_self();
    const struct loam_type *type = self ? site_type(self, site) : NULL;
    if (type == NULL) {
        return NULL;
    }
    lm_member_inside(self);
    uint32_t kind = lm_kind_of(type, false, site->size_bytes);
    lm_member_outside(self);
    if (kind && lm_kinds[kind].cell_bytes) {
        __atomic_store_n(&site->kind, kind, __ATOMIC_RELAXED);
        return make(self, kind, site->size_bytes, 1);
    }
    return make_typed(self, type, false, site->size_bytes);
}

void *loam_site_sized_(struct loam_site_ *site, size_t bytes) {
    struct lm_member *self = lm_runtime_self();
    const struct loam_type *type = self ? site_type(self, site) : NULL;
    if (type == NULL) {
        return NULL;
    }
    return make_typed(self, type, false,
                      bytes > site->size_bytes ? bytes : site->size_bytes);
}

static void *make_array(struct lm_member *self, const struct loam_type *type,
                        size_t element_bytes, size_t count) {
    size_t bytes;
    if (__builtin_mul_overflow(element_bytes, count, &bytes)) {
        return fail_too_large(SIZE_MAX);
    }
    return make_typed(self, type, true, bytes);
}

void *loam_site_array_(struct loam_site_ *site, size_t count) {
    struct lm_member *self = lm_runtime_self();
    const struct loam_type *type = self ? site_type(self, site) : NULL;
    return type ? make_array(self, type, site->size_bytes, count) : NULL;
}

void *loam_new_of(const struct loam_type *type, size_t bytes) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    return make_typed(self, type, false,
                      bytes > type->size_bytes ? bytes : type->size_bytes);
}

void *loam_new_array_of(const struct loam_type *type, size_t count) {
    struct lm_member *self = lm_runtime_self();
    return self ? make_array(self, type, type->size_bytes, count) : NULL;
}

// ---- Finding -------------------------------------------------------------------

static bool find(const void *p, struct lm_object *object) {
    if (!lm_space_has((uintptr_t)p)) {
        return false;
    }
    struct lm_member *self = lm_runtime_self();
    return self && lm_life_find(self, p, object);
}

// What the program knows of an object begins behind its count, if it has one.
static size_t lead_bytes(const struct lm_object *object) {
    return lm_kinds[object->kind].type->lead_bytes;
}

void *loam_base_of(const void *p) {
    struct lm_object o;
    return find(p, &o) ? (void *)(o.start + lead_bytes(&o)) : NULL; // NOLINT
}

size_t loam_size_of(const void *p) {
    struct lm_object o;
    return find(p, &o) && o.start + lead_bytes(&o) == (uintptr_t)p
               ? lm_find_size(&o) - lead_bytes(&o)
               : 0;
}

const struct loam_type *loam_type_of(const void *p) {
    struct lm_object object;
    if (!find(p, &object)) {
        return NULL;
    }
    const struct loam_type *type = lm_kinds[object.kind].type;
    return type == &lm_type_raw || type == &lm_type_leaf ? NULL : type;
}

// ---- Freeing and resizing -----------------------------------------------------

__attribute__((noreturn)) static void free_error(const void *p,
                                                 const char *call) {
    static const char rule[] =
        "only a pointer that an allocation returned, once, can be freed";
    struct lm_object o;
    if (!lm_space_has((uintptr_t)p)) {
        lm_caller_error(rule,
                        "give memory that is not Loam's to whoever made "
                        "it; let go of objects without a call",
                        "%s(%p), a foreign pointer: it does not point into the "
                        "heap",
                        call, p);
    }
    if (!lm_find_cell((uintptr_t)p, &o) || !lm_find_bit(&o, lm_space.live)) {
        lm_caller_error(rule, "look for the call that freed it before",
                        "%s(%p), a pointer to memory that is free: it was "
                        "freed already, or collected",
                        call, p);
    }
    if (lead_bytes(&o)) {
        lm_caller_error("a counted object is neither freed nor resized by hand",
                        "release it: its memory goes back when its count falls "
                        "to zero",
                        "%s(%p), a counted object of type %s", call, p,
                        lm_kinds[o.kind].type->name);
    }
    if (o.start != (uintptr_t)p) {
        lm_caller_error(rule,
                        "pass the start of the object, which "
                        "loam_base_of finds",
                        "%s(%p), an interior pointer: %zu bytes into the "
                        "object at %p",
                        call, p, (uintptr_t)p - o.start,
                        (const void *)o.start); // NOLINT
    }
    lm_caller_error(rule, "look for the call that freed it before",
                    "%s(%p), a pointer to memory that is free: it was freed "
                    "already",
                    call, p);
}

static bool free_large(struct lm_cache *cache, const struct lm_object *o) {
    size_t bytes = lm_large_free(o->kind, o->block);
    cache->freed_bytes += bytes;
    return bytes != 0;
}

void loam_free(void *p) {
    struct lm_object o;
    if (p == NULL) {
        return;
    }
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return; // then nothing was ever allocated
    }
    bool is_nested = self->inside != 0;
    lm_member_inside(self);
    if (!lm_life_find(self, p, &o) || o.start != (uintptr_t)p) {
        free_error(p, "loam_free");
    }
    // A handler of a fault in the allocator must not touch its lists; the
    // collector will find the object, and one whose address a weak map knows.
    if (!is_nested && lm_release_object(&o)) {
        if (lm_unlikely(lm_settings.check >= 3)) {
            lm_freed_note(o.start, lm_find_size(&o));
        }
        bool is_cell = lm_kinds[o.kind].cell_bytes != 0;
        if (is_cell ? !lm_cache_free(self->cache, &o)
                    : !free_large(self->cache, &o)) {
            free_error(p, "loam_free");
        }
    }
    lm_member_outside(self);
}

// Whether p can become an object of `bytes` where it is; makes it so.
static bool resize_in_place(struct lm_member *self, const struct lm_object *o,
                            size_t bytes) {
    const struct lm_kind *k = &lm_kinds[o->kind];
    if (k->cell_bytes == 0) {
        if (bytes <= LOAM_SMALL_MAX || self->inside) {
            return false;
        }
        lm_member_inside(self);
        bool ok = lm_large_resize(o->kind, o->block, bytes);
        lm_member_outside(self);
        return ok;
    }
    // A cell may be up to twice too large before it is worth moving.
    if (bytes > k->cell_bytes || bytes < k->cell_bytes / 2) {
        return false;
    }
    if (k->is_zeroed) {
        memset((char *)o->start + bytes, 0, k->cell_bytes - bytes); // NOLINT
    }
    return true;
}

// Weak references and the finalizer go with the object.
static bool resize_life(struct lm_member *self, const struct lm_object *from,
                        void *moved) {
    struct lm_object to;
    if (!lm_record_may_have(from)) {
        return true;
    }
    lm_member_inside(self);
    lm_find((uintptr_t)moved, &to);
    lm_find_fix((uintptr_t)moved);
    bool ok = lm_release_moved(from, &to);
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(LOAM_NO_MEMORY,
                      "no memory: the system gave none for what is known of an "
                      "object that moves");
    }
    return ok;
}

static void *resize(void *p, size_t bytes) {
    struct lm_object o;
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    if (!find(p, &o) || o.start != (uintptr_t)p) {
        free_error(p, "loam_realloc");
    }
    if (bytes > lm_space.reserved_bytes) {
        return fail_too_large(bytes);
    }
    if (resize_in_place(self, &o, bytes)) {
        return p;
    }
    const struct lm_kind *k = &lm_kinds[o.kind];
    bool is_array = k->layout == &k->type->array;
    size_t old_bytes = lm_find_size(&o);
    void *moved = make_typed(self, k->type, is_array, bytes);
    if (moved && !resize_life(self, &o, moved)) {
        loam_free(moved);
        moved = NULL;
    }
    if (moved) {
        size_t kept = old_bytes < bytes ? old_bytes : bytes;
        memcpy(moved, p, kept);
        lm_track_note((uintptr_t)moved, kept);
        loam_free(p);
    }
    return moved;
}

void *loam_realloc(void *p, size_t bytes) {
    if (p == NULL) {
        return loam_alloc(bytes);
    }
    if (bytes > 0) {
        return resize(p, bytes);
    }
    // There is no object of no bytes; the one that it has holds nothing.
    char *object = resize(p, 1);
    if (object) {
        *object = 0;
    }
    return object;
}

// ---- Conveniences ----------------------------------------------------------

void *loam_memdup(const void *from, size_t bytes) {
    void *p = loam_alloc_leaf(bytes);
    return p && bytes ? memcpy(p, from, bytes) : p;
}

char *loam_strdup(const char *text) {
    return loam_memdup(text, strlen(text) + 1);
}

char *loam_strndup(const char *text, size_t bytes) {
    size_t length = strnlen(text, bytes);
    char *p = loam_alloc_leaf(length + 1);
    if (p) {
        memcpy(p, text, length);
        p[length] = '\0';
    }
    return p;
}

char *loam_vprintf(const char *format, va_list arguments) {
    char buffer[256];
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(buffer, sizeof buffer, format, arguments);
    char *p = NULL;
    if (length < 0) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: printf does not accept the format \"%s\"",
                      format);
    } else if ((size_t)length < sizeof buffer) {
        p = loam_memdup(buffer, (size_t)length + 1);
    } else {
        p = loam_alloc_leaf((size_t)length + 1);
        if (p) {
            vsnprintf(p, (size_t)length + 1, format, again);
        }
    }
    va_end(again);
    return p;
}

char *loam_printf(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *p = loam_vprintf(format, arguments);
    va_end(arguments);
    return p;
}
