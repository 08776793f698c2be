// SPDX-License-Identifier: MIT
// base/bits.h: words of bits.

#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stddef.h>
#include <stdint.h>

// lm_bits_low returns a word whose lowest n bits are set; n is at most 64.
static inline uint64_t lm_bits_low(unsigned n) {
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

// lm_bits_first returns the index of the lowest bit set; word is not 0.
static inline unsigned lm_bits_first(uint64_t word) {
    return (unsigned)__builtin_ctzll(word);
}

// lm_bits_last returns the index of the highest bit set; word is not 0.
static inline unsigned lm_bits_last(uint64_t word) {
    return 63 - (unsigned)__builtin_clzll(word);
}

// lm_bits_count returns how many bits are set.
static inline unsigned lm_bits_count(uint64_t word) {
    return (unsigned)__builtin_popcountll(word);
}

// lm_bits_valid returns the bits of the given word of a bitmap of n bits.
static inline uint64_t lm_bits_valid(unsigned n, unsigned word) {
    return n <= word * 64 ? 0 : lm_bits_low(n - word * 64);
}

// lm_round_up rounds n up to a multiple of unit, a power of two.
static inline size_t lm_round_up(size_t n, size_t unit) {
    return (n + unit - 1) & ~(unit - 1);
}

#endif // BASE_BITS_H
