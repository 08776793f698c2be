// SPDX-License-Identifier: MIT
// place.h: what kind of run this is, and what the machine has.

#ifndef LOAM_TESTS_SUPPORT_PLACE_H
#define LOAM_TESTS_SUPPORT_PLACE_H

#include <stdbool.h>
#include <stddef.h>

// place_has_asan, place_has_tsan and place_has_valgrind say which checker
// this program runs under.
bool place_has_asan(void);
bool place_has_tsan(void);
bool place_has_valgrind(void);

// place_scaled returns count, or a tenth of it where everything is slow, and of
// that the LOAM_TEST_SCALE percent where it is set.
size_t place_scaled(size_t count);

// place_available_bytes returns how much memory can be had without swapping.
size_t place_available_bytes(void);

#endif // LOAM_TESTS_SUPPORT_PLACE_H
