// SPDX-License-Identifier: MIT
// shared.c: objects that wait for their next user, and for the collector.
//
// The object that a thread has put last it gets back without a lock. Nobody
// else touches it but a stop, and no stop comes in the middle, for the thread
// is inside meanwhile. Others go to the thread's packs, where any thread finds
// them. A lock of one word keeps two from a seat's packs at once. The tenant
// waits for it; others, who have other seats to look at, pass a busy one over.
//
// Each full collection begins by making what is there old, and by letting go of
// what was old already, as the "victim" caches of Go's sync.Pool (and Jouppi's,
// 1990) do. So an object that nobody wants outlives one collection, and what
// the program uses all the time is not thrown away at each.
//
// A seat is a root, so what it has is alive, and that may lead back to the
// cache's handle: for two full collections at most.
//
//   shared.3  What a seat has is in no other seat: who takes it from there has
//             the seat's lock, and has it for itself from then on.
//   shared.4  Seats and records stay seats and records until the end, so a
//             thread may look at one that it knew long ago.
//   shared.5  A seat's counts are those of its packs.

#include "pool/shared.h"

#include "base/check.h"
#include "heap/find.h"
#include "os/lock.h"
#include "os/machine.h"
#include "os/memory.h"
#include "os/thread.h"
#include "world/roots.h"

#include <string.h>

// struct lm_shared is what a cache has beside its handle.
struct lm_shared {
    struct lm_shared *next; // of all that there ever were
    struct lm_shared *next_unused;
    uintptr_t hidden; // the handle, turned round; 0: unused
    uint32_t kind;    // of the handle
    uint32_t id;
    struct lm_seat *seats; // new ones in front; atomic
    uint64_t made_count;   // atomic, as all below
    uint64_t stolen_count;
    uint64_t dropped_count;
};

// Memory for records and seats is obtained so much at a time: a page.
#define SHARED_SLAB_BYTES ((size_t)4096)

static struct {
    struct lm_lock lock; // guards all below, but in stops
    struct lm_shared *all;
    struct lm_shared *unused;
    struct lm_seat *unused_seats;
    struct lm_shared *slabs; // their first records, which are not used
    struct lm_seat *seat_slabs;
    uint32_t count; // of records, ever
} shared;

// ---- Handles ---------------------------------------------------------------

static bool shared_grow(void) {
    struct lm_shared *slab = lm_memory_map(SHARED_SLAB_BYTES);
    if (slab == NULL) {
        return false;
    }
    slab->next = shared.slabs;
    shared.slabs = slab;
    for (size_t i = 1; i < SHARED_SLAB_BYTES / sizeof *slab; i++) {
        slab[i].id = shared.count++;
        slab[i].next = shared.all;
        slab[i].next_unused = shared.unused;
        shared.all = shared.unused = &slab[i];
    }
    return true;
}

bool lm_shared_new(struct loam_cache *handle) {
    struct lm_object o;
    lm_lock_acquire(&shared.lock);
    bool ok =
        lm_find((uintptr_t)handle, &o) && (shared.unused || shared_grow());
    if (ok) {
        struct lm_shared *s = shared.unused;
        shared.unused = s->next_unused;
        s->hidden = ~(uintptr_t)handle;
        s->kind = o.kind;
        s->made_count = s->stolen_count = s->dropped_count = 0;
        handle->shared = s;
        handle->id = s->id;
    }
    lm_lock_release(&shared.lock);
    return ok;
}

// ---- Locks of seats --------------------------------------------------------
//
// Not struct lm_lock, whose release costs as much as taking it. Nobody waits
// here but where a thread lost its processor in the middle of a few
// instructions, or where the process is being forked.

#define SEAT_SPINS 100
#define SEAT_SLEEP_NS 20000

static bool seat_try(struct lm_seat *seat) {
    // Acquire: pairs with the release below.
    return __atomic_exchange_n(&seat->is_busy, 1, __ATOMIC_ACQUIRE) == 0;
}

static void seat_lock(struct lm_seat *seat) {
    for (unsigned i = 0; !seat_try(seat); i++) {
        if (i < SEAT_SPINS) {
            lm_machine_pause();
        } else {
            lm_thread_sleep(SEAT_SLEEP_NS);
        }
    }
}

static void seat_unlock(struct lm_seat *seat) {
    __atomic_store_n(&seat->is_busy, 0, __ATOMIC_RELEASE);
}

// ---- Seats -----------------------------------------------------------------

static bool seat_grow(void) {
    struct lm_seat *slab = lm_memory_map(SHARED_SLAB_BYTES);
    if (slab == NULL) {
        return false;
    }
    if (!lm_roots_add((uintptr_t)slab, SHARED_SLAB_BYTES)) {
        lm_memory_release(slab, SHARED_SLAB_BYTES);
        return false;
    }
    slab->next = shared.seat_slabs;
    shared.seat_slabs = slab;
    for (size_t i = 1; i < SHARED_SLAB_BYTES / sizeof *slab; i++) {
        slab[i].next = shared.unused_seats;
        shared.unused_seats = &slab[i];
    }
    return true;
}

// The thread's table of seats, by the caches' numbers. Only the thread reads
// it.
static bool seat_table_grow(struct lm_cache *mine, uint32_t id) {
    size_t room = SHARED_SLAB_BYTES / sizeof *mine->seats;
    while (room <= id) {
        room *= 2;
    }
    struct lm_seat **seats = lm_memory_map(room * sizeof *seats);
    if (seats == NULL) {
        return false;
    }
    struct lm_seat **before = mine->seats;
    size_t bytes = mine->seat_room * sizeof *seats;
    if (before) {
        memcpy(seats, before, bytes);
    }
    mine->seats = seats;
    mine->seat_room = (uint32_t)room;
    lm_memory_release(before, bytes);
    return true;
}

static bool seat_has_tenant(const struct lm_seat *seat) {
    // Acquire: pairs with the end of a tenancy, so that what the last tenant
    // wrote is seen.
    const struct lm_cache *owner =
        __atomic_load_n(&seat->owner, __ATOMIC_RELAXED);
    return __atomic_load_n(&owner->tenancy, __ATOMIC_ACQUIRE) ==
           __atomic_load_n(&seat->tenancy, __ATOMIC_RELAXED);
}

static struct lm_seat *seat_first(const struct lm_shared *s) {
    return __atomic_load_n(&s->seats, __ATOMIC_ACQUIRE);
}

// A seat whose thread has ended, with what it left there.
static struct lm_seat *seat_adopt(struct lm_shared *s, struct lm_cache *mine) {
    for (struct lm_seat *seat = seat_first(s); seat; seat = seat->next) {
        seat_lock(seat);
        bool is_free = !seat_has_tenant(seat);
        if (is_free) {
            __atomic_store_n(&seat->owner, mine, __ATOMIC_RELAXED);
            __atomic_store_n(&seat->tenancy, mine->tenancy, __ATOMIC_RELAXED);
        }
        seat_unlock(seat);
        if (is_free) {
            return seat;
        }
    }
    return NULL;
}

static struct lm_seat *seat_new(struct lm_shared *s, struct lm_cache *mine) {
    if (shared.unused_seats == NULL && !seat_grow()) {
        return NULL;
    }
    struct lm_seat *seat = shared.unused_seats;
    shared.unused_seats = seat->next;
    memset(seat, 0, sizeof *seat);
    seat->owner = mine;
    seat->tenancy = mine->tenancy;
    seat->shared = s;
    seat->next = s->seats;
    __atomic_store_n(&s->seats, seat, __ATOMIC_RELEASE);
    return seat;
}

struct lm_seat *lm_shared_sit(const struct loam_cache *handle,
                              struct lm_cache *mine) {
    struct lm_seat *seat = NULL;
    lm_lock_acquire(&shared.lock);
    if (handle->id < mine->seat_room || seat_table_grow(mine, handle->id)) {
        seat = seat_adopt(handle->shared, mine);
        if (seat == NULL) {
            seat = seat_new(handle->shared, mine);
        }
        mine->seats[handle->id] = seat;
    }
    lm_lock_release(&shared.lock);
    return seat;
}

// ---- Packs -----------------------------------------------------------------

// Counts are read without the lock, to see whether it is worth taking.
static uint32_t count_get(const uint32_t *count) {
    return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static void count_set(uint32_t *count, uint32_t value) {
    __atomic_store_n(count, value, __ATOMIC_RELAXED);
}

static void *pack_pop(struct lm_pack **packs) {
    struct lm_pack *pack = *packs;
    if (pack->count == 0) {
        pack = *packs = pack->next;
    }
    void *object = pack->objects[--pack->count];
    pack->objects[pack->count] = NULL;
    return object;
}

bool lm_shared_push(struct lm_seat *seat, void *object, struct lm_pack *pack) {
    seat_lock(seat);
    struct lm_pack *first = seat->packs;
    if ((first == NULL || first->count == LM_PACK_OBJECTS) && pack) {
        pack->next = first;
        first = seat->packs = pack;
    }
    bool ok = first && first->count < LM_PACK_OBJECTS;
    if (ok) {
        first->objects[first->count++] = object;
        count_set(&seat->pack_count, seat->pack_count + 1);
    }
    seat_unlock(seat);
    return ok;
}

// From the packs of a seat whose lock the caller has, which it gives back.
static void *seat_take(struct lm_seat *seat) {
    void *object = NULL;
    if (seat->pack_count) {
        count_set(&seat->pack_count, seat->pack_count - 1);
        object = pack_pop(&seat->packs);
    }
    seat_unlock(seat);
    return object;
}

static void *seat_take_own(struct lm_seat *seat) {
    if (count_get(&seat->pack_count) == 0) {
        return NULL;
    }
    seat_lock(seat);
    return seat_take(seat);
}

static void *seat_steal(struct lm_seat *seat) {
    return count_get(&seat->pack_count) && seat_try(seat) ? seat_take(seat)
                                                          : NULL;
}

// From what is old, or what an ended thread had for itself.
static void *seat_take_left(struct lm_seat *seat) {
    void *object = NULL;
    bool is_left = !seat_has_tenant(seat);
    if ((count_get(&seat->old_count) == 0 && !is_left) || !seat_try(seat)) {
        return NULL;
    }
    // Once a thread is gone it does not come back, and who takes its seat over
    // does so with the lock.
    if (is_left && !seat_has_tenant(seat) && seat->object) {
        object = seat->object;
        seat->object = NULL;
    } else if (seat->old_count) {
        count_set(&seat->old_count, seat->old_count - 1);
        object = seat->old_object;
        seat->old_object = NULL;
        object = object ? object : pack_pop(&seat->old_packs);
    }
    seat_unlock(seat);
    return object;
}

static void *shared_search(struct lm_shared *s, const struct lm_seat *but,
                           void *(*take)(struct lm_seat *)) {
    void *object = NULL;
    for (struct lm_seat *seat = seat_first(s); seat && !object;
         seat = seat->next) {
        object = seat == but ? NULL : take(seat);
    }
    if (object) {
        __atomic_fetch_add(&s->stolen_count, 1, __ATOMIC_RELAXED);
    }
    return object;
}

void *lm_shared_find(const struct loam_cache *handle, struct lm_seat *seat) {
    struct lm_shared *s = handle->shared;
    void *object = seat ? seat_take_own(seat) : NULL;
    if (object == NULL) {
        object = shared_search(s, seat, seat_steal);
    }
    if (object == NULL && seat) {
        object = seat_take_left(seat);
    }
    return object ? object : shared_search(s, seat, seat_take_left);
}

// ---- Figures ---------------------------------------------------------------

void lm_shared_made(const struct loam_cache *handle) {
    __atomic_fetch_add(&handle->shared->made_count, 1, __ATOMIC_RELAXED);
}

void lm_shared_stats(const struct loam_cache *handle,
                     struct loam_cache_stats *stats) {
    const struct lm_shared *s = handle->shared;
    memset(stats, 0, sizeof *stats);
    for (const struct lm_seat *seat = seat_first(s); seat; seat = seat->next) {
        stats->get_count += __atomic_load_n(&seat->get_count, __ATOMIC_RELAXED);
        stats->put_count += __atomic_load_n(&seat->put_count, __ATOMIC_RELAXED);
        stats->held_count +=
            count_get(&seat->pack_count) + count_get(&seat->old_count) +
            (__atomic_load_n(&seat->object, __ATOMIC_RELAXED) != NULL);
    }
    stats->made_count = __atomic_load_n(&s->made_count, __ATOMIC_RELAXED);
    stats->stolen_count = __atomic_load_n(&s->stolen_count, __ATOMIC_RELAXED);
    stats->dropped_count = __atomic_load_n(&s->dropped_count, __ATOMIC_RELAXED);
}

// ---- In stops --------------------------------------------------------------
//
// Nobody is inside, so no lock is held and each seat is as its tenant left it.

void lm_shared_before(void) {
    for (struct lm_shared *s = shared.all; s; s = s->next) {
        for (struct lm_seat *seat = s->seats; seat; seat = seat->next) {
            s->dropped_count += seat->old_count;
            seat->old_object = seat->object;
            seat->old_packs = seat->packs;
            seat->old_count = seat->pack_count + (seat->object != NULL);
            seat->object = NULL;
            seat->packs = NULL;
            seat->pack_count = 0;
        }
    }
}

static bool shared_is_dead(const struct lm_shared *s) {
    struct lm_object o;
    const struct loam_cache *handle = (void *)~s->hidden; // NOLINT
    // It may have been freed by hand, and its memory be something else's.
    return !lm_find((uintptr_t)handle, &o) || o.kind != s->kind ||
           o.start != (uintptr_t)handle || handle->shared != s;
}

static size_t packs_count(const struct lm_pack *pack) {
    size_t count = 0;
    for (; pack; pack = pack->next) {
        count += pack->count;
    }
    return count;
}

static void shared_check(const struct lm_shared *s) {
    for (const struct lm_seat *seat = s->seats; seat; seat = seat->next) {
        LM_CHECK(3, seat->shared == s && !seat->is_busy,
                 "shared.2 nobody has a seat's lock in a stop");
        LM_CHECK(3, seat->pack_count == packs_count(seat->packs),
                 "shared.5 a seat's counts are those of its packs");
        LM_CHECK(3,
                 seat->old_count ==
                     packs_count(seat->old_packs) + (seat->old_object != NULL),
                 "shared.5 a seat's counts are those of its packs");
    }
}

LM_NO_SANITIZE bool lm_shared_is_any(void) {
    return shared.all != NULL;
}

void lm_shared_after(void) {
    for (struct lm_shared *s = shared.all; s; s = s->next) {
        if (lm_settings.check >= 3) {
            shared_check(s);
        }
        if (s->hidden == 0 || !shared_is_dead(s)) {
            continue;
        }
        while (s->seats) {
            struct lm_seat *seat = s->seats;
            s->seats = seat->next;
            memset(seat, 0, sizeof *seat);
            seat->next = shared.unused_seats;
            shared.unused_seats = seat;
        }
        s->hidden = 0;
        s->next_unused = shared.unused;
        shared.unused = s;
    }
}

// ---- The end, and fork -----------------------------------------------------

void lm_shared_fini(void) {
    while (shared.slabs) {
        struct lm_shared *slab = shared.slabs;
        shared.slabs = slab->next;
        lm_memory_release(slab, SHARED_SLAB_BYTES);
    }
    while (shared.seat_slabs) {
        struct lm_seat *slab = shared.seat_slabs;
        shared.seat_slabs = slab->next;
        lm_memory_release(slab, SHARED_SLAB_BYTES);
    }
    memset(&shared, 0, sizeof shared);
}

// Nobody is inside when this is called, but may be before the child is there.
void lm_shared_fork_prepare(void) {
    lm_lock_acquire(&shared.lock);
    for (struct lm_shared *s = shared.all; s; s = s->next) {
        for (struct lm_seat *seat = s->seats; seat; seat = seat->next) {
            seat_lock(seat);
        }
    }
}

void lm_shared_fork_done(bool in_child) {
    for (struct lm_shared *s = shared.all; s; s = s->next) {
        for (struct lm_seat *seat = s->seats; seat; seat = seat->next) {
            seat_unlock(seat);
        }
    }
    if (in_child) {
        lm_lock_reset(&shared.lock);
    } else {
        lm_lock_release(&shared.lock);
    }
}
