// SPDX-License-Identifier: MIT
// phase.c: what the markers are about, and until when.

#include "mark/phase.h"

#include "os/clock.h"

struct lm_phase lm_phase;

// Somebody waits for the end of this marking; atomic.
static bool phase_is_hurried;

void lm_phase_set(bool is_minor, bool is_concurrent, uint64_t deadline_ns) {
    lm_phase.deadline_ns = deadline_ns;
    __atomic_store_n(&lm_phase.is_late, false, __ATOMIC_RELAXED);
    lm_phase.is_minor = is_minor;
    lm_phase.mark = 1 - lm_space.live;
    lm_phase.is_concurrent = lm_phase.can_hurry = is_concurrent;
    lm_phase.flag_mask = is_minor ? LM_BLOCK_TAKEN : 0;
    lm_phase.flag_want = is_minor ? (uint8_t)(2 * lm_space.cycle - 1) : 0;
}

void lm_phase_set_after(void) {
    lm_phase_set(false, true, 0);
    lm_phase.mark = lm_space.live;
    lm_phase.can_hurry = false; // each part is done to its end
}

void lm_phase_set_stopped(void) {
    lm_phase.is_concurrent = false;
}

void lm_phase_hurry(bool is_hurried) {
    __atomic_store_n(&phase_is_hurried, is_hurried, __ATOMIC_RELAXED);
}

bool lm_phase_is_hurried(void) {
    return __atomic_load_n(&phase_is_hurried, __ATOMIC_RELAXED);
}

// Who recovers lost words counts on an empty stack: so nothing that comes from
// outside may end a phase in a stop.
bool lm_phase_is_leaving(void) {
    return __atomic_load_n(&lm_phase.is_late, __ATOMIC_RELAXED) ||
           (lm_phase.can_hurry && lm_phase_is_hurried());
}

bool lm_phase_is_over(void) {
    if (lm_phase.deadline_ns && lm_clock_ns() > lm_phase.deadline_ns) {
        __atomic_store_n(&lm_phase.is_late, true, __ATOMIC_RELAXED);
    }
    return lm_phase_is_leaving();
}
