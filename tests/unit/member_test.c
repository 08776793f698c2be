// SPDX-License-Identifier: MIT
// member_test.c: world/member.h.

#include "world/member.h"

#include "support/framework.h"

#include <string.h>

// A preserved register, as a program may have its only reference in it.
#if defined(__x86_64__)
#define REGISTER "rbx"
#else
#define REGISTER "x19"
#endif
#define WORD ((uintptr_t)0x5eed5eed5eed5eed)

static bool is_noted(const struct lm_member *m, uintptr_t high) {
    for (unsigned i = 0; i < LM_MACHINE_REGISTERS; i++) {
        if (m->home.registers[i] == WORD) {
            return true;
        }
    }
    for (uintptr_t p = m->home.sp; p < high; p += sizeof(uintptr_t)) {
        uintptr_t word;
        memcpy(&word, (const void *)p, sizeof word); // NOLINT
        if (word == WORD) {
            return true;
        }
    }
    return false;
}

// The frames below this one's, as lm_member_note's was, lie between the stack that
// is noted and `here`.
__attribute__((noinline)) static bool note_keeps_a_register(
    struct lm_member *m) {
    uintptr_t here = lm_machine_sp();
    register uintptr_t kept __asm__(REGISTER) = WORD;
    __asm__ volatile("" : "+r"(kept));
    lm_member_note(m);
    // Before anything writes to where those frames were.
    static struct lm_member noted;
    static uintptr_t below[64];
    noted = *m;
    for (unsigned i = 0; i < 64 && m->home.sp + 8 * i < here; i++) {
        below[i] = *(const volatile uintptr_t *)(m->home.sp + 8 * i); // NOLINT
    }
    __asm__ volatile("" : : "r"(kept));
    noted.home.sp = (uintptr_t)below;
    return is_noted(&noted, (uintptr_t)(below + 64));
}

// It saved the caller's register in its frame, put its own there, and noted a stack
// that began above.
static void a_noted_stack_has_what_the_registers_held(void **state) {
    (void)state;
    static struct lm_member m;
    m.home.low = 0;
    m.home.high = UINTPTR_MAX;
    assert_true(note_keeps_a_register(&m));
}

// Deeper frames note nothing while the note is kept, and are not scanned.
__attribute__((noinline)) static void note_deeper(struct lm_member *m) {
    volatile char frame[256];
    frame[0] = 0;
    lm_member_note(m);
    frame[1] = frame[0];
}

static void a_kept_note_ends_at_the_frame_that_keeps_it(void **state) {
    (void)state;
    static struct lm_member m;
    uintptr_t here = lm_machine_sp();
    m.home.low = 0;
    m.home.high = UINTPTR_MAX;
    lm_member_note_keep(&m);
    note_deeper(&m);
    assert_true(m.home.sp >= here);
    lm_member_note_drop(&m);
    note_deeper(&m);
    assert_true(m.home.sp < here);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_noted_stack_has_what_the_registers_held),
        cmocka_unit_test(a_kept_note_ends_at_the_frame_that_keeps_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
