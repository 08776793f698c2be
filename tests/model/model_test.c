// SPDX-License-Identifier: MIT
// model_test.c: random programs held against a naive oracle.

#include <loam.h>
#include <stdlib.h>

#include "model/program.h"
#include "support/framework.h"
#include "support/place.h"

static void run_random(uint64_t seed, size_t step_count) {
    struct choice choice = {NULL, NULL, chance_start(seed)};
    program_run(&choice, step_count);
}

static void the_heap_agrees_with_the_oracle(void **state) {
    (void)state;
    uint64_t seed = chance_seed("model");
    for (size_t i = 0; i < place_scaled(20); i++) {
        run_random(seed + i, 4000);
    }
}

static void the_heap_agrees_when_it_collects_all_the_time(void **state) {
    (void)state;
    size_t min = loam_heap_min_get();
    loam_heap_min_set(1);
    loam_growth_set(1);
    uint64_t seed = chance_seed("model, tight");
    for (size_t i = 0; i < place_scaled(10); i++) {
        run_random(seed + i, 4000);
    }
    loam_heap_min_set(min);
    loam_growth_set(100);
}

static void the_heap_agrees_when_it_is_full(void **state) {
    (void)state;
    loam_heap_max_set((size_t)4 << 20);
    uint64_t seed = chance_seed("model, full");
    for (size_t i = 0; i < place_scaled(10); i++) {
        run_random(seed + i, 4000);
    }
    loam_heap_max_set(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_agrees_with_the_oracle),
        cmocka_unit_test(the_heap_agrees_when_it_collects_all_the_time),
        cmocka_unit_test(the_heap_agrees_when_it_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
