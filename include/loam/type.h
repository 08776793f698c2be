// SPDX-License-Identifier: MIT
// loam/type.h: telling the collector where a struct keeps its pointers.
//
// An object made by loam_new(T) is scanned conservatively, word by word,
// unless this source file (or a header it includes) has described T:
//
//     struct node { struct node *left, *right; char *name; long count; };
//     LOAM_TYPE(struct node, left, right, name)
//
// Then only the named fields are looked at. A field may be
//   name              a pointer, or an array of pointers, also `inner.next`
//   LOAM_NESTED(f, U) a struct (or array of structs) that LOAM_TYPE describes
//   LOAM_FLEX(f)      a flexible array member of pointers
//   LOAM_FLEX_OF(f,U) a flexible array member of structs of type U
// A type without pointers is LOAM_TYPE_LEAF(T): its objects are never scanned.
// A type whose pointers are tagged or compressed is LOAM_TYPE_MARK(T, fn).
//
// Descriptions are found by the spelling of T within one source file: use the
// same words in LOAM_TYPE and loam_new. A description that is missing costs
// precision, never safety; a description that forgets a field loses objects.

#ifndef LOAM_TYPE_H
#define LOAM_TYPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct loam_type;   // a type that the runtime knows; never freed
struct loam_marker; // the collector, as a mark function sees it

// loam_mark_fn marks what one object refers to, by calling loam_mark for every
// pointer in it. It runs while the program is stopped, perhaps on several
// threads at once: it must not allocate, lock, write to the object or call
// into libc. `bytes` is the room the object has: at least what was asked for,
// and the excess is zero.
typedef void loam_mark_fn(struct loam_marker *marker, const void *object,
                          size_t bytes);

// loam_mark tells the collector that the object being marked refers to p, an
// address of or inside an object; anything else is ignored.
//
//   threads  only from a loam_mark_fn    collects  never    cost  about 5 ns
void loam_mark(struct loam_marker *marker, const void *p);

// enum loam_field_form says what a field holds.
enum loam_field_form {
    LOAM_FIELD_POINTERS = 0, // one pointer or an array of pointers
    LOAM_FIELD_NESTED = 1,   // one struct or an array of structs of a type
    LOAM_FIELD_FLEX = 2,     // pointers from here to the end of the object
    LOAM_FIELD_FLEX_OF = 3,  // structs of a type from here to the end
};

// struct loam_field describes one field of a type. LOAM_TYPE fills it in; a
// language implementation fills it in by hand for loam_type_define.
struct loam_field {
    size_t offset_bytes;          // where the field starts
    size_t size_bytes;            // its size; of one element for LOAM_FLEX_OF
    enum loam_field_form form;    // what it holds
    const char *type_name;        // described type of the elements, or NULL
    const struct loam_type *type; // the same, where it is at hand
};

// enum loam_scan says how the objects of a type are scanned.
enum loam_scan {
    LOAM_SCAN_FIELDS = 0,       // the fields listed
    LOAM_SCAN_LEAF = 1,         // not at all
    LOAM_SCAN_CONSERVATIVE = 2, // every aligned word that looks like a pointer
    LOAM_SCAN_MARK = 3,         // by the mark function
};

// struct loam_type_spec is what a type looks like before the runtime knows it.
struct loam_type_spec {
    const char *name;  // as reports show it
    size_t size_bytes; // of one object, without flexible array
    enum loam_scan scan;
    loam_mark_fn *mark;              // for LOAM_SCAN_MARK, else NULL
    const struct loam_field *fields; // for LOAM_SCAN_FIELDS
    size_t field_count;
    const void *unit; // the source file, set by LOAM_TYPE
    // 1: every store of a pointer into such an object goes through loam_store,
    // the first ones too; see loam/barrier.h.
    int is_barriered;
};

// loam_type_define makes a type known at run time and returns it. Everything
// in spec is copied. The same spec twice gives the same type. NULL with
// LOAM_BAD_ARGUMENT when a field lies outside the object, is misaligned, is
// not a whole number of pointers or elements, or a flexible field is not last.
//
//   threads  any       collects  never       cost  a lock and a table look-up
const struct loam_type *loam_type_define(const struct loam_type_spec *spec);

// loam_type_name returns the name a type was described with.
//
//   threads  any       collects  never       cost  a load
const char *loam_type_name(const struct loam_type *type);

// loam_new_of returns a zeroed object of a type, or NULL (see loam_alloc).
// `bytes` may exceed the type's size, for a flexible array member; 0 means the
// type's size.
//
//   threads  any       collects  may         cost  a few ns
void *loam_new_of(const struct loam_type *type, size_t bytes);

// loam_new_array_of returns `count` zeroed elements of a type, or NULL;
// a size that overflows is LOAM_TOO_LARGE.
//
//   threads  any       collects  may         cost  a few ns, and zeroing
void *loam_new_array_of(const struct loam_type *type, size_t count);

// loam_type_of returns the type of the object that p points at or into, or
// NULL when p is no object or its object was allocated without a type.
//
//   threads  any       collects  never       cost  about 2 ns
const struct loam_type *loam_type_of(const void *p);

// ---- The description of a type in a source file ----------------------------

// Where in the program a type is asked for; filled at the first call.
struct loam_site_ {
    uint32_t kind;       // index of the thread's slot, 0 until resolved
    uint32_t size_bytes; // of T
    const char *name;    // T as spelled
    const void *unit;    // this source file
    const struct loam_type_spec *const
        *specs_begin; // of this program or library
    const struct loam_type_spec *const *specs_end;
    const struct loam_type *type; // NULL until resolved
};

// The descriptions of one program or library lie in a section of pointers,
// which the linker delimits. Zero words in it are padding and are passed over.
extern const struct loam_type_spec *const __start_loam_types[]
    __attribute__((weak, visibility("hidden")));
extern const struct loam_type_spec *const __stop_loam_types[]
    __attribute__((weak, visibility("hidden")));

const struct loam_type *loam_site_type_(struct loam_site_ *site);

// One byte a source file, whose address tells descriptions of the same name in
// different files apart.
static const char loam_unit_ __attribute__((unused)) = 0;

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#define LOAM_SITE_(T)                                                          \
    {                                                                          \
        0, (uint32_t)sizeof(T), #T, &loam_unit_, __start_loam_types,           \
            __stop_loam_types, NULL                                            \
    }

#define LOAM_CAT_(a, b) LOAM_CAT2_(a, b)
#define LOAM_CAT2_(a, b) a##b

#define LOAM_TYPE_EMIT_(id, T, how, fn, fieldlist, count, barriered)           \
    static const struct loam_type_spec LOAM_CAT_(loam_spec_, id) = {           \
        #T, sizeof(T), how, fn, fieldlist, count, &loam_unit_, barriered};     \
    static const struct loam_type_spec *const LOAM_CAT_(loam_spec_at_, id)     \
        __attribute__((used, section("loam_types"))) =                         \
            &LOAM_CAT_(loam_spec_, id);

#define LOAM_TYPE_FIELDS_(id, barriered, T, ...)                               \
    static const struct loam_field LOAM_CAT_(loam_fields_, id)[] = {           \
        LOAM_EACH_(T, __VA_ARGS__)};                                           \
    LOAM_TYPE_EMIT_(id, T, LOAM_SCAN_FIELDS, NULL,                             \
                    LOAM_CAT_(loam_fields_, id),                               \
                    sizeof(LOAM_CAT_(loam_fields_, id)) /                      \
                        sizeof(LOAM_CAT_(loam_fields_, id)[0]),                \
                    barriered)

// loam_type_get(T) returns the type of T as LOAM_TYPE described it in this source
// file, or one that is scanned conservatively: for loam_new_of and for pools.
// NULL with loam_last_error where there is no memory for it.
//
//   threads  any       collects  never       cost  a load after the first time
#define loam_type_get(T)                                                       \
    (__extension__({                                                           \
        static struct loam_site_ loam_site_here_ = LOAM_SITE_(T);              \
        loam_site_type_(&loam_site_here_);                                     \
    }))

// LOAM_TYPE(T, field, ...) describes where T keeps its pointers, for up to 32
// fields. At file scope, without a semicolon, after T's definition.
#define LOAM_TYPE(T, ...) LOAM_TYPE_FIELDS_(__COUNTER__, 0, T, __VA_ARGS__)

// LOAM_TYPE_BARRIERED(T, field, ...) also says that all stores of pointers into
// a T go through loam_store; see loam/barrier.h.
#define LOAM_TYPE_BARRIERED(T, ...)                                            \
    LOAM_TYPE_FIELDS_(__COUNTER__, 1, T, __VA_ARGS__)

// LOAM_TYPE_LEAF(T) says that T holds no pointers into the heap.
#define LOAM_TYPE_LEAF(T)                                                      \
    LOAM_TYPE_EMIT_(__COUNTER__, T, LOAM_SCAN_LEAF, NULL, NULL, 0, 0)

// LOAM_TYPE_MARK(T, fn) says that fn, a loam_mark_fn, marks T's objects.
#define LOAM_TYPE_MARK(T, fn)                                                  \
    LOAM_TYPE_EMIT_(__COUNTER__, T, LOAM_SCAN_MARK, fn, NULL, 0, 0)

// LOAM_TYPE_MARK_BARRIERED(T, fn) is both.
#define LOAM_TYPE_MARK_BARRIERED(T, fn)                                        \
    LOAM_TYPE_EMIT_(__COUNTER__, T, LOAM_SCAN_MARK, fn, NULL, 0, 1)

// LOAM_NESTED(f, U): field f is a struct U or an array of U, described itself.
#define LOAM_NESTED(f, U) (LOAM_FIELD_NESTED, f, U)
// LOAM_FLEX(f): field f is a flexible array member of pointers.
#define LOAM_FLEX(f) (LOAM_FIELD_FLEX, f, void *)
// LOAM_FLEX_OF(f, U): field f is a flexible array member of U, described itself.
#define LOAM_FLEX_OF(f, U) (LOAM_FIELD_FLEX_OF, f, U)

// A field that starts with a parenthesis is one of the three forms above.
#define LOAM_FIELD_(T, x) LOAM_CAT_(LOAM_FIELD_FORM_, LOAM_IS_FORM_(x))(T, x),
#define LOAM_FIELD_FORM_0(T, f)                                                \
    { offsetof(T, f), sizeof(((T *)0)->f), LOAM_FIELD_POINTERS, NULL, NULL }
#define LOAM_FIELD_FORM_1(T, x) LOAM_FIELD_FORM_2(T, LOAM_UNWRAP_ x)
#define LOAM_FIELD_FORM_2(T, ...) LOAM_FIELD_FORM_3(T, __VA_ARGS__)
#define LOAM_FIELD_FORM_3(T, form, f, U)                                       \
    {                                                                          \
        offsetof(T, f), LOAM_FIELD_SIZE_##form(T, f, U), form, LOAM_TEXT_(U),  \
            NULL                                                               \
    }
#define LOAM_FIELD_SIZE_LOAM_FIELD_NESTED(T, f, U) sizeof(((T *)0)->f)
#define LOAM_FIELD_SIZE_LOAM_FIELD_FLEX(T, f, U) sizeof(void *)
#define LOAM_FIELD_SIZE_LOAM_FIELD_FLEX_OF(T, f, U) sizeof(U)
#define LOAM_TEXT_(U) #U
#define LOAM_UNWRAP_(...) __VA_ARGS__
#define LOAM_SECOND_(a, b, ...) b
#define LOAM_PROBE_(...) LOAM_SECOND_(__VA_ARGS__, 0, 0)
#define LOAM_IS_FORM_(x) LOAM_PROBE_(LOAM_FORM_SEEN_ x)
#define LOAM_FORM_SEEN_(...) ~, 1

#define LOAM_EACH_(T, ...)                                                     \
    LOAM_PICK_(__VA_ARGS__, LOAM_E32_, LOAM_E31_, LOAM_E30_, LOAM_E29_,        \
               LOAM_E28_, LOAM_E27_, LOAM_E26_, LOAM_E25_, LOAM_E24_,          \
               LOAM_E23_, LOAM_E22_, LOAM_E21_, LOAM_E20_, LOAM_E19_,          \
               LOAM_E18_, LOAM_E17_, LOAM_E16_, LOAM_E15_, LOAM_E14_,          \
               LOAM_E13_, LOAM_E12_, LOAM_E11_, LOAM_E10_, LOAM_E9_, LOAM_E8_, \
               LOAM_E7_, LOAM_E6_, LOAM_E5_, LOAM_E4_, LOAM_E3_, LOAM_E2_,     \
               LOAM_E1_, )                                                     \
    (T, __VA_ARGS__)
#define LOAM_PICK_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13,     \
                   a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, \
                   a26, a27, a28, a29, a30, a31, a32, pick, ...)               \
    pick
#define LOAM_E1_(T, x) LOAM_FIELD_(T, x)
#define LOAM_E2_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E1_(T, __VA_ARGS__)
#define LOAM_E3_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E2_(T, __VA_ARGS__)
#define LOAM_E4_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E3_(T, __VA_ARGS__)
#define LOAM_E5_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E4_(T, __VA_ARGS__)
#define LOAM_E6_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E5_(T, __VA_ARGS__)
#define LOAM_E7_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E6_(T, __VA_ARGS__)
#define LOAM_E8_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E7_(T, __VA_ARGS__)
#define LOAM_E9_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E8_(T, __VA_ARGS__)
#define LOAM_E10_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E9_(T, __VA_ARGS__)
#define LOAM_E11_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E10_(T, __VA_ARGS__)
#define LOAM_E12_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E11_(T, __VA_ARGS__)
#define LOAM_E13_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E12_(T, __VA_ARGS__)
#define LOAM_E14_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E13_(T, __VA_ARGS__)
#define LOAM_E15_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E14_(T, __VA_ARGS__)
#define LOAM_E16_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E15_(T, __VA_ARGS__)
#define LOAM_E17_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E16_(T, __VA_ARGS__)
#define LOAM_E18_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E17_(T, __VA_ARGS__)
#define LOAM_E19_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E18_(T, __VA_ARGS__)
#define LOAM_E20_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E19_(T, __VA_ARGS__)
#define LOAM_E21_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E20_(T, __VA_ARGS__)
#define LOAM_E22_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E21_(T, __VA_ARGS__)
#define LOAM_E23_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E22_(T, __VA_ARGS__)
#define LOAM_E24_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E23_(T, __VA_ARGS__)
#define LOAM_E25_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E24_(T, __VA_ARGS__)
#define LOAM_E26_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E25_(T, __VA_ARGS__)
#define LOAM_E27_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E26_(T, __VA_ARGS__)
#define LOAM_E28_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E27_(T, __VA_ARGS__)
#define LOAM_E29_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E28_(T, __VA_ARGS__)
#define LOAM_E30_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E29_(T, __VA_ARGS__)
#define LOAM_E31_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E30_(T, __VA_ARGS__)
#define LOAM_E32_(T, x, ...) LOAM_FIELD_(T, x) LOAM_E31_(T, __VA_ARGS__)

#endif // LOAM_TYPE_H
