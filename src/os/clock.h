// SPDX-License-Identifier: MIT
// os/clock.h: times in nanoseconds.

#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>

uint64_t lm_clock_ns(void);         // monotonic
uint64_t lm_clock_thread_ns(void);  // processor time of the calling thread
uint64_t lm_clock_process_ns(void); // processor time of the process

// lm_clock_init notes the moment that lm_clock_start_ns returns.
void lm_clock_init(void);
uint64_t lm_clock_start_ns(void);

#endif // OS_CLOCK_H
