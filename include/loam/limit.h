// SPDX-License-Identifier: MIT
// loam/limit.h: how large the heap may get, and what happens when it cannot.
//
// loam_heap_max_set and loam_heap_min_set are in collect.h.

#ifndef LOAM_LIMIT_H
#define LOAM_LIMIT_H

#include <loam/collect.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_soft_limit_set sets the size in bytes that the heap, with the library's
// own tables, should stay under (LOAM_SOFT_LIMIT); 0 for none. As the heap comes
// near, collections come sooner, and free memory goes back to the system. Where
// even that would take more than half of the processor's time, the limit gives
// way: nothing is refused because of it.
//
//   threads  any       collects  never       cost  about 1 us
void loam_soft_limit_set(size_t bytes);

// loam_soft_limit_get returns the soft limit in bytes, 0 when there is none.
//
//   threads  any       collects  never       cost  a load
size_t loam_soft_limit_get(void);

// loam_heap_max_set_percent sets the largest heap as a percentage, from 1 to 100,
// of loam_memory_available() (LOAM_HEAP_MAX=75%).
//
//   threads  any       collects  never       cost  about 1 us
void loam_heap_max_set_percent(unsigned percent);

// loam_soft_limit_set_percent sets the soft limit so (LOAM_SOFT_LIMIT=75%).
//
//   threads  any       collects  never       cost  about 1 us
void loam_soft_limit_set_percent(unsigned percent);

// loam_memory_available returns how many bytes of memory the process may have
// in all: what the machine has, or what its container allows, if that is less.
// It is what was found when the library was loaded.
//
//   threads  any       collects  never       cost  a load
size_t loam_memory_available(void);

// loam_container_set says whether the limits of the container (control group)
// count (LOAM_CONTAINER). LOAM_AUTO is the default: where there is one and
// nothing else was set, the largest heap and the soft limit follow from it.
// LOAM_OFF: they do not. Other values change nothing.
//
//   threads  any       collects  never       cost  about 1 us
void loam_container_set(enum loam_choice choice);

// loam_container_get returns what was set.
//
//   threads  any       collects  never       cost  a load
enum loam_choice loam_container_get(void);

// loam_container_reason returns in words which limit of a container was found, or
// why none was: "cgroup version 2, group /app: limit 512.0M (memory.max)".
//
//   threads  any       collects  never       cost  a load
const char *loam_container_reason(void);

// loam_system_pressure returns the share of the last ten seconds, in percent, in
// which some thread of the container (or of the machine) waited for memory, as
// the kernel counts it (PSI); -1 where it does not. From 10 on the heap gives
// memory back and is collected sooner, by itself.
//
//   threads  any       collects  never       cost  three system calls
int loam_system_pressure(void);

// loam_pressure_fn is told how much of the limit was alive, in percent, after
// the last collection of the whole heap.
typedef void loam_pressure_fn(unsigned percent, void *argument);

// loam_on_pressure has fn called once each time that so much is alive: that
// percentage of the largest heap, or of the soft limit where there is no largest
// heap. It must have been five points lower before it is called again. It is
// called on a thread that allocates or has asked for a collection, which waits
// for it, and not inside the collector: it may allocate, and let go of what the
// program can do without. It has to return. The argument is kept alive.
//
// 0, or -1 with a status when there are 16 already.
//
//   threads  any       collects  never       cost  about 100 ns
int loam_on_pressure(unsigned percent, loam_pressure_fn *fn, void *argument);

// loam_on_pressure_remove takes back what was added with these two. Another
// thread may be in the middle of a call of it. 0, or -1 when there was none.
//
//   threads  any       collects  never       cost  about 100 ns
int loam_on_pressure_remove(loam_pressure_fn *fn, void *argument);

// loam_oom_handler is called when an allocation of so many bytes (small sizes are
// rounded up) finds no room after everything else was tried. It returns 0 when there is nothing that it
// could let go of, and the allocation fails; otherwise there is a collection and
// another try, at most 64 of them for one allocation.
typedef int loam_oom_handler(size_t bytes, void *argument);

// loam_oom_handler_set sets the handler, NULL for none. It runs on the thread
// that allocates, and on one thread at a time. What it allocates may pass the
// largest heap by loam_oom_spare_get() bytes. It may leave by longjmp; its turn
// then ends when the thread allocates next, or exits. Others that run out of
// memory meanwhile are refused when one handler has run for two seconds. The argument
// is kept alive.
//
//   threads  any       collects  never       cost  about 100 ns
void loam_oom_handler_set(loam_oom_handler *handler, void *argument);

// loam_oom_spare_set sets how many bytes the handler may allocate beyond the
// largest heap (LOAM_OOM_SPARE). 256 KiB is the default.
//
//   threads  any       collects  never       cost  a store
void loam_oom_spare_set(size_t bytes);

// loam_oom_spare_get returns that.
//
//   threads  any       collects  never       cost  a load
size_t loam_oom_spare_get(void);

// loam_oom_dump_set names the file that a report is written to when an allocation
// fails (LOAM_DUMP_ON_OOM): what was asked for, the limits, all figures, and what
// is alive by type. It is written once, the first time. NULL for none. The path
// is copied. 0, or -1 with a status when it is longer than 1023 bytes. Do not
// call it while another thread may be running out of memory.
//
//   threads  one       collects  never       cost  a copy
int loam_oom_dump_set(const char *path);

// loam_oom_dump_get returns that path, or NULL.
//
//   threads  any       collects  never       cost  a load
const char *loam_oom_dump_get(void);

// enum loam_oom_action says how an allocation that finds no room ends.
enum loam_oom_action {
    LOAM_OOM_NULL = 0,  // it returns NULL; loam_last_error explains
    LOAM_OOM_EXIT = 1,  // the explanation on stderr, and _exit
    LOAM_OOM_ABORT = 2, // the explanation on stderr, and abort
};

// loam_on_oom_set sets that (LOAM_ON_OOM); the status is for LOAM_OOM_EXIT. The
// default is LOAM_OOM_NULL. Other values change nothing.
//
//   threads  any       collects  never       cost  a store
void loam_on_oom_set(enum loam_oom_action action, int status);

// loam_on_oom_get returns what was set.
//
//   threads  any       collects  never       cost  a load
enum loam_oom_action loam_on_oom_get(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_LIMIT_H
