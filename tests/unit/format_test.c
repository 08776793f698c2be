// SPDX-License-Identifier: MIT
// format_test.c: base/format.h.

#include "base/format.h"

#include "support/framework.h"

#include <stdint.h>
#include <string.h>

static char text[64];

static void numbers_come_out_in_their_base(void **state) {
    (void)state;
    lm_format(text, sizeof text, "%d %u %x %lu %zu", -7, 7u, 255u, UINT64_MAX,
              (size_t)12);
    assert_string_equal(text, "-7 7 ff 18446744073709551615 12");
}

static void a_size_is_shown_as_a_person_reads_it(void **state) {
    (void)state;
    const struct {
        size_t bytes;
        const char *shown;
    } cases[] = {{0, "0B"},
                 {1023, "1023B"},
                 {1024, "1.0K"},
                 {1536, "1.5K"},
                 {(size_t)41 << 20, "41.0M"},
                 {(size_t)3 << 40, "3.0T"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lm_format(text, sizeof text, "%B", cases[i].bytes);
        assert_string_equal(text, cases[i].shown);
    }
}

static void thousandths_are_rounded_to_hundredths(void **state) {
    (void)state;
    lm_format(text, sizeof text, "%F %F %F", (uint64_t)12404, (uint64_t)12405,
              (uint64_t)5);
    assert_string_equal(text, "12.40 12.41 0.01");
}

static void long_text_is_cut_and_its_length_told(void **state) {
    (void)state;
    char small[4] = "abc";
    assert_int_equal(lm_format(small, sizeof small, "%s", "12345"), 5);
    assert_string_equal(small, "123");
}

static void a_null_string_and_a_percent_are_no_trap(void **state) {
    (void)state;
    lm_format(text, sizeof text, "%s 100%%", (const char *)NULL);
    assert_string_equal(text, "(null) 100%");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_out_in_their_base),
        cmocka_unit_test(a_size_is_shown_as_a_person_reads_it),
        cmocka_unit_test(thousandths_are_rounded_to_hundredths),
        cmocka_unit_test(long_text_is_cut_and_its_length_told),
        cmocka_unit_test(a_null_string_and_a_percent_are_no_trap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
