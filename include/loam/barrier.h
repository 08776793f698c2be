// SPDX-License-Identifier: MIT
// loam/barrier.h: stores that the collector is told of.
//
// C programs need none of this: where the kernel can say which pages have been
// written, the collector asks it. An implementation of a language knows each of
// its stores, though, and can tell the collector itself, where the kernel
// cannot, or because it is exact. It describes its types with
// LOAM_TYPE_BARRIERED, or sets is_barriered of struct loam_type_spec, and stores
// pointers into objects of these types with loam_store only:
//
//     loam_store(&pair->head, value);
//
// Then the program may be run with LOAM_TRACK=barrier. On any other rung a
// loam_store is a store and a test that fails. Objects of other types may be
// stored to as ever: with LOAM_TRACK=barrier the collector looks at all of them
// each time, which is correct, and slow if there are many.

#ifndef LOAM_BARRIER_H
#define LOAM_BARRIER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_store_range is memmove, for pointers: from one object to another, or
// within one. What it moves between is never seen half moved by a collection.
//
//   threads  any       collects  never       cost  memmove
void loam_store_range(void *to, const void *from, size_t bytes);

// loam_touched says that `bytes` bytes at p, in one object, have been written by
// other means, as memcpy or a system call. Until it returns, what was written
// must lie somewhere else, too, where the collector looks.
//
//   threads  any       collects  never       cost  a byte for each 4 KiB
void loam_touched(const void *p, size_t bytes);

// What loam_store needs: a byte for each 4 KiB of the heap, or none on a rung
// that has no need of being told.
struct loam_barrier_ {
    unsigned char *cards; // atomic; NULL: no need
    uintptr_t base;
    size_t bytes;
};
extern struct loam_barrier_ loam_barrier_;

static inline void loam_note_(const void *at) {
    unsigned char *cards =
        __atomic_load_n(&loam_barrier_.cards, __ATOMIC_ACQUIRE);
    if (__builtin_expect(cards != NULL, 0)) {
        uintptr_t offset = (uintptr_t)at - loam_barrier_.base;
        if (offset < loam_barrier_.bytes) {
            // Release: the collector that sees the card sees the store.
            __atomic_store_n(&cards[offset >> 12], 1, __ATOMIC_RELEASE);
        }
    }
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

// loam_store(at, value) does *at = value, and notes it where the collector wants
// to be told. `at` is the address of a pointer, or of a word that a mark function
// takes for one, in an object or anywhere else; value is what may be assigned to
// it. Between the two steps the value is in a register, where a collection finds
// it.
//
//   threads  any       collects  never       cost  a store and a test
#define loam_store(at, value)                                                  \
    (__extension__({                                                           \
        __typeof__(&*(at)) loam_at_ = (at);                                    \
        __typeof__(*loam_at_) loam_value_ = (value);                           \
        typedef char                                                           \
            loam_is_word_[sizeof loam_value_ == sizeof(void *) ? 1 : -1]       \
            __attribute__((unused));                                           \
        __atomic_store_n(loam_at_, loam_value_, __ATOMIC_RELAXED);             \
        loam_note_(loam_at_);                                                  \
        __asm__ volatile("" : : "r"(loam_value_));                             \
    }))

#endif // LOAM_BARRIER_H
