// SPDX-License-Identifier: MIT
// base/settings.h: what may be set from outside, as plain data.
//
// api/settings.c reads the environment into it before anything else runs;
// everybody else only reads it. The fields that the API changes at run time
// are read and written with relaxed atomics: each stands for itself.

#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lm_toggle { LM_AUTO = 0, LM_ON = 1, LM_OFF = 2 };

// The rungs of write tracking; see os/track.h.
enum lm_track_rung {
    LM_TRACK_AUTO,
    LM_TRACK_KERNEL,
    LM_TRACK_BARRIER,
    LM_TRACK_MPROTECT,
    LM_TRACK_NONE,
};

// When objects are moved together.
enum lm_compact_mode { LM_COMPACT_REQUEST, LM_COMPACT_AUTO, LM_COMPACT_OFF };

// What an allocation does when nothing has helped.
enum lm_oom_action { LM_OOM_NULL, LM_OOM_EXIT, LM_OOM_ABORT };

// struct lm_share is a limit as it was given: bytes, or a share of the memory
// that is available, or nothing.
struct lm_share {
    size_t bytes;     // where percent is 0; 0: no limit
    unsigned percent; // 1 to 100, or 0
    bool is_set;      // else it is ours to choose
};

struct lm_settings {
    // As given; collect/limit.c makes heap_max and soft_limit of it.
    struct lm_share heap_max_share;
    struct lm_share soft_limit_share;
    enum lm_toggle container; // whether its limits count; never LM_ON; atomic
    size_t heap_max;          // bytes, 0: no limit; atomic
    size_t soft_limit;        // bytes, 0: none; atomic
    size_t oom_spare;         // bytes past heap_max for the handler; atomic
    enum lm_oom_action on_oom;
    int oom_status;       // to exit with
    const char *oom_dump; // where the report of that moment goes, or NULL
    size_t heap_min;      // bytes; atomic
    unsigned growth;      // percent over live; atomic
    bool is_growth_fixed; // it was set, and is not to be exceeded; atomic
    unsigned markers;     // threads that mark, 0: by the processors
    enum lm_toggle huge_pages;
    enum lm_track_rung track;   // the rung wanted
    enum lm_toggle concurrent;  // mark while the program runs
    enum lm_toggle generations; // collect what is new by itself
    enum lm_compact_mode compact;
    uint64_t pause_target_ns;   // a pause should not be longer; 0: ours
    uint64_t finalizer_slow_ns; // one that takes longer is reported; 0: none
    bool keep_unreachable;      // list what has died and do not free it
    bool finalize_at_exit;      // all that are left are called; atomic
    unsigned check;             // level of checks, 0 to 3
    unsigned torture_collect;   // collect at every Nth slow allocation
    unsigned torture_refuse;    // refuse every Nth request to the system
    unsigned torture_yield;     // yield at every Nth slow allocation
    int signal;                 // that stops threads, 0: ours to choose
    size_t reserve;             // bytes of address space, 0: ours to choose
    int log_gc;                 // a line a collection
    int log_track;              // which rung is taken, and why
    int log_limits;             // what the limits are, and why
    const char *report;         // where the report at exit goes, or NULL
};

extern struct lm_settings lm_settings;

#endif // BASE_SETTINGS_H
