// SPDX-License-Identifier: MIT
// calls_fuzz.c: a program over the heap, made from a fuzzer's bytes.

#include <loam.h>

#include "model/program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    // A small heap, so that a short input meets collections and limits.
    loam_heap_min_set((size_t)1 << 18);
    loam_heap_max_set((size_t)64 << 20);
    struct choice choice = {data, data + size, {1}};
    if (size > 0) {
        program_run(&choice, 20000);
    }
    return 0;
}
