// SPDX-License-Identifier: MIT
// mark/lines.h: which lines of a block have changed since they were scanned.
//
// The system tells of written pages, in which most of 4 KiB is as it was. So
// when a written page is scanned again, a fingerprint of each line of 256 bytes is
// kept, of its words and of which objects on it were marked; and next time only
// lines whose fingerprint has changed are scanned. It comes close to a barrier's
// precision at the price of reading.

#ifndef MARK_LINES_H
#define MARK_LINES_H

#include "base/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LM_MARK_LINE_BYTES 256
#define LM_MARK_LINES (LM_BLOCK_BYTES / LM_MARK_LINE_BYTES) // in a block

// lm_lines_begin forgets all fingerprints: a new marking. The first takes
// address space for them; where that is refused every line counts as changed.
void lm_lines_begin(void);
void lm_lines_fini(void);

// lm_lines_discard gives the memory of fingerprints back to the system. Nobody is
// marking.
void lm_lines_discard(void);

// lm_lines_changed returns the lines of a block, a bit each, from first up to
// last, that are not as they were when their fingerprint was kept, or have none.
// `words` is what the block holds, or held a moment ago; marks says which objects
// on each line are marked, and of which kind. The new fingerprints are put into
// prints, for lm_lines_keep.
uint32_t lm_lines_changed(size_t block, const uintptr_t *words,
                          const uint64_t marks[LM_MARK_LINES], unsigned first,
                          unsigned last, uint64_t prints[LM_MARK_LINES]);

// lm_lines_keep keeps the fingerprints of some lines: the caller scans them as
// they were then, and all they lead to is an object (lines.1).
void lm_lines_keep(size_t block, uint32_t which,
                   const uint64_t prints[LM_MARK_LINES]);

#endif // MARK_LINES_H
