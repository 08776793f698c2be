// SPDX-License-Identifier: MIT
// chance.c: random numbers whose seed is printed and can be given again.

#include "support/chance.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t chance_seed(const char *test_name) {
    const char *given = getenv("LOAM_TEST_SEED");
    uint64_t seed = 1;
    if (given != NULL) {
        seed = strtoull(given, NULL, 0);
    } else if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) !=
               (ssize_t)sizeof seed) {
        seed = 1;
    }
    fprintf(stderr, "%s: LOAM_TEST_SEED=%llu\n", test_name,
            (unsigned long long)seed);
    return seed;
}

struct chance chance_start(uint64_t seed) {
    // Two rounds of splitmix64, so that neighbouring seeds differ at once and
    // the state is never zero.
    seed += UINT64_C(0x9E3779B97F4A7C15);
    seed = (seed ^ (seed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    seed = (seed ^ (seed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (struct chance){(seed ^ (seed >> 31)) | 1};
}

uint64_t chance_below(struct chance *chance, uint64_t limit) {
    // xorshift64*: Vigna, "An experimental exploration of Marsaglia's
    // xorshift generators, scrambled", 2016.
    uint64_t x = chance->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    chance->state = x;
    uint64_t high = (x * UINT64_C(0x2545F4914F6CDD1D)) >> 32;
    return limit <= UINT32_MAX ? (high * limit) >> 32 : x % limit;
}
