// SPDX-License-Identifier: MIT
// heap/type.h: the types the runtime knows, and where their pointers are.
//
// Whatever a program describes is brought to one form, a layout: pointers at
// fixed offsets, then a pattern of offsets that repeats to the end of the
// object. A struct has no pattern, an array nothing but one, conservative
// memory the pattern "a word", a leaf neither.

#ifndef HEAP_TYPE_H
#define HEAP_TYPE_H

#include <loam/counted.h>
#include <loam/status.h>
#include <loam/type.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_span is a row of adjacent words that hold pointers.
struct lm_span {
    uint32_t offset_bytes;
    uint32_t word_count;
};

struct lm_layout {
    const struct lm_span *fixed; // ascending
    size_t fixed_count;
    const struct lm_span *repeat; // offsets within one repetition, ascending
    size_t repeat_count;
    size_t repeat_start_bytes;  // where the pattern begins
    size_t repeat_stride_bytes; // how long one repetition is
    loam_mark_fn *mark;         // instead of all that, or NULL
};

// struct lm_death is how the counted objects of a type die.
struct lm_death {
    loam_dispose_fn *dispose;    // or NULL
    const struct lm_span *owned; // released after it; offsets from the count
    size_t owned_count;
    size_t owned_flex_bytes; // owned to the end from there on; 0: none
    uint32_t handed_count;   // see struct loam_counted_site_; atomic
};

// The public, opaque struct loam_type.
struct loam_type {
    const char *name;
    size_t size_bytes;
    enum loam_scan scan;
    bool is_barriered;       // stores into it go through loam_store
    struct lm_layout single; // one object, perhaps with a flexible array
    struct lm_layout array;  // elements from start to end
    uint32_t lead_bytes;     // of the count, in front of what the program knows
    struct lm_death death;   // of counted objects
    bool is_exact;           // its layouts name pointers and nothing else
    uint16_t number;         // in the order of definition, from 1
    uint64_t identity;       // hash of the description
    const void *unit;        // source file of the description, or NULL
    // Kinds of this type by size class, 0 until there is one; atomic. The last
    // is for large objects. Owned by heap/kind.c.
    uint16_t kind_single[32];
    uint16_t kind_array[32];
    struct loam_type *next; // in the list of all types
};

// The two types of untyped memory.
extern struct loam_type lm_type_raw;
extern struct loam_type lm_type_leaf;

// lm_type_init makes the two.
void lm_type_init(void);

// lm_type_fini forgets all types and returns their memory.
void lm_type_fini(void);

// lm_type_define checks a description and returns its type. On failure *why
// says how and message has the details.
const struct loam_type *lm_type_define(const struct loam_type_spec *spec,
                                       enum loam_status *why, char *message,
                                       size_t room);

// lm_type_resolve returns the type that a place in a source file names, or
// lm_type_raw where no description is found. NULL as lm_type_define.
const struct loam_type *lm_type_resolve(const struct loam_site_ *site,
                                        enum loam_status *why, char *message,
                                        size_t room);

// lm_type_resolve_counted is the same for counted objects: the type has a count
// in front, whose first word is a pointer field too, for those that wait to die.
const struct loam_type *lm_type_resolve_counted(
    const struct loam_counted_site_ *site, enum loam_status *why, char *message,
    size_t room);

// lm_type_has_pointer says whether a layout has a pointer at an offset.
bool lm_type_has_pointer(const struct lm_layout *layout, size_t offset_bytes);

// lm_type_count returns how many types have been defined.
size_t lm_type_count(void);

// For a child after fork.
void lm_type_fork_prepare(void);
void lm_type_fork_done(bool in_child);

#endif // HEAP_TYPE_H
