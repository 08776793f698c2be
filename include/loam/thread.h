// SPDX-License-Identifier: MIT
// loam/thread.h: threads, blocking regions and stacks of coroutines.
//
// Threads need no call: those made by pthread_create or thrd_create, by any
// library, are known from birth, and others (made by clone, or before the
// library was opened) from their first allocation.

#ifndef LOAM_THREAD_H
#define LOAM_THREAD_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_thread_register makes the calling thread known now: for one that was
// not made by pthread_create and holds pointers before it allocates. Returns
// 0, or -1 with loam_last_error. Harmless when done again.
//
//   threads  any       collects  never       cost  about 20 us
int loam_thread_register(void);

// loam_thread_unregister makes the calling thread unknown again: its stack is
// no longer looked at. It happens by itself when a thread ends.
//
//   threads  any       collects  never       cost  about 1 us
void loam_thread_unregister(void);

// loam_blocking_begin says that this thread will not touch the heap until
// loam_blocking_end: the collector then need not interrupt it. Its stack as of
// this call is still scanned. Calls nest.
//
//   threads  any       collects  never       cost  about 10 ns
void loam_blocking_begin(void);

// loam_blocking_end ends the region, and waits where a collection is under
// way. One without its loam_blocking_begin is an error of the caller.
//
//   threads  any       collects  never       cost  about 10 ns
void loam_blocking_end(void);

struct loam_stack; // memory that a coroutine runs on

// loam_stack_add makes `bytes` bytes at `base` known as a stack that threads
// may switch to. While nobody runs on it, what lies above its last stack
// pointer is scanned. NULL with loam_last_error.
//
//   threads  any       collects  never       cost  a lock
struct loam_stack *loam_stack_add(void *base, size_t bytes);

// loam_stack_remove forgets a stack that nobody runs on; else it is an error
// of the caller.
//
//   threads  any       collects  never       cost  a lock
void loam_stack_remove(struct loam_stack *stack);

// loam_stack_switch says that this thread is about to run on `to`, or on its
// own stack if NULL: call it right before the switch (swapcontext, or your
// own). It notes the stack pointer and the saved registers of the side it
// leaves. A stack on which another thread runs is an error of the caller.
//
//   threads  any       collects  never       cost  about 10 ns
void loam_stack_switch(struct loam_stack *to);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_THREAD_H
