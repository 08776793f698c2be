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

// loam_release returns unused memory to the operating system now, instead of
// when the program has been idle for a while, and says how many bytes.
//
//   threads  any       collects  never       cost  a system call a free run
size_t loam_release(void);

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
