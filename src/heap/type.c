// SPDX-License-Identifier: MIT
// type.c: checking descriptions and turning them into layouts.
//
// Types live for ever in an arena of their own. A description is flattened
// here once: nested structs become offsets, adjacent words one span.
//
//   type.1  The spans of a layout ascend, do not overlap, and lie inside.
//   type.2  Two types of equal description are one type.

#include "heap/type.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/format.h"
#include "os/lock.h"
#include "os/memory.h"

#include <string.h>

#define WORD sizeof(void *)
#define COUNT_BYTES sizeof(struct loam_count_)

// As many as the macros of loam/type.h can name.
#define COUNTED_FIELDS_MAX 32

// Memory for descriptions, taken from the system in pieces.
#define TYPE_PIECE_BYTES ((size_t)64 << 10)

struct piece {
    struct piece *next;
    size_t bytes;
};

static struct {
    struct lm_lock lock;  // guards all below
    struct piece *pieces; // newest first
    char *free;           // within the newest piece
    char *end;
    struct loam_type *types; // newest first
    size_t count;            // atomic for readers
} type_table;

struct loam_type lm_type_raw;
struct loam_type lm_type_leaf;

static const struct lm_span type_word = {0, 1};

// ---- Memory ------------------------------------------------------------------

static void *type_alloc(size_t bytes) {
    bytes = lm_round_up(bytes, 16);
    if (bytes > (size_t)(type_table.end - type_table.free)) {
        size_t whole =
            lm_round_up(bytes + sizeof(struct piece) + 16, TYPE_PIECE_BYTES);
        struct piece *piece = lm_memory_map(whole);
        if (piece == NULL) {
            return NULL;
        }
        piece->next = type_table.pieces;
        piece->bytes = whole;
        type_table.pieces = piece;
        type_table.free = (char *)piece + lm_round_up(sizeof *piece, 16);
        type_table.end = (char *)piece + whole;
    }
    void *p = type_table.free;
    type_table.free += bytes;
    return p;
}

// What makes a type a counted one.
struct death_spec {
    const struct loam_counted_spec *how; // or NULL: it is just freed
    const struct loam_type_spec *plain;  // the type without the count
};

// ---- Checking and flattening ----------------------------------------------

// A description being turned into a layout.
struct draft {
    const struct loam_type_spec *spec;
    const struct loam_site_ *site;  // where nested names are looked up, or NULL
    const struct death_spec *death; // of a counted type, or NULL
    struct lm_span *spans;          // grows by doubling, in mapped memory
    size_t count;
    size_t room;
    bool is_ambiguous; // some of its words need not be pointers
    enum loam_status *why;
    char *message;
    size_t message_room;
};

static bool draft_fail(struct draft *d, enum loam_status why,
                       const char *format, ...) {
    va_list list;
    va_start(list, format);
    lm_format_list(d->message, d->message_room, format, list);
    va_end(list);
    *d->why = why;
    return false;
}

static bool draft_add(struct draft *d, size_t offset, size_t words) {
    struct lm_span *last = d->count ? &d->spans[d->count - 1] : NULL;
    if (last && last->offset_bytes + last->word_count * WORD == offset) {
        last->word_count += (uint32_t)words;
        return true;
    }
    if (d->spans == NULL || d->count == d->room) {
        size_t room = d->spans ? d->room * 2 : 4096 / sizeof *d->spans;
        struct lm_span *more = lm_memory_map(room * sizeof *more);
        if (more == NULL) {
            return draft_fail(d, LOAM_NO_MEMORY,
                              "the system gave no memory to describe type %s",
                              d->spec->name);
        }
        if (d->spans) {
            memcpy(more, d->spans, d->count * sizeof *more);
            lm_memory_release(d->spans, d->room * sizeof *more);
        }
        d->spans = more;
        d->room = room;
    }
    d->spans[d->count++] = (struct lm_span){(uint32_t)offset, (uint32_t)words};
    return true;
}

// Insertion sort: fields come almost in order, and spans merge afterwards.
static void draft_sort(struct draft *d) {
    for (size_t i = 1; i < d->count; i++) {
        struct lm_span span = d->spans[i];
        size_t j = i;
        for (; j > 0 && d->spans[j - 1].offset_bytes > span.offset_bytes; j--) {
            d->spans[j] = d->spans[j - 1];
        }
        d->spans[j] = span;
    }
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct lm_span *last = kept ? &d->spans[kept - 1] : NULL;
        size_t end = last ? last->offset_bytes + last->word_count * WORD : 0;
        if (last && d->spans[i].offset_bytes <= end) {
            size_t mine =
                d->spans[i].offset_bytes + d->spans[i].word_count * WORD;
            if (mine > end) {
                last->word_count += (uint32_t)((mine - end) / WORD);
            }
        } else {
            d->spans[kept++] = d->spans[i];
        }
    }
    d->count = kept;
}

static const struct lm_span *draft_keep(struct draft *d) {
    draft_sort(d);
    struct lm_span *kept = type_alloc(d->count * sizeof *kept + 1);
    if (kept == NULL) {
        draft_fail(d, LOAM_NO_MEMORY,
                   "the system gave no memory to describe type %s",
                   d->spec->name);
        return NULL;
    }
    if (d->count) {
        memcpy(kept, d->spans, d->count * sizeof *kept);
    }
    return kept;
}

static bool field_check(struct draft *d, size_t index) {
    const struct loam_field *f = &d->spec->fields[index];
    const char *name = d->spec->name;
    bool is_flex = f->form == LOAM_FIELD_FLEX || f->form == LOAM_FIELD_FLEX_OF;
    if (f->offset_bytes % WORD != 0) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s: field %zu at offset %zu is not aligned to "
                          "%zu bytes, as a field that holds pointers must be; "
                          "align the field or leave it out",
                          name, index, f->offset_bytes, WORD);
    }
    if (is_flex ? f->offset_bytes > lm_round_up(d->spec->size_bytes, WORD)
                : f->size_bytes > d->spec->size_bytes ||
                      f->offset_bytes > d->spec->size_bytes - f->size_bytes) {
        return draft_fail(
            d, LOAM_BAD_ARGUMENT,
            "type %s: field %zu lies at bytes %zu to %zu, outside "
            "the object of %zu bytes; take offset and size from "
            "offsetof and sizeof",
            name, index, f->offset_bytes, f->offset_bytes + f->size_bytes,
            d->spec->size_bytes);
    }
    if (f->size_bytes == 0 || f->size_bytes % WORD != 0) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s: field %zu has %zu bytes, which is no whole "
                          "number of pointers of %zu bytes; name a pointer, an "
                          "array of pointers, or use LOAM_NESTED",
                          name, index, f->size_bytes, WORD);
    }
    if (is_flex && index + 1 != d->spec->field_count) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s: field %zu is a flexible array and must be "
                          "the last one listed",
                          name, index);
    }
    if (d->spec->size_bytes > UINT32_MAX) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s: %zu bytes are more than the 4 GiB that one "
                          "described struct may have",
                          name, d->spec->size_bytes);
    }
    return true;
}

static const struct loam_type *type_define(const struct loam_type_spec *spec,
                                           const struct loam_site_ *site,
                                           const struct death_spec *death,
                                           enum loam_status *why, char *message,
                                           size_t room);

// The description of a name, in the source file of the place that asks.
static const struct loam_type_spec *spec_find(const struct loam_site_ *site,
                                              const char *name) {
    for (const struct loam_type_spec *const *at = site->specs_begin;
         at < site->specs_end; at++) {
        // A zero word is padding between descriptions.
        if (*at && (*at)->unit == site->unit &&
            strcmp((*at)->name, name) == 0) {
            return *at;
        }
    }
    return NULL;
}

// The type of a nested field's elements.
static const struct loam_type *field_type(struct draft *d, size_t index) {
    const struct loam_field *f = &d->spec->fields[index];
    if (f->type) {
        return f->type;
    }
    const struct loam_type_spec *found =
        f->type_name && d->site ? spec_find(d->site, f->type_name) : NULL;
    if (found == NULL || found == d->spec) {
        draft_fail(
            d, LOAM_BAD_ARGUMENT,
            "type %s: field %zu holds elements of type %s, which nothing "
            "describes in this source file; describe it with LOAM_TYPE "
            "before this type",
            d->spec->name, index, f->type_name ? f->type_name : "(none)");
        return NULL;
    }
    return type_define(found, d->site, NULL, d->why, d->message,
                       d->message_room);
}

// Adds the fixed pointers of one element of a nested type.
static bool draft_nest(struct draft *d, const struct loam_type *inner,
                       size_t offset) {
    if (inner->scan == LOAM_SCAN_LEAF) {
        return true;
    }
    if (inner->scan == LOAM_SCAN_CONSERVATIVE) {
        d->is_ambiguous = true;
        return draft_add(d, offset, inner->size_bytes / WORD);
    }
    if (inner->scan == LOAM_SCAN_MARK) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s nests %s, which has a mark function; only "
                          "whole objects have one: give %s a mark function too",
                          d->spec->name, inner->name, d->spec->name);
    }
    d->is_ambiguous |= !inner->is_exact;
    for (size_t i = 0; i < inner->single.fixed_count; i++) {
        const struct lm_span *s = &inner->single.fixed[i];
        if (!draft_add(d, offset + s->offset_bytes, s->word_count)) {
            return false;
        }
    }
    return true;
}

static bool field_flatten(struct draft *d, size_t index) {
    const struct loam_field *f = &d->spec->fields[index];
    if (f->form == LOAM_FIELD_POINTERS) {
        return draft_add(d, f->offset_bytes, f->size_bytes / WORD);
    }
    const struct loam_type *inner = field_type(d, index);
    if (inner == NULL) {
        return false;
    }
    if (inner->size_bytes == 0 || f->size_bytes % inner->size_bytes != 0) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s: field %zu has %zu bytes, which is no whole "
                          "number of elements of %s (%zu bytes each)",
                          d->spec->name, index, f->size_bytes, inner->name,
                          inner->size_bytes);
    }
    for (size_t at = 0; at < f->size_bytes; at += inner->size_bytes) {
        if (!draft_nest(d, inner, f->offset_bytes + at)) {
            return false;
        }
    }
    return true;
}

// The flexible array, which is the last field: a pattern to the end.
static bool flex_flatten(struct draft *d, size_t index, struct lm_layout *out) {
    const struct loam_field *f = &d->spec->fields[index];
    out->repeat_start_bytes = f->offset_bytes;
    if (f->form == LOAM_FIELD_FLEX) {
        out->repeat = &type_word;
        out->repeat_count = 1;
        out->repeat_stride_bytes = WORD;
        return true;
    }
    const struct loam_type *inner = field_type(d, index);
    if (inner == NULL) {
        return false;
    }
    d->count = 0;
    if (!draft_nest(d, inner, 0)) {
        return false;
    }
    out->repeat = draft_keep(d);
    out->repeat_count = d->count;
    out->repeat_stride_bytes = f->size_bytes;
    return out->repeat != NULL;
}

static bool draft_single(struct draft *d, struct lm_layout *out) {
    const struct loam_type_spec *spec = d->spec;
    size_t fixed = spec->field_count;
    for (size_t i = 0; i < spec->field_count; i++) {
        if (!field_check(d, i)) {
            return false;
        }
        if (spec->fields[i].form == LOAM_FIELD_FLEX ||
            spec->fields[i].form == LOAM_FIELD_FLEX_OF) {
            fixed = i;
        }
    }
    for (size_t i = 0; i < fixed; i++) {
        if (!field_flatten(d, i)) {
            return false;
        }
    }
    out->fixed = draft_keep(d);
    out->fixed_count = d->count;
    if (out->fixed == NULL) {
        return false;
    }
    return fixed == spec->field_count || flex_flatten(d, fixed, out);
}

// The fields that a counted object owns, which must be pointers of its layout.
static bool death_fields(struct draft *own, struct lm_death *out,
                         const struct lm_layout *layout) {
    const struct loam_type_spec *spec = own->spec;
    for (size_t i = 0; i < spec->field_count; i++) {
        const struct loam_field *f = &spec->fields[i];
        size_t offset = f->offset_bytes + COUNT_BYTES;
        if (!field_check(own, i)) {
            return false;
        }
        if (!lm_type_has_pointer(layout, offset)) {
            return draft_fail(own, LOAM_BAD_ARGUMENT,
                              "type %s: the field at offset %zu is owned, and "
                              "LOAM_TYPE does not name it; name it there too",
                              spec->name, f->offset_bytes);
        }
        if (f->form == LOAM_FIELD_FLEX) {
            out->owned_flex_bytes = offset;
        } else if (f->form != LOAM_FIELD_POINTERS) {
            return draft_fail(own, LOAM_BAD_ARGUMENT,
                              "type %s: the owned field at offset %zu is a "
                              "struct; only pointers, arrays of them and "
                              "LOAM_FLEX can be owned: name its pointers",
                              spec->name, f->offset_bytes);
        } else if (!draft_add(own, offset, f->size_bytes / WORD)) {
            return false;
        }
    }
    out->owned = draft_keep(own);
    out->owned_count = own->count;
    return out->owned != NULL;
}

static bool type_death(struct loam_type *type, const struct draft *d) {
    struct loam_type_spec spec = *d->death->plain;
    struct draft own = *d;
    type->lead_bytes = COUNT_BYTES;
    if (d->death->how == NULL) {
        return true;
    }
    type->death.dispose = d->death->how->dispose;
    spec.fields = d->death->how->owned;
    spec.field_count = d->death->how->owned_count;
    own.spec = &spec;
    own.spans = NULL;
    own.count = own.room = 0;
    bool ok = death_fields(&own, &type->death, &type->single);
    if (own.room) {
        lm_memory_release(own.spans, own.room * sizeof *own.spans);
    }
    return ok;
}

// The layouts of one object and of an array of them.
static bool type_layout(struct loam_type *type, struct draft *d) {
    const struct loam_type_spec *spec = d->spec;
    type->scan = spec->scan;
    if (spec->scan == LOAM_SCAN_LEAF) {
        return true;
    }
    if (spec->scan == LOAM_SCAN_CONSERVATIVE) {
        type->single = lm_type_raw.single;
        type->array = lm_type_raw.array;
        return true;
    }
    if (spec->scan == LOAM_SCAN_MARK) {
        if (spec->mark == NULL) {
            return draft_fail(d, LOAM_BAD_ARGUMENT,
                              "type %s is scanned by a mark function but has "
                              "none; set mark",
                              spec->name);
        }
        type->single.mark = spec->mark;
        type->array.mark = spec->mark;
        return true;
    }
    if (!draft_single(d, &type->single)) {
        return false;
    }
    type->array.repeat = type->single.fixed;
    type->array.repeat_count = type->single.fixed_count;
    type->array.repeat_stride_bytes = spec->size_bytes;
    type->is_exact = !d->is_ambiguous;
    return true;
}

// ---- Identity -----------------------------------------------------------------

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count) {
    // FNV-1a, 64 bits: Fowler, Noll and Vo.
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3u;
    }
    return hash;
}

static uint64_t fields_hash(uint64_t hash, const struct loam_field *fields,
                            size_t count, const void *unit) {
    for (size_t i = 0; i < count; i++) {
        const struct loam_field *f = &fields[i];
        hash = hash_bytes(hash, &f->offset_bytes, sizeof f->offset_bytes);
        hash = hash_bytes(hash, &f->size_bytes, sizeof f->size_bytes);
        hash = hash_bytes(hash, &f->form, sizeof f->form);
        hash = hash_bytes(hash, &f->type, sizeof f->type);
        if (f->type_name) {
            // A nested name means what its own source file says.
            hash = hash_bytes(hash, f->type_name, strlen(f->type_name));
            hash = hash_bytes(hash, &unit, sizeof unit);
        }
    }
    return hash;
}

static uint64_t spec_hash(const struct loam_type_spec *spec,
                          const struct death_spec *death) {
    uint64_t hash = 0xcbf29ce484222325u;
    hash = hash_bytes(hash, spec->name, strlen(spec->name));
    hash = hash_bytes(hash, &spec->size_bytes, sizeof spec->size_bytes);
    hash = hash_bytes(hash, &spec->scan, sizeof spec->scan);
    hash = hash_bytes(hash, &spec->mark, sizeof spec->mark);
    hash = hash_bytes(hash, &spec->is_barriered, sizeof spec->is_barriered);
    hash = fields_hash(hash, spec->fields, spec->field_count, spec->unit);
    if (death) {
        const struct loam_counted_spec *how = death->how;
        hash = hash_bytes(hash, "counted", 7);
        if (how) {
            hash = hash_bytes(hash, &how->dispose, sizeof how->dispose);
            hash = fields_hash(hash, how->owned, how->owned_count, how->unit);
        }
    }
    return hash;
}

static struct loam_type *type_find(uint64_t identity, const char *name) {
    for (struct loam_type *t = type_table.types; t; t = t->next) {
        if (t->identity == identity && strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

// ---- Defining ------------------------------------------------------------------

static bool spec_check(const struct loam_type_spec *spec, struct draft *d) {
    if (spec->name == NULL || spec->name[0] == '\0') {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "a type without a name; give it one, for reports");
    }
    if (spec->size_bytes == 0) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s has 0 bytes; an object has at least 1",
                          spec->name);
    }
    if (spec->scan > LOAM_SCAN_MARK) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s: scan is %d, which is no enum loam_scan",
                          spec->name, (int)spec->scan);
    }
    if (spec->field_count > 0 && spec->fields == NULL) {
        return draft_fail(d, LOAM_BAD_ARGUMENT,
                          "type %s has %zu fields at address NULL", spec->name,
                          spec->field_count);
    }
    return true;
}

static struct loam_type *type_make(struct draft *d, uint64_t identity) {
    size_t name_bytes = strlen(d->spec->name) + 1;
    struct loam_type *type = type_alloc(sizeof *type);
    char *name = type ? type_alloc(name_bytes) : NULL;
    if (name == NULL) {
        draft_fail(d, LOAM_NO_MEMORY,
                   "the system gave no memory to describe type %s",
                   d->spec->name);
        return NULL;
    }
    memset(type, 0, sizeof *type);
    memcpy(name, d->spec->name, name_bytes);
    type->name = name;
    type->size_bytes = d->spec->size_bytes;
    type->identity = identity;
    type->unit = d->spec->unit;
    type->is_barriered = d->spec->is_barriered != 0;
    if (!type_layout(type, d) || (d->death && !type_death(type, d))) {
        return NULL;
    }
    return type;
}

// With the lock held; recursive for nested types, which nest finitely since
// each must be described before the one that holds it.
static const struct loam_type *type_define(const struct loam_type_spec *spec,
                                           const struct loam_site_ *site,
                                           const struct death_spec *death,
                                           enum loam_status *why, char *message,
                                           size_t room) {
    struct draft d = {.spec = spec,
                      .site = site,
                      .death = death,
                      .why = why,
                      .message = message,
                      .message_room = room};
    if (!spec_check(spec, &d)) {
        return NULL;
    }
    uint64_t identity = spec_hash(spec, death);
    struct loam_type *type = type_find(identity, spec->name);
    if (type == NULL) {
        type = type_make(&d, identity);
        if (type) {
            type->next = type_table.types;
            type_table.types = type;
            type->number = (uint16_t)__atomic_add_fetch(&type_table.count, 1,
                                                        __ATOMIC_RELAXED);
        }
    }
    if (d.room) {
        lm_memory_release(d.spans, d.room * sizeof *d.spans);
    }
    return type;
}

const struct loam_type *lm_type_define(const struct loam_type_spec *spec,
                                       enum loam_status *why, char *message,
                                       size_t room) {
    lm_lock_acquire(&type_table.lock);
    const struct loam_type *type =
        type_define(spec, NULL, NULL, why, message, room);
    lm_lock_release(&type_table.lock);
    return type;
}

const struct loam_type *lm_type_resolve(const struct loam_site_ *site,
                                        enum loam_status *why, char *message,
                                        size_t room) {
    const struct loam_type_spec *spec = spec_find(site, site->name);
    struct loam_type_spec plain = {.name = site->name,
                                   .size_bytes = site->size_bytes,
                                   .scan = LOAM_SCAN_CONSERVATIVE};
    if (spec && spec->size_bytes != site->size_bytes) {
        spec = NULL; // another type of that name, in another scope
    }
    lm_lock_acquire(&type_table.lock);
    const struct loam_type *type =
        type_define(spec ? spec : &plain, site, NULL, why, message, room);
    lm_lock_release(&type_table.lock);
    return type;
}

// ---- Counted types -------------------------------------------------------------

static const struct loam_counted_spec *counted_find(
    const struct loam_counted_site_ *site) {
    for (const struct loam_counted_spec *const *at = site->specs_begin;
         at < site->specs_end; at++) {
        // A zero word is padding between descriptions.
        if (*at && (*at)->unit == site->site.unit &&
            strcmp((*at)->name, site->site.name) == 0) {
            return *at;
        }
    }
    return NULL;
}

// A type's description with the count in front. Stores into counted objects need
// no barrier: the library itself stores where they wait to die.
static bool counted_shift(const struct loam_type_spec *plain,
                          struct loam_type_spec *spec,
                          struct loam_field fields[COUNTED_FIELDS_MAX + 1]) {
    *spec = *plain;
    spec->size_bytes += COUNT_BYTES;
    spec->is_barriered = 0;
    if (plain->scan == LOAM_SCAN_CONSERVATIVE) {
        return true;
    }
    if (plain->scan == LOAM_SCAN_MARK ||
        plain->field_count > COUNTED_FIELDS_MAX) {
        return false;
    }
    fields[0] = (struct loam_field){0, WORD, LOAM_FIELD_POINTERS, NULL, NULL};
    for (size_t i = 0; i < plain->field_count; i++) {
        fields[i + 1] = plain->fields[i];
        fields[i + 1].offset_bytes += COUNT_BYTES;
    }
    spec->scan = LOAM_SCAN_FIELDS;
    spec->fields = fields;
    spec->field_count = plain->field_count + 1;
    return true;
}

const struct loam_type *lm_type_resolve_counted(
    const struct loam_counted_site_ *site, enum loam_status *why, char *message,
    size_t room) {
    const struct loam_site_ *at = &site->site;
    struct loam_type_spec untyped = {.name = at->name,
                                     .size_bytes = at->size_bytes,
                                     .scan = LOAM_SCAN_CONSERVATIVE};
    const struct loam_type_spec *plain = spec_find(at, at->name);
    struct loam_type_spec spec;
    struct loam_field fields[COUNTED_FIELDS_MAX + 1];
    if (plain == NULL || plain->size_bytes != at->size_bytes) {
        plain = &untyped; // or another type of that name, in another scope
    }
    if (!counted_shift(plain, &spec, fields)) {
        lm_format(message, room,
                  "type %s has a mark function, which a counted type cannot "
                  "have; describe its fields with LOAM_TYPE",
                  at->name);
        *why = LOAM_BAD_ARGUMENT;
        return NULL;
    }
    struct death_spec death = {.how = counted_find(site), .plain = plain};
    lm_lock_acquire(&type_table.lock);
    const struct loam_type *type =
        type_define(&spec, at, &death, why, message, room);
    lm_lock_release(&type_table.lock);
    return type;
}

static bool spans_have(const struct lm_span *spans, size_t count,
                       size_t offset) {
    for (size_t i = 0; i < count; i++) {
        size_t inside = offset - spans[i].offset_bytes;
        if (offset >= spans[i].offset_bytes &&
            inside < spans[i].word_count * WORD) {
            return inside % WORD == 0;
        }
    }
    return false;
}

bool lm_type_has_pointer(const struct lm_layout *layout, size_t offset) {
    if (spans_have(layout->fixed, layout->fixed_count, offset)) {
        return true;
    }
    size_t start = layout->repeat_start_bytes;
    return layout->repeat_count > 0 && offset >= start &&
           spans_have(layout->repeat, layout->repeat_count,
                      (offset - start) % layout->repeat_stride_bytes);
}

size_t lm_type_count(void) {
    return __atomic_load_n(&type_table.count, __ATOMIC_RELAXED);
}

void lm_type_init(void) {
    lm_type_raw = (struct loam_type){
        .name = "(untyped)", .size_bytes = 1, .scan = LOAM_SCAN_CONSERVATIVE};
    lm_type_raw.single = (struct lm_layout){
        .repeat = &type_word, .repeat_count = 1, .repeat_stride_bytes = WORD};
    lm_type_raw.array = lm_type_raw.single;
    lm_type_leaf = (struct loam_type){
        .name = "(leaf)", .size_bytes = 1, .scan = LOAM_SCAN_LEAF};
}

void lm_type_fini(void) {
    while (type_table.pieces) {
        struct piece *piece = type_table.pieces;
        type_table.pieces = piece->next;
        lm_memory_release(piece, piece->bytes);
    }
    type_table.free = type_table.end = NULL;
    type_table.types = NULL;
    type_table.count = 0;
}

void lm_type_fork_prepare(void) {
    lm_lock_acquire(&type_table.lock);
}

void lm_type_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&type_table.lock);
    } else {
        lm_lock_release(&type_table.lock);
    }
}
