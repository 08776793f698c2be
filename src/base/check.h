// SPDX-License-Identifier: MIT
// base/check.h: what happens when something is wrong, by whose fault it is.
//
//   the world   a status or NULL, never an abort: see api/status.h
//   the caller  lm_caller_error: what we saw, the rule, what to do; abort
//   us          LM_CHECK, lm_bug: the invariant that is broken; abort

#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include "base/settings.h"

#include <stdbool.h>

// lm_caller_error prints one message of three parts and aborts.
__attribute__((noreturn)) void lm_caller_error(const char *rule,
                                               const char *remedy,
                                               const char *saw_format, ...);

// lm_bug reports a broken invariant of ours and aborts.
__attribute__((noreturn)) void lm_bug(const char *invariant, const char *file,
                                      int line);

// LM_CHECK(level, condition, "block.2 …") aborts where the condition is false
// and checks of that level are on.
#define LM_CHECK(level, condition, invariant)                                  \
    do {                                                                       \
        if (lm_settings.check >= (level) && !(condition)) {                    \
            lm_bug(invariant, __FILE__, __LINE__);                             \
        }                                                                      \
    } while (0)

#define lm_likely(x) __builtin_expect(!!(x), 1)
#define lm_unlikely(x) __builtin_expect(!!(x), 0)

// Scanning reads memory of which the sanitizers think that it must not be
// read, or not without a lock: other threads' stacks, red zones, freed cells.
#define LM_NO_SANITIZE                                                         \
    __attribute__((no_sanitize("address"), no_sanitize("thread"),              \
                   no_sanitize("undefined")))

#endif // BASE_CHECK_H
