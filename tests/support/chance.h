// SPDX-License-Identifier: MIT
// chance.h: random numbers whose seed is printed and can be given again.

#ifndef LOAM_TESTS_SUPPORT_CHANCE_H
#define LOAM_TESTS_SUPPORT_CHANCE_H

#include <stddef.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

// chance_seed returns LOAM_TEST_SEED where it is set and a new seed where it
// is not, and prints it with the name of the test that uses it.
uint64_t chance_seed(const char *test_name);

// chance_start begins the sequence of a seed.
struct chance chance_start(uint64_t seed);

// chance_below returns a number from 0 to limit - 1.
uint64_t chance_below(struct chance *chance, uint64_t limit);

#endif // LOAM_TESTS_SUPPORT_CHANCE_H
