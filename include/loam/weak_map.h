// SPDX-License-Identifier: MIT
// loam/weak_map.h: tables that do not keep what they are about alive.
//
//   loam_weak_map_new      weak keys: an entry lives as long as its key. Its value
//                          is kept meanwhile, also by a chain of other entries,
//                          but does not keep the key, even if it refers to it:
//                          what is known as an ephemeron. To say more about an
//                          object than it has fields for.
//   loam_weak_values_new   weak values: an entry lives as long as its value, and
//                          its key is kept meanwhile. For caches by name.
//   loam_intern_new        a set of which each member is equal to no other one and
//                          lives as long as anybody else refers to it.
//
// A map is an object: nobody has to free it. What it watches is not freed at once
// by loam_free, but by the next collection, and loam_realloc makes it another
// object. All calls may come from any thread.
// While a collection settles what is alive, a call may wait for that, some
// milliseconds where maps have millions of entries.

#ifndef LOAM_WEAK_MAP_H
#define LOAM_WEAK_MAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct loam_weak_map; // an object of the heap

// loam_hash_fn returns a number that equal keys have in common. It may allocate,
// but not use the map.
typedef uint64_t loam_hash_fn(const void *key, void *argument);

// loam_equal_fn says whether two keys are equal: 1, or 0. It may allocate, but not
// use the map.
typedef int loam_equal_fn(const void *a, const void *b, void *argument);

// loam_weak_map_new returns a map whose keys are objects, by their addresses. NULL
// as for loam_alloc.
//
//   threads  any       collects  may         cost  about 200 ns
struct loam_weak_map *loam_weak_map_new(void);

// loam_weak_values_new returns a map whose values are objects; its keys are
// compared by the two functions, which get the argument, or by their addresses if
// both are NULL. NULL as for loam_alloc, or with LOAM_BAD_ARGUMENT when only one
// of them is NULL.
//
//   threads  any       collects  may         cost  about 200 ns
struct loam_weak_map *loam_weak_values_new(loam_hash_fn *hash,
                                           loam_equal_fn *equal,
                                           void *argument);

// loam_weak_map_set makes value what key is mapped to. Returns 0, or -1 with
// loam_last_error when there is no memory, or when what is weak, the key or the
// value, is no object. The other may be any word.
//
//   threads  any       collects  may         cost  a lock, constant on average;
//                                                  tables grow a piece at a time
int loam_weak_map_set(struct loam_weak_map *map, const void *key, void *value);

// loam_weak_map_get returns what key is mapped to, or NULL.
//
//   threads  any       collects  never       cost  constant on average; a lock where
//                                                  keys are compared by functions
void *loam_weak_map_get(struct loam_weak_map *map, const void *key);

// loam_weak_map_has says whether there is an entry of the key: 1, or 0. With it a
// map of weak keys to NULL is a weak set.
//
//   threads  any       collects  never       cost  as loam_weak_map_get
int loam_weak_map_has(struct loam_weak_map *map, const void *key);

// loam_weak_map_remove removes an entry: 1, or 0 where there was none.
//
//   threads  any       collects  never       cost  as loam_weak_map_get
int loam_weak_map_remove(struct loam_weak_map *map, const void *key);

// loam_weak_map_count returns how many entries there are, with those that have
// died since the last collection.
//
//   threads  any       collects  never       cost  a load
size_t loam_weak_map_count(const struct loam_weak_map *map);

// loam_weak_map_each calls fn with each entry. One that is added or removed
// meanwhile may be met or not, and one may be met twice where the table grows.
//
//   threads  any       collects  never       cost  linear
void loam_weak_map_each(struct loam_weak_map *map,
                        void (*fn)(void *key, void *value, void *argument),
                        void *argument);

// loam_intern_new returns a map for loam_intern, whose members are compared by the
// two functions. NULL as for loam_alloc, or with LOAM_BAD_ARGUMENT when one of
// them is NULL.
//
//   threads  any       collects  may         cost  about 200 ns
struct loam_weak_map *loam_intern_new(loam_hash_fn *hash, loam_equal_fn *equal,
                                      void *argument);

// loam_intern returns the member that is equal to the object, which becomes one
// itself if there was none. NULL as for loam_weak_map_set.
//
//   threads  any       collects  may         cost  as loam_weak_map_set
void *loam_intern(struct loam_weak_map *map, void *object);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_WEAK_MAP_H
