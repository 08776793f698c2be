// SPDX-License-Identifier: MIT
// api/handler.h: the program's signal handlers, behind ours.

#ifndef API_HANDLER_H
#define API_HANDLER_H

#include <stdbool.h>

// lm_handler_guard puts us before whatever the program does about SIGSEGV, from
// now on, to see the faults that os/track asks for.
void lm_handler_guard(void);

void lm_handler_fork_prepare(void);
void lm_handler_fork_done(bool in_child);

#endif // API_HANDLER_H
