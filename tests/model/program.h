// SPDX-License-Identifier: MIT
// program.h: a program over the heap, made from random numbers or from bytes.

#ifndef LOAM_TESTS_MODEL_PROGRAM_H
#define LOAM_TESTS_MODEL_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "support/chance.h"

// struct choice is where a program's decisions come from: the bytes from `at`
// to `end`, or chance where `at` is NULL.
struct choice {
    const uint8_t *at;
    const uint8_t *end;
    struct chance chance;
};

// program_run makes up to `step_limit` steps, fewer where the bytes end, and
// compares the heap with its shadow after each collection. Aborts where they
// differ, or where too much was retained.
void program_run(struct choice *choice, size_t step_limit);

#endif // LOAM_TESTS_MODEL_PROGRAM_H
