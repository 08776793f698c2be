// SPDX-License-Identifier: MIT
// mark/rescan.h: pages that were written, scanned again.

#ifndef MARK_RESCAN_H
#define MARK_RESCAN_H

#include "mark/stack.h"

#include <stdint.h>

// lm_rescan_pages puts on the stack that whole pages are to be scanned again, from
// start to end, each of them armed before: what this phase keeps there, which are
// objects that are marked, or old.
void lm_rescan_pages(struct loam_marker *m, uintptr_t start, uintptr_t end);

// lm_rescan_young puts on the stack that the old objects of a block that has young
// ones, too, are to be scanned again.
void lm_rescan_young(struct loam_marker *m, uint32_t block);

// lm_rescan_entry does what those have put there.
void lm_rescan_entry(struct loam_marker *m, uintptr_t entry);

#endif // MARK_RESCAN_H
