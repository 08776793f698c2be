// SPDX-License-Identifier: MIT
// collect/room.h: how much of the limits is left.

#ifndef COLLECT_ROOM_H
#define COLLECT_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// lm_room_is_limited says whether there is a limit of any kind.
bool lm_room_is_limited(void);

// lm_room_spend notes what was allocated and what collecting took since this was
// last called: after a minor collection, and before lm_room_after.
void lm_room_spend(size_t allocated_bytes, uint64_t cpu_ns);

// lm_room_after looks at the heap after a collection of all: what its blocks
// hold (used), what was known to be in them (accounted), and whether it came
// because they were all that a limit allows.
void lm_room_after(size_t used_bytes, size_t accounted_bytes, bool was_full);

// lm_room_cap returns the budget, or less of it where that much is not left under
// the limits with so many bytes alive. It never asks for so little that
// collecting would take more than half of the processor's time.
size_t lm_room_cap(size_t live_bytes, size_t budget_bytes);

// lm_room_gives_way says whether the last budget was that least.
bool lm_room_gives_way(void);

// lm_room_set_ceiling tells the pool of blocks where the soft limit is now.
void lm_room_set_ceiling(size_t live_bytes);

// lm_room_look asks the system, unless that was done less than least_ns ago,
// whether it is short of memory; true when it is, and memory should go back to
// it. One thread's only.
bool lm_room_look(uint64_t least_ns);

// lm_room_own_bytes returns the memory of the library's own tables.
size_t lm_room_own_bytes(void);

#endif // COLLECT_ROOM_H
