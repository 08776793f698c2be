// SPDX-License-Identifier: MIT
// loam/status.h: why the last call failed.

#ifndef LOAM_STATUS_H
#define LOAM_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// enum loam_status names the ways a call can fail.
enum loam_status {
    LOAM_OK = 0,
    // The heap is at LOAM_HEAP_MAX and a full collection found no room.
    LOAM_HEAP_FULL = 1,
    // The operating system gave no more memory, or the reserved range is used.
    LOAM_NO_MEMORY = 2,
    // The size asked for overflows, or is larger than the reserved range.
    LOAM_TOO_LARGE = 3,
    // An argument breaks the rule that the message states.
    LOAM_BAD_ARGUMENT = 4,
    // A signal handler that interrupted the allocator itself asked for memory:
    // one of a fault, or one that was not installed by sigaction or signal.
    LOAM_IN_HANDLER = 5,
    // There are as many pairs of type and size as the runtime can tell apart.
    LOAM_TOO_MANY_TYPES = 6,
    // The machine lacks what the call needs; the message names it.
    LOAM_UNSUPPORTED = 7,
    // All objects of a pool are lent.
    LOAM_BUSY = 8,
};

// loam_last_status returns how the calling thread's last failed call failed,
// or LOAM_OK when none has. A call that succeeds leaves it as it is, as errno.
//
//   threads  any       collects  never       cost  a load
enum loam_status loam_last_status(void);

// loam_last_error returns a sentence on the calling thread's last failure:
// what was asked, what was found, what is allowed and what to do. It is ""
// when nothing has failed. The text stays until this thread's next failure.
//
//   threads  any       collects  never       cost  a load
const char *loam_last_error(void);

// loam_status_name returns the name of a status, for logs: "heap full".
//
//   threads  any       collects  never       cost  constant
const char *loam_status_name(enum loam_status status);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // LOAM_STATUS_H
