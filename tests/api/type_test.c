// SPDX-License-Identifier: MIT
// type_test.c: what described types keep, and what they do not.

#include <loam.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/framework.h"
#include "support/survivors.h"

#define COUNT 200

struct mixed {
    void *first;
    uintptr_t hidden_from_the_collector;
    void *pair[2];
    uintptr_t another;
};
LOAM_TYPE(struct mixed, first, pair)

struct inner {
    long number;
    void *pointer;
    uintptr_t word;
};
LOAM_TYPE(struct inner, pointer)

struct outer {
    uintptr_t head;
    struct inner one;
    struct inner many[3];
    struct {
        uintptr_t word;
        void *next;
    } plain;
};
LOAM_TYPE(struct outer, LOAM_NESTED(one, struct inner),
          LOAM_NESTED(many, struct inner), plain.next)

struct flex {
    uintptr_t word;
    void *tail[];
};
LOAM_TYPE(struct flex, LOAM_FLEX(tail))

struct flex_of {
    uintptr_t word;
    struct inner tail[];
};
LOAM_TYPE(struct flex_of, LOAM_FLEX_OF(tail, struct inner))

struct numbers {
    uintptr_t words[8];
};
LOAM_TYPE_LEAF(struct numbers)

struct tagged {
    uintptr_t tagged[4]; // The low three bits are a tag, the top bit is set.
    uintptr_t plain[4];
};

static void mark_tagged(struct loam_marker *marker, const void *object,
                        size_t bytes) {
    const uintptr_t *words = object;
    // An array of them is one object.
    for (size_t i = 0; i + 8 <= bytes / sizeof *words; i += 8) {
        for (size_t j = 0; j < 4; j++) {
            uintptr_t address = (words[i + j] << 1 >> 1) & ~(uintptr_t)7;
            // NOLINTNEXTLINE(performance-no-int-to-ptr)
            loam_mark(marker, (const void *)address);
        }
    }
}
LOAM_TYPE_MARK(struct tagged, mark_tagged)

struct flex_two {
    uintptr_t head[2];
    void *tail[];
};
LOAM_TYPE(struct flex_two, LOAM_FLEX(tail))

struct whole { // It fills its cell.
    void *pointers[4];
};
LOAM_TYPE(struct whole, pointers)

struct undescribed {
    uintptr_t words[4];
};

// make_hidden returns the address of a new object of 48 bytes as a word.
static OWN_FRAME uintptr_t make_word(struct survivors *list) {
    void *p = NULL;
    fill_place(&p, 1, 48, list);
    return (uintptr_t)p;
}

// What each case of this file fills: objects that must live, and that must
// not, though a word of a live object holds their address.
struct sides {
    void *holders[COUNT];
    struct survivors kept;
    struct survivors lost;
};

// No collection comes before sides_expect asks for one: the memory of what it
// finds dead would be given to new objects, which are not to be taken for it.
static struct sides *sides_new(void) {
    struct sides *sides = calloc(1, sizeof *sides);
    loam_collect();
    loam_heap_min_set((size_t)1 << 30);
    sides->kept = survivors_new((size_t)COUNT * 8);
    sides->lost = survivors_new((size_t)COUNT * 8);
    assert_int_equal(loam_root_add(sides->holders, sizeof sides->holders), 0);
    return sides;
}

static void sides_expect(struct sides *sides) {
    collect_clean();
    assert_int_equal(survivors_count(&sides->kept), sides->kept.count);
    assert_true(survivors_count(&sides->lost) <= SURVIVORS_SLACK);
    loam_heap_min_set(0);
    loam_root_remove(sides->holders);
    survivors_free(&sides->kept);
    survivors_free(&sides->lost);
    free(sides);
}

static OWN_FRAME void fill_mixed(struct sides *sides, struct mixed *m) {
    m->first = (void *)make_word(&sides->kept);
    m->pair[0] = (void *)make_word(&sides->kept);
    m->pair[1] = (void *)make_word(&sides->kept);
    m->hidden_from_the_collector = make_word(&sides->lost);
    m->another = make_word(&sides->lost);
}

static void only_described_fields_keep_objects(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        sides->holders[i] = loam_new(struct mixed);
        fill_mixed(sides, sides->holders[i]);
    }
    sides_expect(sides);
}

static void every_element_of_an_array_is_scanned_alike(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < 10; i++) {
        struct mixed *array = loam_new_array(struct mixed, 20);
        sides->holders[i] = array;
        for (size_t j = 0; j < 20; j++) {
            fill_mixed(sides, &array[j]);
        }
    }
    sides_expect(sides);
}

static void a_large_array_is_scanned_to_its_end(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    struct mixed *array = loam_new_array(struct mixed, 20000);
    sides->holders[0] = array;
    for (size_t i = 0; i < COUNT; i++) {
        fill_mixed(sides, &array[19999 - i * 90]);
    }
    sides_expect(sides);
}

static void nested_structs_are_scanned_by_their_own_description(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        struct outer *o = loam_new(struct outer);
        sides->holders[i] = o;
        o->one.pointer = (void *)make_word(&sides->kept);
        o->one.word = make_word(&sides->lost);
        o->many[0].pointer = (void *)make_word(&sides->kept);
        o->many[2].pointer = (void *)make_word(&sides->kept);
        o->many[2].word = make_word(&sides->lost);
        o->plain.next = (void *)make_word(&sides->kept);
        o->plain.word = make_word(&sides->lost);
        o->head = make_word(&sides->lost);
    }
    sides_expect(sides);
}

static void a_flexible_array_of_pointers_is_scanned(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = i < 2 ? 3000 : i; // Two of them are large objects.
        struct flex *f = loam_new_flex(struct flex, tail, n);
        sides->holders[i] = f;
        f->word = make_word(&sides->lost);
        if (n > 0) {
            f->tail[0] = (void *)make_word(&sides->kept);
            f->tail[n - 1] = (void *)make_word(&sides->kept);
        }
    }
    sides_expect(sides);
}

static void a_flexible_array_of_structs_is_scanned(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = i < 2 ? 1000 : i + 1;
        struct flex_of *f = loam_new_flex(struct flex_of, tail, n);
        sides->holders[i] = f;
        f->word = make_word(&sides->lost);
        f->tail[0].pointer = (void *)make_word(&sides->kept);
        f->tail[0].word = make_word(&sides->lost);
        f->tail[n - 1].pointer = (void *)make_word(&sides->kept);
        f->tail[n - 1].word = make_word(&sides->lost);
    }
    sides_expect(sides);
}

static void a_leaf_type_keeps_nothing(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        struct numbers *n = loam_new(struct numbers);
        sides->holders[i] = n;
        for (size_t w = 0; w < 8; w++) {
            assert_int_equal(n->words[w], 0);
            n->words[w] = make_word(&sides->lost);
        }
    }
    sides_expect(sides);
}

static void an_undescribed_type_is_scanned_conservatively(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        struct undescribed *u = loam_new(struct undescribed);
        sides->holders[i] = u;
        for (size_t w = 0; w < 4; w++) {
            u->words[w] = make_word(&sides->kept);
        }
    }
    sides_expect(sides);
}

static void a_mark_function_follows_tagged_pointers(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        struct tagged *t = i % 20 == 0 ? loam_new_array(struct tagged, 300)
                                       : loam_new(struct tagged);
        sides->holders[i] = t;
        t += i % 20 == 0 ? 299 : 0;
        for (size_t w = 0; w < 4; w++) {
            uintptr_t address = make_word(&sides->kept);
            t->tagged[w] = address | w | (uintptr_t)1 << 63;
            t->plain[w] = make_word(&sides->lost);
        }
    }
    sides_expect(sides);
}

static void a_typed_object_stays_typed_when_it_grows(void **state) {
    (void)state;
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        struct flex *f = loam_new_flex(struct flex, tail, 1);
        f->tail[0] = (void *)make_word(&sides->kept);
        f->word = make_word(&sides->lost);
        f = loam_realloc(f, sizeof *f + 100 * sizeof(void *));
        f->tail[99] = (void *)make_word(&sides->kept);
        assert_string_equal(loam_type_name(loam_type_of(f)), "struct flex");
        sides->holders[i] = f;
    }
    sides_expect(sides);
}

static void type_of_tells_the_type_of_interior_pointers_too(void **state) {
    (void)state;
    struct mixed *m = loam_new(struct mixed);
    const struct loam_type *type = loam_type_of(m);
    assert_non_null(type);
    assert_string_equal(loam_type_name(type), "struct mixed");
    assert_ptr_equal(loam_type_of(&m->pair[1]), type);
    assert_ptr_equal(loam_type_of(loam_new_array(struct mixed, 500)), type);
    assert_null(loam_type_of(loam_alloc(100)));
    assert_null(loam_type_of(loam_alloc_leaf(100)));
    assert_ptr_not_equal(loam_type_of(loam_new(struct numbers)), type);
}

static struct loam_type_spec spec_of(const struct loam_field *fields,
                                     size_t count) {
    return (struct loam_type_spec){
        .name = "made by hand",
        .size_bytes = 64,
        .scan = LOAM_SCAN_FIELDS,
        .fields = fields,
        .field_count = count,
    };
}

static void a_type_defined_by_hand_is_scanned_by_its_fields(void **state) {
    (void)state;
    struct loam_field fields[] = {
        {.offset_bytes = 8, .size_bytes = 16},
        {.offset_bytes = 56, .size_bytes = 8},
    };
    struct loam_type_spec spec = spec_of(fields, COUNT_OF(fields));
    const struct loam_type *type = loam_type_define(&spec);
    assert_non_null(type);
    assert_string_equal(loam_type_name(type), "made by hand");
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        uintptr_t *words = loam_new_of(type, 0);
        assert_ptr_equal(loam_type_of(words), type);
        sides->holders[i] = words;
        for (size_t w = 0; w < 8; w++) {
            bool is_field = w == 1 || w == 2 || w == 7;
            words[w] = make_word(is_field ? &sides->kept : &sides->lost);
        }
    }
    sides_expect(sides);
}

static void the_same_description_gives_the_same_type(void **state) {
    (void)state;
    struct loam_field fields[] = {{.offset_bytes = 0, .size_bytes = 8}};
    struct loam_type_spec spec = spec_of(fields, 1);
    const struct loam_type *type = loam_type_define(&spec);
    assert_ptr_equal(loam_type_define(&spec), type);
    // Everything was copied.
    char name[] = "another name";
    spec.name = name;
    const struct loam_type *other = loam_type_define(&spec);
    assert_ptr_not_equal(other, type);
    memset(name, 'x', sizeof name - 1);
    memset(fields, 0xFF, sizeof fields);
    assert_string_equal(loam_type_name(other), "another name");
    assert_non_null(loam_new_of(other, 0));
    collect_clean();
}

static void an_impossible_field_is_a_bad_argument(void **state) {
    (void)state;
    struct loam_field inner = {.offset_bytes = 0, .size_bytes = 8};
    struct loam_type_spec inner_spec = spec_of(&inner, 1);
    inner_spec.name = "24 bytes";
    inner_spec.size_bytes = 24;
    const struct loam_type *t = loam_type_define(&inner_spec);
    const struct loam_field bad[] = {
        {64, 8, LOAM_FIELD_POINTERS, NULL, NULL},  // outside
        {56, 16, LOAM_FIELD_POINTERS, NULL, NULL}, // half outside
        {SIZE_MAX - 7, 8, LOAM_FIELD_POINTERS, NULL, NULL},
        {8, SIZE_MAX - 7, LOAM_FIELD_POINTERS, NULL, NULL},
        {4, 8, LOAM_FIELD_POINTERS, NULL, NULL}, // misaligned
        {1, 8, LOAM_FIELD_POINTERS, NULL, NULL},
        {8, 4, LOAM_FIELD_POINTERS, NULL, NULL}, // half a pointer
        {8, 12, LOAM_FIELD_POINTERS, NULL, NULL},
        {8, 16, LOAM_FIELD_NESTED, NULL, t}, // not whole elements
        {48, 24, LOAM_FIELD_NESTED, NULL, t},
        {60, 8, LOAM_FIELD_FLEX, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct loam_type_spec spec = spec_of(&bad[i], 1);
        assert_null(loam_type_define(&spec));
        assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
        assert_non_null(strstr(loam_last_error(), "made by hand"));
    }
}

static void a_flexible_field_must_be_last(void **state) {
    (void)state;
    struct loam_field fields[] = {
        {8, 8, LOAM_FIELD_FLEX, NULL, NULL},
        {56, 8, LOAM_FIELD_POINTERS, NULL, NULL},
    };
    struct loam_type_spec spec = spec_of(fields, 2);
    assert_null(loam_type_define(&spec));
    assert_int_equal(loam_last_status(), LOAM_BAD_ARGUMENT);
}

static void new_of_takes_a_size_for_the_flexible_member(void **state) {
    (void)state;
    struct loam_field fields[] = {{64, 8, LOAM_FIELD_FLEX, NULL, NULL}};
    struct loam_type_spec spec = spec_of(fields, 1);
    spec.name = "flexible by hand";
    const struct loam_type *type = loam_type_define(&spec);
    assert_non_null(type);
    struct sides *sides = sides_new();
    for (size_t i = 0; i < COUNT; i++) {
        uintptr_t *words = loam_new_of(type, 64 + i * 8 + 8);
        assert_true(loam_size_of(words) >= 64 + i * 8 + 8);
        words[7] = make_word(&sides->lost);
        words[8 + i] = make_word(&sides->kept);
        sides->holders[i] = words;
    }
    sides_expect(sides);
}

static void an_array_of_a_defined_type_is_scanned(void **state) {
    (void)state;
    struct loam_field fields[] = {{8, 8, LOAM_FIELD_POINTERS, NULL, NULL}};
    struct loam_type_spec spec = spec_of(fields, 1);
    spec.name = "sixteen";
    spec.size_bytes = 16;
    const struct loam_type *type = loam_type_define(&spec);
    struct sides *sides = sides_new();
    uintptr_t *words = loam_new_array_of(type, COUNT);
    sides->holders[0] = words;
    for (size_t i = 0; i < COUNT; i++) {
        words[2 * i] = make_word(&sides->lost);
        words[2 * i + 1] = make_word(&sides->kept);
    }
    assert_null(loam_new_array_of(type, SIZE_MAX / 16 + 2));
    assert_int_equal(loam_last_status(), LOAM_TOO_LARGE);
    sides_expect(sides);
}

static void a_thousand_types_are_told_apart(void **state) {
    (void)state;
    struct loam_field field = {0, 8, LOAM_FIELD_POINTERS, NULL, NULL};
    const struct loam_type *types[1000];
    void *objects[1000];
    for (size_t i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "type %zu", i);
        struct loam_type_spec spec = spec_of(&field, 1);
        spec.name = name;
        types[i] = loam_type_define(&spec);
        assert_non_null(types[i]);
        objects[i] = loam_new_of(types[i], 0);
        assert_non_null(objects[i]);
    }
    collect_clean();
    for (size_t i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "type %zu", i);
        assert_ptr_equal(loam_type_of(objects[i]), types[i]);
        assert_string_equal(loam_type_name(types[i]), name);
    }
}

static OWN_FRAME void fill_ends(void **ends, struct survivors *list) {
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = i % 4 == 0 ? 6 : i % 4 == 1 ? 30 : i % 4 == 2 ? 126 : 1022;
        // With its head a power of two, so that it fills its cell.
        struct flex_two *f = loam_new_flex(struct flex_two, tail, n);
        survivors_note(list, f);
        ends[i] = f->tail + n;
    }
}

static void one_past_a_flexible_array_on_the_stack_keeps_it(void **state) {
    (void)state;
    void *ends[COUNT];
    struct survivors list = survivors_new(COUNT);
    fill_ends(ends, &list);
    collect_clean();
    assert_int_equal(survivors_count(&list), COUNT);
    loam_keep_alive(ends);
    survivors_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_described_fields_keep_objects),
        cmocka_unit_test(every_element_of_an_array_is_scanned_alike),
        cmocka_unit_test(a_large_array_is_scanned_to_its_end),
        cmocka_unit_test(nested_structs_are_scanned_by_their_own_description),
        cmocka_unit_test(a_flexible_array_of_pointers_is_scanned),
        cmocka_unit_test(a_flexible_array_of_structs_is_scanned),
        cmocka_unit_test(a_leaf_type_keeps_nothing),
        cmocka_unit_test(an_undescribed_type_is_scanned_conservatively),
        cmocka_unit_test(a_mark_function_follows_tagged_pointers),
        cmocka_unit_test(a_typed_object_stays_typed_when_it_grows),
        cmocka_unit_test(type_of_tells_the_type_of_interior_pointers_too),
        cmocka_unit_test(a_type_defined_by_hand_is_scanned_by_its_fields),
        cmocka_unit_test(the_same_description_gives_the_same_type),
        cmocka_unit_test(an_impossible_field_is_a_bad_argument),
        cmocka_unit_test(a_flexible_field_must_be_last),
        cmocka_unit_test(new_of_takes_a_size_for_the_flexible_member),
        cmocka_unit_test(an_array_of_a_defined_type_is_scanned),
        cmocka_unit_test(one_past_a_flexible_array_on_the_stack_keeps_it),
        cmocka_unit_test(a_thousand_types_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
