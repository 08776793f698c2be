// SPDX-License-Identifier: MIT
// pool_cache.c: loam/pool.h, its caches.

#include <loam/pool.h>

#include <loam/heap.h>
#include <loam/root.h>

#include "api/pool.h"
#include "api/status.h"
#include "base/check.h"
#include "pool/shared.h"

#include <string.h>

LOAM_TYPE(struct loam_cache, argument)
LOAM_TYPE(struct lm_pack, next, objects)

struct loam_cache *loam_cache_new(const struct loam_cache_options *options) {
    struct lm_member *self = lm_pool_self("loam_cache_new");
    struct loam_cache *cache = self ? loam_new(struct loam_cache) : NULL;
    if (cache == NULL || !loam_address(cache)) {
        return NULL;
    }
    if (options) {
        cache->argument = options->argument;
        cache->type = options->type;
        cache->make = options->make;
    }
    lm_member_inside(self);
    bool ok = lm_shared_new(cache);
    lm_member_outside(self);
    if (!ok) {
        lm_status_set(LOAM_NO_MEMORY,
                      "no memory: the system gave none for a cache's record");
        return NULL;
    }
    return cache;
}

static void *cache_make(struct loam_cache *cache) {
    lm_shared_made(cache);
    return cache->make || cache->type
               ? lm_pool_make(cache->type, cache->make, cache->argument)
               : NULL;
}

// What is not in the thread's own hands. Called inside.
__attribute__((noinline)) static void *cache_find(struct loam_cache *cache,
                                                  struct lm_cache *mine,
                                                  struct lm_seat *seat) {
    void *object = NULL;
    if (seat == NULL) {
        seat = lm_shared_sit(cache, mine);
        if (seat) { // perhaps another thread's, that has ended
            lm_shared_count(&seat->get_count);
            object = seat->object;
            seat->object = NULL;
        }
    }
    return object ? object : lm_shared_find(cache, seat);
}

// Whether a handler of a fault interrupted the allocator, or this file.
static bool cache_is_amid(const struct lm_member *self) {
    if (lm_likely(self->inside == 0)) {
        return false;
    }
    lm_status_set(LOAM_IN_HANDLER,
                  "in a signal handler that interrupted the allocator: a cache "
                  "cannot be used there");
    return true;
}

void *loam_cache_get(struct loam_cache *cache) {
    struct lm_member *self = lm_pool_self("loam_cache_get");
    void *object = NULL;
    if (self == NULL || cache_is_amid(self)) {
        return NULL;
    }
    lm_member_enter(self);
    struct lm_seat *seat = lm_shared_seat(cache, self->cache);
    if (lm_likely(seat != NULL)) {
        lm_shared_count(&seat->get_count);
        object = seat->object;
        seat->object = NULL;
    }
    if (lm_unlikely(object == NULL)) {
        object = cache_find(cache, self->cache, seat);
    }
    lm_member_leave(self);
    return lm_likely(object != NULL) ? object : cache_make(cache);
}

// Puts it into a seat, in the tenant's own hands or where others find it; false
// when that takes another pack. Called inside.
static bool seat_put(struct lm_seat *seat, void *object, struct lm_pack *pack) {
    bool is_own = seat->object == NULL;
    if (is_own) {
        seat->object = object;
    }
    bool ok = is_own || lm_shared_push(seat, object, pack);
    if (ok) {
        lm_shared_count(&seat->put_count);
    }
    return ok;
}

// What does not fit the thread's own hands. Where there is no memory to keep it
// in, nobody does.
__attribute__((noinline)) static void cache_push(struct loam_cache *cache,
                                                 struct lm_member *self,
                                                 void *object) {
    struct lm_pack *pack = NULL;
    for (bool ok = false; !ok;) {
        lm_member_enter(self);
        struct lm_seat *seat = lm_shared_seat(cache, self->cache);
        seat = seat ? seat : lm_shared_sit(cache, self->cache);
        ok = seat == NULL || seat_put(seat, object, pack);
        lm_member_leave(self);
        if (!ok) {
            pack = loam_new(struct lm_pack);
            ok = pack == NULL;
        }
    }
}

void loam_cache_put(struct loam_cache *cache, void *object) {
    struct lm_member *self = lm_pool_self("loam_cache_put");
    if (self == NULL || object == NULL || cache_is_amid(self)) {
        return;
    }
    lm_member_enter(self);
    struct lm_seat *seat = lm_shared_seat(cache, self->cache);
    bool is_kept = seat && seat->object == NULL;
    if (lm_likely(is_kept)) {
        lm_shared_count(&seat->put_count);
        seat->object = object;
    }
    lm_member_leave(self);
    if (lm_unlikely(!is_kept)) {
        cache_push(cache, self, object);
    }
}

void loam_cache_stats_get(const struct loam_cache *cache,
                          struct loam_cache_stats *stats) {
    memset(stats, 0, sizeof *stats);
    struct lm_member *self = lm_pool_self("loam_cache_stats_get");
    if (self) {
        lm_member_enter(self);
        lm_shared_stats(cache, stats);
        lm_member_leave(self);
    }
}
