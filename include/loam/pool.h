// SPDX-License-Identifier: MIT
// loam/pool.h: objects that are used again.
//
// A pool lends at most so many objects: connections, large buffers, whatever is
// few or dear. Who wants one when all are lent can wait.
//
// A cache keeps objects that are quick to come by again, as many as there are,
// until two full collections have passed without anybody asking for them.
//
// Neither lives longer than the program's last pointer to it.

#ifndef LOAM_POOL_H
#define LOAM_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <loam/type.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct loam_pool;  // lends at most so many objects
struct loam_cache; // keeps objects for a while

// loam_make_fn makes an object for a pool or a cache, on the thread that asked
// for one. It returns NULL with a status where it cannot. It may allocate and
// collect. One that leaves by longjmp takes its place in the pool with it, for
// good.
typedef void *loam_make_fn(void *argument);

// loam_object_fn does something with an object of a pool: see
// loam_pool_options.
typedef void loam_object_fn(void *object, void *argument);

// ---- Pools -----------------------------------------------------------------

// struct loam_pool_options says what a pool lends. Zero is a good answer to all
// but max_count, and either type or make.
struct loam_pool_options {
    size_t max_count;   // so many objects at most, 1 to 1,000,000
    size_t ready_count; // made by loam_pool_new, and kept when they are idle
    const struct loam_type *type; // without make: loam_type_get(T)
    loam_make_fn *make;           // NULL: a zeroed object of the type
    // Called at each release, before another can have the object; NULL: not.
    // One that leaves by longjmp leaves the object lent.
    loam_object_fn *reset;
    // Called when the pool lets go of an object, never for one that was lost;
    // NULL: not. One that leaves by longjmp takes the place with it.
    loam_object_fn *drop;
    uint64_t idle_ns; // objects that nobody wanted for so long are let go; 0:
                      // they are kept as long as the pool
    uint64_t (*clock)(void *argument); // in ns, for idle_ns; NULL: the system's
    void *argument; // of all these functions; the pool keeps it alive
};

// loam_pool_new makes a pool and the objects that are to be ready. NULL with
// loam_last_error where there is no room, where `make` made none, or with
// LOAM_BAD_ARGUMENT where the options are no good.
//
//   threads  any       collects  may         cost  about 40 B a place
struct loam_pool *loam_pool_new(const struct loam_pool_options *options);

// loam_pool_acquire lends an object: one that is idle, else a new one while
// there are fewer than max_count, else the next that is released, for which it
// waits. The wait holds up no collection. NULL with loam_last_error only where
// an object could not be made.
//
// The pool does not keep what it has lent. An object that dies on loan is
// noticed by the collection that finds it dead, and another may be made in its
// place; who has waited for 100 ms asks for a collection for that reason. In a
// child of fork that is what becomes of all that other threads had.
//
// Objects of a pool are never moved (see loam_compact). While the program is
// stopped, each collection looks at every lent one, for some 10 ns.
//
//   threads  any       collects  may         cost  about 8 ns for an idle one
void *loam_pool_acquire(struct loam_pool *pool);

// loam_pool_try is loam_pool_acquire without the wait: NULL with LOAM_BUSY
// where all objects are lent.
//
//   threads  any       collects  may         cost  as loam_pool_acquire
void *loam_pool_try(struct loam_pool *pool);

// loam_pool_acquire_within is loam_pool_acquire that waits for at most
// timeout_ns nanoseconds: then NULL with LOAM_BUSY.
//
//   threads  any       collects  may         cost  as loam_pool_acquire
void *loam_pool_acquire_within(struct loam_pool *pool, uint64_t timeout_ns);

// loam_pool_release gives an object back, from any thread, and wakes one that
// waits. An object that this pool has not lent, or that was given back already,
// is an error of the caller: one message, then abort.
//
//   threads  any       collects  never       cost  about 8 ns, and reset
void loam_pool_release(struct loam_pool *pool, void *object);

// loam_pool_trim lets go of what has been idle for longer than idle_ns, but for
// ready_count objects, and returns how many. Releases do the same now and then,
// and full collections where there is no `drop` and no `clock`.
//
//   threads  any       collects  never       cost  some ns a place, and drop
size_t loam_pool_trim(struct loam_pool *pool);

// loam_pool_drain lets go of all that is idle, and returns how many. Objects on
// loan are not touched, and new ones are made when they are wanted.
//
//   threads  any       collects  never       cost  some ns a place, and drop
size_t loam_pool_drain(struct loam_pool *pool);

// struct loam_pool_stats is what a pool has now and has done so far.
struct loam_pool_stats {
    size_t max_count;
    size_t lent_count;      // now, with those that are just being made
    size_t idle_count;      // now
    size_t waiting_count;   // threads, now
    uint64_t made_count;    // since the start, as all below
    uint64_t dropped_count; // let go by the pool
    uint64_t lost_count;    // died on loan
    uint64_t wait_count;    // calls that had to wait
    uint64_t timeout_count; // of those, which got nothing in the end
    uint64_t wait_max_ns;   // the longest
};

// loam_pool_stats_get fills *stats with the figures of this moment.
//
//   threads  any       collects  never       cost  about 1 ns for 64 places
void loam_pool_stats_get(const struct loam_pool *pool,
                         struct loam_pool_stats *stats);

// ---- Caches ----------------------------------------------------------------

// struct loam_cache_options says what a cache makes when it has nothing.
struct loam_cache_options {
    const struct loam_type *type; // without make: loam_type_get(T), or NULL
    loam_make_fn *make; // NULL: a zeroed object of the type, if there is one
    void *argument;     // of make; the cache keeps it alive
};

// loam_cache_new makes a cache. NULL with loam_last_error where there is no
// room. options may be NULL: then loam_cache_get returns only what was put.
//
//   threads  any       collects  may         cost  about 1 us
struct loam_cache *loam_cache_new(const struct loam_cache_options *options);

// loam_cache_get takes an object out of the cache: the one that this thread has
// put last, else another of this thread's, of another thread's, or one that a
// full collection has found unused, else a new one. It is as it was put. NULL
// with loam_last_error where none could be made, or without it where the cache
// makes none.
//
//   threads  any       collects  may         cost  about 3 ns
void *loam_cache_get(struct loam_cache *cache);

// loam_cache_put gives an object to the cache, which keeps it over one full
// collection and lets go of it at the second unless somebody gets it first. The
// caller must not use it again, nor put it twice. NULL is ignored.
//
//   threads  any       collects  may         cost  about 3 ns
void loam_cache_put(struct loam_cache *cache, void *object);

// struct loam_cache_stats is what a cache has now and has done so far.
struct loam_cache_stats {
    size_t held_count;      // now
    uint64_t get_count;     // since the start, as all below
    uint64_t put_count;     // objects, not calls with NULL
    uint64_t made_count;    // of the calls of get, how many found nothing
    uint64_t stolen_count;  // how many got what another thread had put
    uint64_t dropped_count; // let go at a full collection
};

// loam_cache_stats_get fills *stats with the figures of this moment.
//
//   threads  any       collects  never       cost  a few ns a thread
void loam_cache_stats_get(const struct loam_cache *cache,
                          struct loam_cache_stats *stats);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_POOL_H
