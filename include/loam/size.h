// SPDX-License-Identifier: MIT
// loam/size.h: the cell sizes that small objects are rounded up to.
//
// An object of at most LOAM_SMALL_MAX bytes lives in a cell of an 8 KiB block.
// Cells grow in steps of 16 bytes up to 256, then so that a whole number of
// them fills a block with little left over. Larger objects get a run of whole
// blocks of their own.

#ifndef LOAM_SIZE_H
#define LOAM_SIZE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// LOAM_SMALL_MAX is the largest object that shares a block, in bytes.
#define LOAM_SMALL_MAX 8192

// LOAM_SIZE_CLASS_COUNT is how many cell sizes there are.
#define LOAM_SIZE_CLASS_COUNT 31

// loam_size_class_ returns the index of the smallest cell that holds bytes.
// For 1 <= bytes <= LOAM_SMALL_MAX. Written as an expression of constants so
// that a compiler computes it away where bytes is known.
//
// Internal to the inline allocator; programs do not call it.
static inline uint32_t loam_size_class_(size_t bytes) {
    if (bytes <= 256) {
        return (uint32_t)((bytes - 1) >> 4);
    }
    return bytes <= 320    ? 16
           : bytes <= 384  ? 17
           : bytes <= 448  ? 18
           : bytes <= 512  ? 19
           : bytes <= 576  ? 20
           : bytes <= 672  ? 21
           : bytes <= 816  ? 22
           : bytes <= 1024 ? 23
           : bytes <= 1168 ? 24
           : bytes <= 1360 ? 25
           : bytes <= 1632 ? 26
           : bytes <= 2048 ? 27
           : bytes <= 2720 ? 28
           : bytes <= 4096 ? 29
                           : 30;
}

// loam_cell_bytes_ returns the size of the cells of a class, in bytes.
//
// Internal to the inline allocator; programs do not call it.
static inline size_t loam_cell_bytes_(uint32_t size_class) {
    if (size_class < 16) {
        return ((size_t)size_class + 1) * 16;
    }
    return size_class == 16   ? 320
           : size_class == 17 ? 384
           : size_class == 18 ? 448
           : size_class == 19 ? 512
           : size_class == 20 ? 576
           : size_class == 21 ? 672
           : size_class == 22 ? 816
           : size_class == 23 ? 1024
           : size_class == 24 ? 1168
           : size_class == 25 ? 1360
           : size_class == 26 ? 1632
           : size_class == 27 ? 2048
           : size_class == 28 ? 2720
           : size_class == 29 ? 4096
                              : 8192;
}

#ifdef __cplusplus
}
#endif

#endif // LOAM_SIZE_H
