// SPDX-License-Identifier: MIT
// survivors.h: counting which objects outlived a collection.
//
// The collector scans stacks conservatively, so a dead object may be kept by
// a stale word. Tests make many objects in a function of their own, clear the
// stack, collect, and then ask how many are left: all, or next to none.

#ifndef LOAM_TESTS_SUPPORT_SURVIVORS_H
#define LOAM_TESTS_SUPPORT_SURVIVORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// How many of some hundred dropped objects may outlive a collection: stale
// words in dead frames of the test, of cmocka and of libc.
#define SURVIVORS_SLACK 8

#define OWN_FRAME __attribute__((noinline))

// hide and unhide turn a pointer into a word that is none, and back.
static inline uintptr_t hide(const void *p) {
    return ~(uintptr_t)p;
}

static inline void *unhide(uintptr_t hidden) {
    return (void *)~hidden; // NOLINT(performance-no-int-to-ptr)
}

// is_live says whether the object once at a hidden address is still there.
bool is_live(uintptr_t hidden);

// struct survivors is a list of hidden addresses, in malloc's memory.
struct survivors {
    uintptr_t *hidden;
    size_t count;
    size_t room;
};

struct survivors survivors_new(size_t room);
void survivors_free(struct survivors *list);
void survivors_note(struct survivors *list, const void *p);

// survivors_count returns how many of them are live objects. Ask right after
// a collection, before anything can be allocated in their place.
size_t survivors_count(const struct survivors *list);

// stack_clear overwrites the stack under the caller with zeroes.
void stack_clear(void);

// collect_clean clears the stack and collects.
void collect_clean(void);

// fill_place puts `count` objects of `bytes` bytes into place[] and notes
// them in list; each holds its index in every word.
void fill_place(void **place, size_t count, size_t bytes,
                struct survivors *list);

// is_place_intact says whether what fill_place wrote is still there.
bool is_place_intact(void *const *place, size_t count, size_t bytes);

// must ends the program where a condition does not hold. For threads and
// child processes, where cmocka's assertions cannot be used.
#define must(condition)                                                        \
    ((condition) ? (void)0 : must_fail(#condition, __FILE__, __LINE__))

_Noreturn void must_fail(const char *text, const char *file, int line);

#endif // LOAM_TESTS_SUPPORT_SURVIVORS_H
