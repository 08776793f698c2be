// SPDX-License-Identifier: MIT
// collect/collector.h: the library's own thread.
//
// It marks beside the program when asked to, sweeps what nobody needed since
// the last collection, and, when no collection has come for a while, gives free
// memory back to the system.

#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>

// lm_collector_notice tells it that a collection has ended, and starts it if it
// does not run yet.
void lm_collector_notice(void);

// lm_collector_begin starts it if it does not run yet.
void lm_collector_begin(void);

// lm_collector_listen sets what is called when no collection has come for a
// while, on the collector's thread.
void lm_collector_listen(void (*on_quiet)(void));

// lm_collector_request asks for a collection beside the program; false when
// there is no thread to do it.
bool lm_collector_request(void);

// lm_collector_warm asks it to touch memory ahead of the heap.
void lm_collector_warm(void);

// lm_collector_release gives all free memory back now; returns the bytes.
size_t lm_collector_release(void);

// lm_collector_stop ends the thread and waits for it.
void lm_collector_stop(void);

void lm_collector_fork_child(void);

#endif // COLLECT_COLLECTOR_H
