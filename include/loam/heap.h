// SPDX-License-Identifier: MIT
// loam/heap.h: making objects, and asking about them.
//
// Every function here may be called from any thread, also from one that the
// runtime has not met before. A pointer to an object or into it keeps it alive,
// from a stack, a register, static or thread-local storage, or within the heap.
// From outside the heap a pointer one past the end does too, where loops make
// such pointers: for arrays, flexible arrays and untyped memory.

#ifndef LOAM_HEAP_H
#define LOAM_HEAP_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <loam/machine.h>
#include <loam/size.h>
#include <loam/type.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

// loam_init sets the heap up now instead of at the first allocation, and
// returns 0, or -1 with loam_last_error when no address range could be had.
// Calling it is optional, and harmless when done again.
//
//   threads  any       collects  never       cost  about 100 us, once
int loam_init(void);

// loam_shutdown ends the heap: helper threads stop, all memory is returned and
// every object is gone. Other threads must have stopped using it. Any later
// call that needs the heap is an error of the caller. Most programs never call
// it; leaving main is enough.
//
//   threads  one       collects  never       cost  returning the memory
void loam_shutdown(void);

// loam_alloc returns `bytes` zeroed bytes, aligned to 16, that are scanned
// conservatively: any aligned word in them that looks like a pointer to an
// object keeps that object. 0 bytes gives a distinct object all the same.
// NULL when there is no room: loam_last_error says what was asked, what is
// used and what is allowed.
//
//   threads  any       collects  may         cost  about 2 ns up to 8 KiB
void *loam_alloc(size_t bytes);

// loam_alloc_leaf returns `bytes` bytes, aligned to 16, that are never scanned
// and not zeroed: for strings, numbers, pixels. NULL as for loam_alloc.
//
//   threads  any       collects  may         cost  about 2 ns up to 8 KiB
void *loam_alloc_leaf(size_t bytes);

// loam_alloc_leaf_zeroed is loam_alloc_leaf with the bytes zeroed.
//
//   threads  any       collects  may         cost  as loam_alloc
void *loam_alloc_leaf_zeroed(size_t bytes);

// loam_alloc_aligned is loam_alloc with the object aligned to `align` bytes, a
// power of two of at most 1 GiB. NULL with LOAM_BAD_ARGUMENT for another.
//
//   threads  any       collects  may         cost  as loam_alloc
void *loam_alloc_aligned(size_t align, size_t bytes);

// loam_alloc_leaf_aligned is the same for memory that is never scanned.
//
//   threads  any       collects  may         cost  as loam_alloc_leaf
void *loam_alloc_leaf_aligned(size_t align, size_t bytes);

// loam_realloc returns an object of `bytes` bytes that starts with what p held
// and is scanned and typed as p was: p itself where it fits or can grow in
// place. New bytes are zero unless p is a leaf. Where the object moved, the
// old one is freed, so p must not be used. p may be NULL (loam_alloc). NULL
// when there is no room, and then p is as it was. A p that is no object is an
// error of the caller.
//
//   threads  any       collects  may         cost  at most a copy
void *loam_realloc(void *p, size_t bytes);

// loam_free says that p will not be used again; its memory is reused at once.
// Never needed, sometimes quicker. NULL is ignored. A pointer that is no
// object, points inside one, or was freed already is an error of the caller:
// one message, then abort.
//
//   threads  any       collects  never       cost  about 5 ns
void loam_free(void *p);

// loam_strdup returns a copy of a string in a leaf object, or NULL.
//
//   threads  any       collects  may         cost  a copy
char *loam_strdup(const char *text);

// loam_strndup returns a copy of at most `bytes` bytes of a string, closed
// with a zero byte, in a leaf object, or NULL.
//
//   threads  any       collects  may         cost  a copy
char *loam_strndup(const char *text, size_t bytes);

// loam_memdup returns a leaf object that holds a copy of `bytes` bytes.
//
//   threads  any       collects  may         cost  a copy
void *loam_memdup(const void *from, size_t bytes);

// loam_printf formats as printf does into a leaf object of the right size and
// returns it, or NULL (no room, or a format that printf rejects).
//
//   threads  any       collects  may         cost  formatting twice at most
char *loam_printf(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

// loam_vprintf is loam_printf with its arguments in a va_list.
//
//   threads  any       collects  may         cost  as loam_printf
char *loam_vprintf(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

// loam_size_of returns how many bytes the object at p has room for (at least
// what was asked for), or 0 when p is not the start of an object.
//
//   threads  any       collects  never       cost  about 2 ns
size_t loam_size_of(const void *p);

// loam_base_of returns the start of the object that p points at or into, or
// NULL when it is none.
//
//   threads  any       collects  never       cost  about 2 ns
void *loam_base_of(const void *p);

// ---- The inline allocator ---------------------------------------------------
//
// Each thread has a table of slots, one a kind of object. A slot is a stretch
// of free cells, zeroed where the kind wants it, in one word: the address of
// the next cell, and above bit 48 how many there are. Taking a cell adds its
// size and takes one off the count, in one step; the word as it was before says
// whether there was one to take. So nothing that happens between two steps, be
// it a collection or a signal handler that allocates too, can mislead it.
// Where there was none loam_slot_slow_ finds the next stretch, sweeps,
// collects, or says no.

struct loam_slot_ {
    uintptr_t stretch;
    uintptr_t rest_[15];
};

#define LOAM_STRETCH_SHIFT_ 48

// The calling thread's slots; a thread that the runtime has not met has a
// table whose every slot is empty. The initial-exec model makes the access one
// load, and the word is small enough for the loader's reserve, so the library
// can be opened with dlopen too.
extern __thread struct loam_slot_ *loam_slots_
    __attribute__((tls_model("initial-exec")));

void *loam_slot_slow_(uint32_t kind, size_t bytes);
void *loam_site_slow_(struct loam_site_ *site);
void *loam_site_sized_(struct loam_site_ *site, size_t bytes);
void *loam_site_array_(struct loam_site_ *site, size_t count);

// Returns the address of a cell taken off a slot, or 0. The collector knows the
// word before it is taken apart, in a register or on a stack.
static inline uintptr_t loam_slot_claim_(struct loam_slot_ *slot,
                                         size_t cell_bytes) {
    uintptr_t before = loam_claim_(
        &slot->stretch, cell_bytes - ((uintptr_t)1 << LOAM_STRETCH_SHIFT_));
    if (__builtin_expect((intptr_t)before >> LOAM_STRETCH_SHIFT_ > 0, 1)) {
        uintptr_t cell =
            loam_strip_(before, ((uintptr_t)1 << LOAM_STRETCH_SHIFT_) - 1);
        if (cell == 0) {
            __builtin_unreachable(); // so that no caller asks again
        }
        return cell;
    }
    return 0;
}

static inline void *loam_slot_take_(uint32_t kind, size_t cell_bytes,
                                    size_t bytes) {
    uintptr_t p = loam_slot_claim_(&loam_slots_[kind], cell_bytes);
    return __builtin_expect(p != 0, 1) ? (void *)p
                                       : loam_slot_slow_(kind, bytes);
}

// The first kinds are those of untyped memory: two to a size class.
#define LOAM_KIND_RAW_(size_class) (1 + 2 * (size_class))
#define LOAM_KIND_LEAF_(size_class) (2 + 2 * (size_class))

static inline void *loam_alloc_inline_(size_t bytes) {
    if (__builtin_constant_p(bytes) && bytes - 1 < LOAM_SMALL_MAX) {
        uint32_t c = loam_size_class_(bytes);
        return loam_slot_take_(LOAM_KIND_RAW_(c), loam_cell_bytes_(c), bytes);
    }
    return (loam_alloc)(bytes);
}

static inline void *loam_alloc_leaf_inline_(size_t bytes) {
    if (__builtin_constant_p(bytes) && bytes - 1 < LOAM_SMALL_MAX) {
        uint32_t c = loam_size_class_(bytes);
        return loam_slot_take_(LOAM_KIND_LEAF_(c), loam_cell_bytes_(c), bytes);
    }
    return (loam_alloc_leaf)(bytes);
}

static inline void *loam_site_new_(struct loam_site_ *site, size_t bytes) {
    if (bytes <= LOAM_SMALL_MAX) {
        // Relaxed: a stale 0 only means that the site is looked up again, and
        // a slot of a kind is empty until this thread has learned of it.
        uint32_t kind = __atomic_load_n(&site->kind, __ATOMIC_RELAXED);
        size_t cell = loam_cell_bytes_(loam_size_class_(bytes));
        uintptr_t p = loam_slot_claim_(&loam_slots_[kind], cell);
        if (__builtin_expect(p != 0, 1)) {
            return (void *)p;
        }
    }
    return loam_site_slow_(site);
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#define loam_alloc(bytes) loam_alloc_inline_(bytes)
#define loam_alloc_leaf(bytes) loam_alloc_leaf_inline_(bytes)

// loam_new(T) returns a zeroed T, scanned as LOAM_TYPE described it and
// conservatively if nothing did. NULL as for loam_alloc.
//
//   threads  any       collects  may         cost  about 2 ns
#define loam_new(T)                                                            \
    (__extension__({                                                           \
        static struct loam_site_ loam_site_here_ = LOAM_SITE_(T);              \
        (T *)loam_site_new_(&loam_site_here_, sizeof(T));                      \
    }))

// loam_new_array(T, n) returns n zeroed elements of T in one object, or NULL;
// a size that overflows is LOAM_TOO_LARGE.
//
//   threads  any       collects  may         cost  about 5 ns, and zeroing
#define loam_new_array(T, n)                                                   \
    (__extension__({                                                           \
        static struct loam_site_ loam_site_here_ = LOAM_SITE_(T);              \
        (T *)loam_site_array_(&loam_site_here_, (n));                          \
    }))

// loam_new_flex(T, field, n) returns a zeroed T whose flexible array member
// `field` has n elements, or NULL; a size that overflows is LOAM_TOO_LARGE.
//
//   threads  any       collects  may         cost  about 5 ns, and zeroing
#define loam_new_flex(T, field, n)                                             \
    (__extension__({                                                           \
        static struct loam_site_ loam_site_here_ = LOAM_SITE_(T);              \
        (T *)loam_site_sized_(&loam_site_here_,                                \
                              loam_flex_bytes_(offsetof(T, field),             \
                                               sizeof(((T *)0)->field[0]),     \
                                               (n)));                          \
    }))

// The size of a struct with n elements of a flexible array; SIZE_MAX where
// that overflows, which no heap can hold.
static inline size_t loam_flex_bytes_(size_t offset, size_t element, size_t n) {
    size_t bytes;
    if (__builtin_mul_overflow(element, n, &bytes) ||
        __builtin_add_overflow(bytes, offset, &bytes)) {
        return SIZE_MAX;
    }
    return bytes;
}

#endif // LOAM_HEAP_H
