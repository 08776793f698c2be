// SPDX-License-Identifier: MIT
// api/status.h: setting what loam/status.h reads.

#ifndef API_STATUS_H
#define API_STATUS_H

#include <loam/status.h>

// lm_status_set notes why the calling thread's call failed.
void lm_status_set(enum loam_status status, const char *format, ...);

#endif // API_STATUS_H
