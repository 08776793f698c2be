// SPDX-License-Identifier: MIT
// room.c: the budget ends where the limit is, if that can be paid.
//
// What is left under a limit is what is not alive, less what blocks hold beside
// that: cells that nobody needs yet, and what was made while the last collection
// ran. How much that is, is learnt from one collection to the next.
//
// Where little is left, collections follow each other closely, and in the end a
// program would do nothing else. So each has to be paid for: the program gets as
// much processor time until the next one as the last one took, and the memory
// that it needs meanwhile, at the rate of late, wherever that leads (least_bytes).
// A soft limit gives way to that. A maximum does not, but before it refuses
// anything there is a collection in any case.

#include "collect/room.h"

#include "base/settings.h"
#include "heap/run.h"
#include "heap/space.h"
#include "mark/chunk.h"
#include "mark/team.h"
#include "os/clock.h"
#include "os/pressure.h"

// Less than that between two collections cannot pay.
#define ROOM_LEAST_BYTES (16 * LM_BLOCK_BYTES)

// The system is short of memory when in so many percent of the time some thread
// of the group waits for it.
#define ROOM_PRESSED 10

static struct {
    size_t loose_bytes; // in blocks, beside what is known to be there
    size_t least_bytes; // what a budget must have to pay for its collection
    // Since the last collection of all:
    size_t allocated_bytes;
    uint64_t collecting_ns; // processor time
    uint64_t process_ns;    // its count then
    uint64_t helper_ns;
    uint64_t looked_ns; // at the system
    bool is_pressed;    // atomic
    bool gives_way;     // the limit leaves less than a collection costs
} room;

static size_t room_setting(const size_t *setting) {
    // Relaxed: settings stand for themselves.
    return __atomic_load_n(setting, __ATOMIC_RELAXED);
}

bool lm_room_is_limited(void) {
    return room_setting(&lm_settings.heap_max) ||
           room_setting(&lm_settings.soft_limit);
}

size_t lm_room_own_bytes(void) {
    return lm_space_table_bytes() + lm_chunk_bytes();
}

// What the soft limit leaves for blocks.
static size_t room_soft(void) {
    size_t soft = room_setting(&lm_settings.soft_limit);
    size_t own = lm_room_own_bytes();
    return soft == 0 ? SIZE_MAX : soft > own ? soft - own : 0;
}

// What both limits leave for kinds with many blocks.
static size_t room_limit(void) {
    size_t max = room_setting(&lm_settings.heap_max);
    size_t soft = room_soft();
    size_t hard = max ? max - lm_run_kept_bytes() : SIZE_MAX;
    return hard < soft ? hard : soft;
}

void lm_room_spend(size_t allocated_bytes, uint64_t cpu_ns) {
    uint64_t helpers = lm_team_helper_cpu_ns();
    room.allocated_bytes += allocated_bytes;
    room.collecting_ns += cpu_ns;
    // After a fork it begins anew.
    room.collecting_ns +=
        helpers > room.helper_ns ? helpers - room.helper_ns : 0;
    room.helper_ns = helpers;
}

// What the program allocates in as much processor time as collecting took.
static void room_price(void) {
    uint64_t now = lm_clock_process_ns();
    // After a fork it begins anew.
    uint64_t whole = now > room.process_ns ? now - room.process_ns : now;
    uint64_t program =
        whole > room.collecting_ns ? whole - room.collecting_ns : 1;
    double least = (double)room.allocated_bytes * (double)room.collecting_ns /
                   (double)program;
    double most = (double)(SIZE_MAX / 4);
    size_t bytes = (size_t)(least < most ? least : most);
    // The average of late, but what was not allocated at all says nothing.
    if (room.allocated_bytes >= ROOM_LEAST_BYTES) {
        room.least_bytes =
            room.least_bytes ? room.least_bytes / 2 + bytes / 2 : bytes;
    }
    room.process_ns = now;
    room.allocated_bytes = 0;
    room.collecting_ns = 0;
}

void lm_room_after(size_t used_bytes, size_t accounted_bytes, bool was_full) {
    size_t loose =
        used_bytes > accounted_bytes ? used_bytes - accounted_bytes : 0;
    if (was_full) {
        // Nothing was left, so that is what could not be used.
        room.loose_bytes = loose;
    } else {
        // It is no more than that. Down slowly: too much of a guess costs a
        // little time, too little a stop.
        size_t less = room.loose_bytes - room.loose_bytes / 8;
        room.loose_bytes = loose < less ? loose : less;
    }
    room_price();
}

static size_t room_least(void) {
    return room.least_bytes > ROOM_LEAST_BYTES ? room.least_bytes
                                               : ROOM_LEAST_BYTES;
}

size_t lm_room_cap(size_t live_bytes, size_t budget_bytes) {
    size_t limit = room_limit();
    size_t taken = live_bytes + room.loose_bytes;
    size_t left = limit > taken ? limit - taken : 0;
    if (__atomic_load_n(&room.is_pressed, __ATOMIC_RELAXED)) {
        left = left < budget_bytes / 2 ? left : budget_bytes / 2;
    }
    room.gives_way = left < room_least();
    left = room.gives_way ? room_least() : left;
    return budget_bytes < left ? budget_bytes : left;
}

bool lm_room_gives_way(void) {
    return room.gives_way;
}

void lm_room_set_ceiling(size_t live_bytes) {
    size_t soft = room_soft();
    size_t taken = live_bytes + room.loose_bytes + room_least();
    lm_run_set_ceiling(soft == SIZE_MAX ? 0 : soft > taken ? soft : taken);
}

bool lm_room_look(uint64_t least_ns) {
    uint64_t now = lm_clock_ns();
    if (now - room.looked_ns < least_ns) {
        return false;
    }
    room.looked_ns = now;
    bool is_pressed = lm_pressure_watch() >= ROOM_PRESSED;
    __atomic_store_n(&room.is_pressed, is_pressed, __ATOMIC_RELAXED);
    return is_pressed;
}
