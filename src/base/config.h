// SPDX-License-Identifier: MIT
// base/config.h: the constants that shape the heap.
//
// A build with LM_TINY shrinks every constant that hides a path behind size,
// so that tests reach those paths: mark stacks overflow, stashes run dry and
// collections come every few kilobytes.

#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stddef.h>

// A block is 8 KiB. Larger blocks ran out of memory when the mix of sizes
// shifted; see docs/internals/decisions/0001.
#define LM_BLOCK_SHIFT 13
#define LM_BLOCK_BYTES ((size_t)1 << LM_BLOCK_SHIFT)

// A cell is at least 16 bytes, so a block has at most 512 of them.
#define LM_CELL_MAX_COUNT 512
#define LM_CELL_WORDS (LM_CELL_MAX_COUNT / 64)

// Pairs of type and cell size, each with a slot in every thread's table. The
// table is address space until touched: 1 MiB a thread.
#define LM_KIND_MAX 8192

// Address space for the heap unless LOAM_RESERVE says otherwise. It costs
// nothing until touched; 1 TiB leaves the rest of the 47 bits to others.
#define LM_RESERVE_BYTES ((size_t)1 << 40)
#define LM_RESERVE_MIN_BYTES ((size_t)4 << 20)

// The largest alignment of an object.
#define LM_ALIGN_MAX_BYTES ((size_t)1 << 30)

// Memory obtained from the system at a time: a huge page.
#define LM_COMMIT_BYTES ((size_t)2 << 20)

// What the handler of a full heap may take beyond the maximum: enough to make a
// message or to write a file, too little to matter.
#define LM_OOM_SPARE_BYTES ((size_t)256 << 10)

#ifdef LM_TINY
#define LM_HEAP_MIN_BYTES ((size_t)64 << 10)
#define LM_STASH_BLOCKS 1
#define LM_CHUNK_ENTRIES 16
#define LM_CHUNK_MAX_COUNT 4
#define LM_CHUNK_SLAB 4
#define LM_SLICE_BYTES 256
#define LM_MARK_SPLIT_ENTRIES 2
#define LM_MARK_LOOK_WORDS 4
#define LM_MARK_TEAM_BYTES 0
#define LM_NURSERY_BYTES ((size_t)128 << 10)
#define LM_REGION_SHIFT 3
#define LM_BESIDE_BYTES ((size_t)32 << 10)
#define LM_COMPACT_BLOCKS 2
#define LM_PACK_OBJECTS 2
#else
// Small enough not to be noticed, large enough that a program of a few
// megabytes is seldom collected; as Go's minimum.
#define LM_HEAP_MIN_BYTES ((size_t)4 << 20)
// Free blocks a thread holds: 64 KiB, a lock every eighth block.
#define LM_STASH_BLOCKS 8
// Words of a chunk of the mark stack: 16 KiB.
#define LM_CHUNK_ENTRIES 2046
// At most this many chunks (4 GiB of them) before a mark stack overflows.
#define LM_CHUNK_MAX_COUNT ((size_t)1 << 18)
// Chunks obtained from the system at a time: 1 MiB.
#define LM_CHUNK_SLAB 64
// Large objects are scanned in slices of this size.
#define LM_SLICE_BYTES ((size_t)16 << 10)
// A stack with fewer entries is not worth splitting, and a marker that has
// popped fewer words since its last look waits: a hungry helper with nothing
// but crumbs to eat only disturbs.
#define LM_MARK_SPLIT_ENTRIES 4
#define LM_MARK_LOOK_WORDS 512
// A heap this small is marked by one thread in less time than it takes to wake
// another.
#define LM_MARK_TEAM_BYTES ((size_t)1 << 20)
// What is allocated between minor collections: it and what it refers to stay in
// the last-level cache.
#define LM_NURSERY_BYTES ((size_t)16 << 20)
// Blocks of leaves and blocks with pointers share no region of so many: a huge
// page.
#define LM_REGION_SHIFT 8
// Marking less than this in a stop takes less than the pause target.
#define LM_BESIDE_BYTES ((size_t)1 << 20)
// At most so many blocks are emptied in one stop, whatever the time: 2 MiB.
#define LM_COMPACT_BLOCKS 256
// Objects that a cache keeps in one object of its own: half a KiB of them.
#define LM_PACK_OBJECTS 62
#endif

// A cache line, and the unit that two processors fight over.
#define LM_LINE_BYTES 64

// Threads that may be made to mark. Each has its counts, 8 bytes a kind.
#define LM_MARKERS_MAX 64

#endif // BASE_CONFIG_H
