// SPDX-License-Identifier: MIT
// mark/lines.h: which lines of a block have changed since they were scanned.
//
// The system tells of written pages, in which most of 4 KiB is as it was. So
// when a written page is scanned beside the program, a fingerprint of each line
// of 256 bytes is kept, of its words and of which objects on it were marked; and
// next time only lines whose fingerprint has changed are scanned. It comes
// close to a barrier's precision at the price of reading.

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
// last, that are not as they were when they were last scanned. `words` is what
// the block holds, or held a moment ago; marks says which objects on each line
// are marked, and of which kind. is_kept keeps the new fingerprints: the caller
// scans these words.
uint32_t lm_lines_changed(size_t block, const uintptr_t *words,
                          const uint64_t marks[LM_MARK_LINES], unsigned first,
                          unsigned last, bool is_kept);

// lm_lines_forget drops a line's fingerprint: it will count as changed.
void lm_lines_forget(size_t block, unsigned line);

#endif // MARK_LINES_H
