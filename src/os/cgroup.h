// SPDX-License-Identifier: MIT
// os/cgroup.h: what the container allows.
//
// A process belongs to a control group, which may limit its memory, and so may
// every group above. Linux has two versions of these; both are read.

#ifndef OS_CGROUP_H
#define OS_CGROUP_H

#include <stddef.h>

#define LM_CGROUP_PATH 1024

enum lm_cgroup_version { LM_CGROUP_NONE, LM_CGROUP_V1, LM_CGROUP_V2 };

struct lm_cgroup {
    enum lm_cgroup_version version; // LM_CGROUP_NONE: nothing could be read
    size_t max;                     // memory.max, bytes; SIZE_MAX: none
    size_t high;                    // memory.high, the same; of version 2 only
    char folder[LM_CGROUP_PATH];    // of the process's own group; "" for none
    char why[256];                  // in words
};

// lm_cgroup_read finds the smallest limits of the process's group and of all
// above it. Root is "", or for tests a folder with a proc and a sys of its own.
void lm_cgroup_read(const char *root, struct lm_cgroup *group);

#endif // OS_CGROUP_H
