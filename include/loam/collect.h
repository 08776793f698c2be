// SPDX-License-Identifier: MIT
// loam/collect.h: asking for collections, limits, and what the collector did.

#ifndef LOAM_COLLECT_H
#define LOAM_COLLECT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_collect runs a full collection and returns when what it found dead can
// be reused. Never needed for correctness.
//
//   threads  any       collects  yes         cost  about 5 ns a live object
void loam_collect(void);

// loam_collect_minor runs a minor collection, which looks at what was made since
// the last collection, and returns when what it found dead can be reused. Where
// there are no generations now (see loam_generations_set) it is a full one.
//
//   threads  any       collects  yes         cost  about 5 ns a young live object
void loam_collect_minor(void);

// loam_trim returns unused memory to the operating system now, instead of
// when the program has been idle for a while, and says how many bytes.
//
//   threads  any       collects  never       cost  a system call a free run
size_t loam_trim(void);

// loam_compact collects, moves objects out of sparsely filled memory, and returns
// unused memory to the operating system; it says how many bytes. A pause is no
// longer than a collection's where writes can be tracked (LOAM_LOG=track tells).
//
// An object moves only if all that refers to it are fields that LOAM_TYPE
// describes: not if a stack, a register, static data, a root, memory without
// a description or a mark function may refer to it, nor if it is pinned, its
// address was taken with loam_address, or it is larger than 8 KiB. Call it only
// in a program that has no other copies of its objects' addresses: no hash
// of an address, no pointer kept as a number, in leaf memory, or one past the
// end of an object. See the guide. LOAM_COMPACT=off lets nothing move.
//
//   threads  any       collects  yes         cost  some 100 ns a moved object
size_t loam_compact(void);

// loam_heap_max_set sets the largest heap in bytes (LOAM_HEAP_MAX), 0 for no
// limit but the machine's. A limit under what is used now makes allocations
// fail until enough has died.
//
//   threads  any       collects  never       cost  a store
void loam_heap_max_set(size_t bytes);

// loam_heap_max_get returns the largest heap in bytes, 0 when there is no limit.
//
//   threads  any       collects  never       cost  a load
size_t loam_heap_max_get(void);

// loam_heap_min_set sets the heap in bytes under which nothing is collected
// (LOAM_HEAP_MIN).
//
//   threads  any       collects  never       cost  a store
void loam_heap_min_set(size_t bytes);

// loam_heap_min_get returns the heap in bytes under which nothing is collected.
//
//   threads  any       collects  never       cost  a load
size_t loam_heap_min_get(void);

// loam_growth_set sets how much may be allocated between collections, as a
// percentage of what was live after the last (LOAM_GROWTH). 100 lets the heap
// double. At least 1; a smaller value is taken as 1. Until it is set, heaps of
// up to 88 MiB may double, or grow by up to 88 MiB where the program allocates
// fast, and larger ones grow by 50 percent.
//
//   threads  any       collects  never       cost  a store
void loam_growth_set(unsigned percent);

// loam_growth_get returns that percentage.
//
//   threads  any       collects  never       cost  a load
unsigned loam_growth_get(void);

// enum loam_choice says whether to use something, or to let the library decide.
enum loam_choice {
    LOAM_AUTO = 0,
    LOAM_ON = 1,
    LOAM_OFF = 2,
};

// loam_generations_set says whether there are minor collections
// (LOAM_GENERATIONS), from the next full one on; LOAM_OFF makes the next one
// full. LOAM_AUTO is the default: where the heap is large enough and where they
// free enough. Without write tracking (loam_track_name) there are none.
//
//   threads  any       collects  never       cost  a store
void loam_generations_set(enum loam_choice choice);

// loam_generations_get returns what was set.
//
//   threads  any       collects  never       cost  a load
enum loam_choice loam_generations_get(void);

// loam_concurrent_set says whether full collections mark while the program runs
// (LOAM_CONCURRENT), from the next one on. LOAM_AUTO is the default: where the
// heap is large enough. Without write tracking none does.
//
//   threads  any       collects  never       cost  a store
void loam_concurrent_set(enum loam_choice choice);

// loam_concurrent_get returns what was set.
//
//   threads  any       collects  never       cost  a load
enum loam_choice loam_concurrent_get(void);

// loam_pause_target_set sets how long a pause should be at most, in nanoseconds
// (LOAM_PAUSE_TARGET). 0 is the default, a millisecond. It is a wish: see the
// guide for what makes pauses longer.
//
//   threads  any       collects  never       cost  a store
void loam_pause_target_set(uint64_t ns);

// loam_pause_target_get returns how long a pause should be at most.
//
//   threads  any       collects  never       cost  a load
uint64_t loam_pause_target_get(void);

// loam_track_name returns how the collector learns which pages the program has
// written (LOAM_TRACK): "kernel", "barrier", "mprotect", or "none", and then
// there are only full collections that stop the program.
//
//   threads  any       collects  never       cost  up to 1 ms, the first time
const char *loam_track_name(void);

// loam_track_reason returns why it is that one, in words.
//
//   threads  any       collects  never       cost  as loam_track_name
const char *loam_track_reason(void);

// struct loam_collection is one collection, before and after it.
struct loam_collection {
    uint64_t number;  // counts from 1
    int is_over;      // 0 before it, and then only the number is there
    const char *kind; // "full", "minor", "concurrent" or "minor given up"
    uint64_t live_bytes;
    uint64_t live_count;
    uint64_t pause_ns;  // the longest
    uint64_t due_count; // finalizers that wait to be called
};

// loam_on_collection has fn called with the argument before and after each
// collection, on the thread that collects, which may be one of the library's: it
// must not touch the heap, nor block for long. One function a process; NULL takes
// it away.
//
//   threads  any       collects  never       cost  a lock
void loam_on_collection(void (*fn)(const struct loam_collection *collection,
                                   void *argument),
                        void *argument);

// struct loam_stats is what the collector has done so far. Times are in
// nanoseconds, sizes in bytes; pauses are of single threads being stopped.
struct loam_stats {
    uint64_t collection_count;
    uint64_t allocated_bytes; // since the start, cells rounded up
    uint64_t allocated_count; // objects since the start
    uint64_t freed_bytes;     // by loam_free, part of no collection
    uint64_t heap_bytes;      // blocks in use now, with their free cells
    uint64_t heap_peak_bytes; // the most they have been
    uint64_t live_bytes;      // marked by the last collection
    uint64_t live_count;
    uint64_t committed_bytes;       // obtained from the operating system
    uint64_t returned_bytes;        // given back to it, in all
    uint64_t heap_max_bytes;        // 0: no limit
    uint64_t next_collection_bytes; // allocation left until the next one
    uint64_t pause_total_ns;
    uint64_t pause_last_ns;
    uint64_t pause_max_ns;
    uint64_t pause_median_ns; // from a histogram, within 4 %
    uint64_t pause_p99_ns;
    uint64_t stop_max_ns;      // longest wait until all threads had stopped
    uint64_t collector_cpu_ns; // processor time spent collecting
    uint64_t process_cpu_ns;   // processor time of the whole process
    uint64_t thread_count;     // threads known now
    uint64_t marker_count;     // threads that mark, the collecting one too
    uint64_t type_count;
    uint64_t full_count;       // collections that marked all in one stop
    uint64_t minor_count;      // that looked at what was new
    uint64_t concurrent_count; // that marked all beside the program
    uint64_t full_pause_max_ns;
    uint64_t minor_pause_max_ns;
    uint64_t concurrent_pause_max_ns;
    uint64_t given_up_count;   // minor ones that would have taken too long
    uint64_t dirty_page_count; // written pages, visited again in stops
    uint64_t compaction_count; // passes over the heap
    uint64_t moved_count;      // objects moved, since the start
    uint64_t moved_bytes;
    uint64_t compaction_pause_max_ns;
    uint64_t soft_limit_bytes; // 0: none
    uint64_t own_bytes;        // tables and mark stacks, beside the heap
};

// loam_stats_get fills *stats with the figures of this moment.
//
//   threads  any       collects  never       cost  about 2 us
void loam_stats_get(struct loam_stats *stats);

// struct loam_type_stats is the census of one type: what the last collection
// found alive, and what has been allocated since the start.
struct loam_type_stats {
    const char *name; // "(untyped)" and "(leaf)" for untyped memory
    uint64_t live_count;
    uint64_t live_bytes;
    uint64_t allocated_count;
    uint64_t allocated_bytes;
};

// loam_type_stats_get fills at most `room` entries, the type with most live
// bytes first, and returns how many types there are.
//
//   threads  any       collects  never       cost  about 20 ns a block
size_t loam_type_stats_get(struct loam_type_stats *entries, size_t room);

// loam_verify walks the whole heap and checks every invariant of its
// structures; the first that is broken is reported and aborts. Returns how
// many objects it saw. For tests and for suspicion.
//
//   threads  any       collects  never       cost  about 20 ns an object
size_t loam_verify(void);

// loam_version returns the library's version, "0.1.0".
//
//   threads  any       collects  never       cost  constant
const char *loam_version(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_COLLECT_H
