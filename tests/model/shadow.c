// SPDX-License-Identifier: MIT
// shadow.c: a naive second book of the heap.

#include "model/shadow.h"

#include <loam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/survivors.h"

struct model_pair {
    void *left;
    uintptr_t decoy;
    void *right;
    uint64_t serial;
};
LOAM_TYPE(struct model_pair, left, right)

struct model_flex {
    uint64_t serial;
    uintptr_t decoy;
    void *tail[];
};
LOAM_TYPE(struct model_flex, LOAM_FLEX(tail))

struct model_marked {
    uintptr_t complements[3];
    uint64_t serial;
    uintptr_t decoy;
};

static void model_mark(struct loam_marker *marker, const void *object,
                       size_t bytes) {
    const struct model_marked *m = object;
    for (size_t i = 0; bytes >= sizeof *m && i < 3; i++) {
        if (m->complements[i] != 0) {
            loam_mark(marker, unhide(m->complements[i]));
        }
    }
}
LOAM_TYPE_MARK(struct model_marked, model_mark)

static uint64_t collections(void) {
    struct loam_stats stats;
    loam_stats_get(&stats);
    return stats.collection_count;
}

// Whose objects the finalizers that are called belong to, and the last number that
// any shadow's object was given.
static struct shadow *finals_of;
static uint64_t last_serial;

struct shadow *shadow_new(void) {
    struct shadow *s = calloc(1, sizeof *s);
    must(s != NULL);
    for (size_t i = 0; i < SHADOW_AREAS; i++) {
        s->areas[i].words = calloc(SHADOW_AREA_WORDS, sizeof(void *));
        must(s->areas[i].words != NULL);
        for (size_t w = 0; w < SHADOW_AREA_WORDS; w++) {
            s->areas[i].targets[w] = SHADOW_NONE;
        }
    }
    s->held = calloc(SHADOW_HANDLES, sizeof(void *));
    must(s->held != NULL &&
         loam_root_add(s->held, SHADOW_HANDLES * sizeof(void *)) == 0);
    s->weak = calloc(SHADOW_HANDLES, sizeof *s->weak);
    must(s->weak != NULL &&
         loam_root_add(s->weak, SHADOW_HANDLES * sizeof *s->weak) == 0);
    s->collection_count = collections();
    loam_finalizers_on_demand(NULL, NULL);
    finals_of = s;
    s->first_serial = last_serial + 1;
    return s;
}

void shadow_free(struct shadow *s) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        struct handle *h = &s->handles[i];
        for (; h->hidden != 0 && h->pin_count > 0; h->pin_count--) {
            loam_unpin(unhide(h->hidden));
        }
    }
    for (size_t i = 0; i < SHADOW_AREAS; i++) {
        if (s->areas[i].is_added) {
            loam_root_remove(s->areas[i].words);
        }
        free(s->areas[i].words);
    }
    // Those that are due are called for nobody.
    finals_of = NULL;
    loam_finalizers_run(SIZE_MAX);
    loam_root_remove(s->weak);
    loam_root_remove(s->held);
    free(s->weak);
    free(s->held);
    free(s);
}

// ---- Layouts ----------------------------------------------------------------

// The word of an object that holds pointer number `slot`.
static size_t word_of_slot(enum kind kind, size_t slot) {
    switch (kind) {
    case KIND_PAIR:
    case KIND_ARRAY:
        return slot / 2 * 4 + slot % 2 * 2;
    case KIND_FLEX:
        return 2 + slot;
    default:
        return slot;
    }
}

static size_t slots_of(enum kind kind, size_t bytes) {
    size_t slots = 0;
    switch (kind) {
    case KIND_RAW:
        slots = bytes / 8;
        break;
    case KIND_PAIR:
        return 2;
    case KIND_ARRAY:
        slots = bytes / sizeof(struct model_pair) * 2;
        break;
    case KIND_FLEX:
        slots = (bytes - 16) / 8;
        break;
    case KIND_MARKED:
        return 3;
    default:
        return 0;
    }
    return slots < SHADOW_SLOTS ? slots : SHADOW_SLOTS;
}

// Where the bytes begin that hold a pattern, for the kinds that have some.
static size_t pattern_start(const struct handle *h) {
    return h->kind == KIND_RAW ? h->slot_count * 8 : 8;
}

// Not one that eight of could look like an address.
static unsigned char pattern_byte(const struct handle *h, size_t i) {
    return (unsigned char)(0xE0 | ((h->serial * 7 + i) & 0x0F));
}

static bool has_pattern(const struct handle *h) {
    return h->kind == KIND_RAW || h->kind == KIND_LEAF;
}

// The words that hold the serial number, for the kinds that have it.
static size_t serial_word(const struct handle *h, size_t element) {
    return h->kind == KIND_FLEX ? 0 : element * 4 + 3;
}

static size_t element_count(const struct handle *h) {
    return h->kind == KIND_ARRAY ? h->bytes / sizeof(struct model_pair) : 1;
}

static void pattern_write(const struct handle *h, void *object, size_t from) {
    unsigned char *bytes = object;
    uint64_t *words = object;
    for (size_t i = from; has_pattern(h) && i < h->bytes; i++) {
        bytes[i] = pattern_byte(h, i);
    }
    for (size_t e = 0; !has_pattern(h) && e < element_count(h); e++) {
        words[serial_word(h, e)] = h->serial;
    }
}

static const char *type_name_of(enum kind kind) {
    static const char *const names[KIND_COUNT] = {
        [KIND_PAIR] = "struct model_pair",
        [KIND_ARRAY] = "struct model_pair",
        [KIND_FLEX] = "struct model_flex",
        [KIND_MARKED] = "struct model_marked",
    };
    return names[kind];
}

// ---- Making and changing ----------------------------------------------------

static void *allocate(enum kind kind, size_t *bytes) {
    size_t n = *bytes / sizeof(struct model_pair) + 1;
    switch (kind) {
    case KIND_RAW:
        return loam_alloc(*bytes);
    case KIND_LEAF:
        return loam_alloc_leaf(*bytes);
    case KIND_PAIR:
        *bytes = sizeof(struct model_pair);
        return loam_new(struct model_pair);
    case KIND_ARRAY:
        *bytes = n * sizeof(struct model_pair);
        return loam_new_array(struct model_pair, n);
    case KIND_FLEX:
        n = *bytes / 8;
        *bytes = sizeof(struct model_flex) + n * 8;
        return loam_new_flex(struct model_flex, tail, n);
    default:
        *bytes = sizeof(struct model_marked);
        return loam_new(struct model_marked);
    }
}

static void require_zero(const void *object, size_t from, size_t to) {
    const unsigned char *bytes = object;
    for (size_t i = from; i < to; i++) {
        must(bytes[i] == 0);
    }
}

static size_t free_handle(const struct shadow *s) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        if (s->handles[i].hidden == 0) {
            return i;
        }
    }
    return SHADOW_NONE;
}

OWN_FRAME size_t shadow_make(struct shadow *s, enum kind kind, size_t bytes) {
    size_t which = free_handle(s);
    if (which == SHADOW_NONE) {
        shadow_compare(s);
        which = free_handle(s);
    }
    if (which == SHADOW_NONE) {
        return SHADOW_NONE;
    }
    void *object = allocate(kind, &bytes);
    if (object == NULL) {
        must(loam_last_status() != LOAM_OK);
        return SHADOW_NONE;
    }
    if (kind != KIND_LEAF) {
        require_zero(object, 0, bytes);
    }
    s->held[which] = object;
    struct handle *h = &s->handles[which];
    *h = (struct handle){.hidden = hide(object),
                         .kind = kind,
                         .bytes = bytes,
                         .slot_count = slots_of(kind, bytes),
                         .serial = ++last_serial};
    s->weak[which] = NULL;
    for (size_t i = 0; i < SHADOW_SLOTS; i++) {
        h->edges[i] = (struct edge){SHADOW_NONE, ~(uintptr_t)0};
    }
    pattern_write(h, object, kind == KIND_LEAF ? 0 : pattern_start(h));
    return which;
}

void shadow_release(struct shadow *s, size_t which) {
    s->held[which] = NULL;
}

bool shadow_is_held(const struct shadow *s, size_t which) {
    return s->held[which] != NULL;
}

OWN_FRAME void shadow_link(struct shadow *s, size_t from, size_t slot,
                           size_t target, size_t offset) {
    struct handle *h = &s->handles[from];
    if (h->slot_count == 0) {
        return;
    }
    slot %= h->slot_count;
    uintptr_t word = 0;
    if (target != SHADOW_NONE) {
        const struct handle *t = &s->handles[target];
        word = (uintptr_t)unhide(t->hidden) +
               (t->bytes > 0 ? offset % t->bytes : 0);
        word = h->kind == KIND_MARKED ? ~word : word;
    }
    uintptr_t *object = unhide(h->hidden);
    object[word_of_slot(h->kind, slot)] = word;
    h->edges[slot] = (struct edge){target, ~word};
}

OWN_FRAME void shadow_decoy(struct shadow *s, size_t from, size_t target) {
    struct handle *h = &s->handles[from];
    uintptr_t *object = unhide(h->hidden);
    uintptr_t address = (uintptr_t)unhide(s->handles[target].hidden);
    if (h->kind == KIND_LEAF && h->bytes >= 8) {
        object[0] = address; // The pattern of a leaf is checked from byte 8.
    } else if (h->kind == KIND_PAIR || h->kind == KIND_ARRAY ||
               h->kind == KIND_FLEX) {
        object[1] = address;
    } else if (h->kind == KIND_MARKED) {
        object[4] = address;
    }
}

OWN_FRAME void shadow_resize(struct shadow *s, size_t which, size_t bytes) {
    struct handle *h = &s->handles[which];
    if (h->kind == KIND_FLEX) {
        bytes = sizeof(struct model_flex) + bytes / 8 * 8;
    } else if (!has_pattern(h)) {
        return;
    }
    unsigned char *object = loam_realloc(unhide(h->hidden), bytes);
    if (object == NULL) {
        must(is_live(h->hidden));
        return;
    }
    s->held[which] = object;
    size_t common = bytes < h->bytes ? bytes : h->bytes;
    for (size_t i = pattern_start(h); has_pattern(h) && i < common; i++) {
        must(object[i] == pattern_byte(h, i));
    }
    if (h->kind != KIND_LEAF && bytes > h->bytes) {
        require_zero(object, h->bytes, bytes);
    }
    h->hidden = hide(object);
    h->bytes = bytes;
    size_t slots = slots_of(h->kind, bytes);
    if (slots < h->slot_count || h->kind == KIND_FLEX) {
        h->slot_count = slots;
    }
    for (size_t i = h->slot_count; i < SHADOW_SLOTS; i++) {
        h->edges[i] = (struct edge){SHADOW_NONE, ~(uintptr_t)0};
    }
    pattern_write(h, object, has_pattern(h) ? pattern_start(h) : 0);
}

// Forgets an object, and its weak reference.
static void handle_clear(struct shadow *s, size_t which) {
    s->handles[which].hidden = 0;
    s->handles[which].slot_count = 0;
    s->held[which] = NULL;
    s->weak[which] = NULL;
}

OWN_FRAME void shadow_drop(struct shadow *s, size_t which) {
    loam_free(unhide(s->handles[which].hidden));
    must(!is_live(s->handles[which].hidden));
    must(s->weak[which] == NULL || loam_weak_get(s->weak[which]) == NULL);
    handle_clear(s, which);
}

bool shadow_is_alone(const struct shadow *s, size_t which) {
    if (s->handles[which].pin_count > 0) {
        return false;
    }
    for (size_t i = 0; i < SHADOW_AREAS * SHADOW_AREA_WORDS; i++) {
        const struct area *area = &s->areas[i / SHADOW_AREA_WORDS];
        if (area->targets[i % SHADOW_AREA_WORDS] == which) {
            return false;
        }
    }
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        const struct handle *h = &s->handles[i];
        for (size_t e = 0; h->hidden != 0 && e < h->slot_count; e++) {
            if (h->edges[e].target == which) {
                return false;
            }
        }
    }
    return true;
}

void shadow_area_toggle(struct shadow *s, size_t which) {
    struct area *area = &s->areas[which];
    if (!area->is_added) {
        area->is_added =
            loam_root_add(area->words, SHADOW_AREA_WORDS * sizeof(void *)) == 0;
        return;
    }
    loam_root_remove(area->words);
    area->is_added = false;
    for (size_t w = 0; w < SHADOW_AREA_WORDS; w++) {
        area->words[w] = NULL;
        area->targets[w] = SHADOW_NONE;
    }
}

// ---- Comparing --------------------------------------------------------------

static void reach_one(struct shadow *s, size_t which) {
    if (which != SHADOW_NONE && !s->handles[which].is_reached) {
        s->handles[which].is_reached = true;
        s->pending[s->pending_count++] = which;
    }
}

static void reach_rest(struct shadow *s) {
    while (s->pending_count > 0) {
        const struct handle *h = &s->handles[s->pending[--s->pending_count]];
        for (size_t e = 0; e < h->slot_count; e++) {
            reach_one(s, h->edges[e].target);
        }
    }
}

// What else is reached from those that are still to get a finalizer.
static void mark_owed(struct shadow *s) {
    static bool was_reached[SHADOW_HANDLES];
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        was_reached[i] = s->handles[i].is_reached;
        s->handles[i].is_owed = false;
    }
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        if (s->handles[i].hidden != 0 && s->handles[i].final == FINAL_SET) {
            reach_one(s, i);
        }
    }
    reach_rest(s);
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        struct handle *h = &s->handles[i];
        h->is_owed = h->is_reached && !was_reached[i];
        h->is_reached = was_reached[i];
    }
}

void shadow_reach(struct shadow *s) {
    s->pending_count = 0;
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        struct handle *h = &s->handles[i];
        h->is_reached = false;
        if (h->hidden != 0 && (h->pin_count > 0 || shadow_is_held(s, i))) {
            reach_one(s, i);
        }
    }
    for (size_t i = 0; i < SHADOW_AREAS * SHADOW_AREA_WORDS; i++) {
        const struct area *area = &s->areas[i / SHADOW_AREA_WORDS];
        if (area->is_added) {
            reach_one(s, area->targets[i % SHADOW_AREA_WORDS]);
        }
    }
    reach_rest(s);
    mark_owed(s);
}

bool shadow_may_use(const struct shadow *s, size_t which) {
    return s->handles[which].hidden != 0 && s->handles[which].is_reached;
}

static _Noreturn void shadow_differs(const struct handle *h, const char *what,
                                     size_t at) {
    fprintf(stderr,
            "model: object %llu (kind %d, %zu bytes, at %p, %s, finalizer %d): "
            "%s %zu differs; the heap knows %p of %zu bytes there\n",
            (unsigned long long)h->serial, (int)h->kind, h->bytes,
            unhide(h->hidden),
            h->is_reached ? "reached"
            : h->is_owed  ? "owed to a finalizer"
                          : "out of reach",
            (int)h->final, what, at, loam_base_of(unhide(h->hidden)),
            loam_size_of(unhide(h->hidden)));
    abort();
}

static void require_intact(const struct handle *h) {
    const void *object = unhide(h->hidden);
    const unsigned char *bytes = object;
    const uintptr_t *words = object;
    if (!is_live(h->hidden) || loam_size_of(object) < h->bytes) {
        shadow_differs(h, "size", 0);
    }
    const struct loam_type *type = loam_type_of(object);
    const char *name = type_name_of(h->kind);
    if ((type == NULL) != (name == NULL) ||
        (type != NULL && strcmp(loam_type_name(type), name) != 0)) {
        shadow_differs(h, "type", 0);
    }
    for (size_t i = 0; i < h->slot_count; i++) {
        if (words[word_of_slot(h->kind, i)] != ~h->edges[i].content) {
            shadow_differs(h, "slot", i);
        }
    }
    for (size_t i = pattern_start(h); has_pattern(h) && i < h->bytes; i++) {
        if (bytes[i] != pattern_byte(h, i)) {
            shadow_differs(h, "byte", i);
        }
    }
    for (size_t e = 0; !has_pattern(h) && e < element_count(h); e++) {
        if (words[serial_word(h, e)] != h->serial) {
            shadow_differs(h, "element", e);
        }
    }
}

// Of the retained objects, how many are not simply kept by another one.
static size_t retained_from_outside(struct shadow *s) {
    size_t count = 0;
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        count += s->handles[i].is_retained ? 1 : 0;
    }
    static bool is_kept[SHADOW_HANDLES];
    memset(is_kept, 0, sizeof is_kept);
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        const struct handle *h = &s->handles[i];
        for (size_t e = 0; h->is_retained && e < h->slot_count; e++) {
            size_t t = h->edges[e].target;
            if (t != SHADOW_NONE && t != i && s->handles[t].is_retained &&
                !is_kept[t]) {
                is_kept[t] = true;
                count--;
            }
        }
    }
    return count;
}

// Whether a weak reference leads where it should.
static OWN_FRAME void require_watched(const struct shadow *s, size_t which) {
    const struct handle *h = &s->handles[which];
    if (s->weak[which] == NULL) {
        return;
    }
    const void *p = loam_weak_get(s->weak[which]);
    if (p != NULL ? p != unhide(h->hidden) : h->is_reached && h->is_weak_sure) {
        shadow_differs(h, "weak reference", 0);
    }
}

static void require_reached_intact(const struct shadow *s) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        const struct handle *h = &s->handles[i];
        if (h->hidden != 0 && h->is_reached) {
            require_intact(h);
            require_watched(s, i);
        }
    }
}

// Not while a collection is being settled: what it found dead is no object until
// the finalizers' turn comes, and nobody but the shadow could ask.
static void require_owed_intact(const struct shadow *s) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        if (s->handles[i].hidden != 0 && s->handles[i].is_owed) {
            require_intact(&s->handles[i]);
        }
    }
}

// Of what a finalizer gets, all that it leads to.
static void require_whole(struct shadow *s, size_t which) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        s->handles[i].is_reached = false;
    }
    reach_one(s, which);
    reach_rest(s);
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        if (s->handles[i].is_reached) {
            require_intact(&s->handles[i]);
        }
    }
}

// Whether what lives at a dead object's address is another, made since.
static bool is_used_again(const struct shadow *s, const struct handle *dead) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        const struct handle *h = &s->handles[i];
        if (h->hidden == dead->hidden && h->serial > dead->serial) {
            return true;
        }
    }
    return false;
}

static void shadow_forget_dead(struct shadow *s) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        struct handle *h = &s->handles[i];
        if (h->hidden != 0 && !h->is_reached && !h->is_owed) {
            handle_clear(s, i);
        }
    }
}

// A minor collection keeps the dead that are old, and one that marks beside the
// program what died meanwhile, so how much is kept is asked only here. What
// loam_collect marks it marks anew, and where it does so beside the program
// nothing dies meanwhile, since the only thread to change anything waits for it:
// the bounds are the same in every mode. It also clears away what the program
// made since that is in no book, and would be taken for the dead whose memory it
// was given.
OWN_FRAME void shadow_compare(struct shadow *s) {
    shadow_reach(s);
    require_reached_intact(s);
    collect_clean();
    require_reached_intact(s);
    require_owed_intact(s);
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        struct handle *h = &s->handles[i];
        bool is_dead = h->hidden != 0 && !h->is_reached && !h->is_owed;
        h->is_retained = is_dead && is_live(h->hidden) && !is_used_again(s, h);
        // Nobody is told of an object that is gone.
        must(!is_dead || s->weak[i] == NULL || is_live(h->hidden) ||
             loam_weak_get(s->weak[i]) == NULL);
        s->dead_count += is_dead ? 1 : 0;
        s->retained_count += h->is_retained ? 1 : 0;
    }
    must(retained_from_outside(s) <= SURVIVORS_SLACK);
    shadow_forget_dead(s);
    s->collection_count = collections();
}

// ---- Weak references and finalizers -----------------------------------------------

OWN_FRAME void shadow_watch(struct shadow *s, size_t which) {
    struct handle *h = &s->handles[which];
    if (s->weak[which] != NULL && h->is_weak_sure) {
        require_watched(s, which);
        return;
    }
    s->weak[which] = loam_weak_new(unhide(h->hidden));
    h->is_weak_sure = true;
}

static size_t handle_of(const struct shadow *s, uint64_t serial) {
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        if (s->handles[i].hidden != 0 && s->handles[i].serial == serial) {
            return i;
        }
    }
    return SHADOW_NONE;
}

// Every third is held again, and all it leads to is within reach by that.
static void model_final(void *object, void *argument) {
    struct shadow *s = finals_of;
    uint64_t serial = (uintptr_t)argument / 2;
    if (s == NULL || serial < s->first_serial) {
        return;
    }
    size_t which = handle_of(s, serial);
    must(which != SHADOW_NONE); // what was freed by hand gets none
    struct handle *h = &s->handles[which];
    must(object == unhide(h->hidden) && h->final == FINAL_SET);
    require_whole(s, which);
    shadow_reach(s);
    if (h->is_reached && !h->may_be_due) {
        shadow_differs(h, "reach", 0);
    }
    require_reached_intact(s);
    must(h->may_be_due || s->weak[which] == NULL ||
         loam_weak_get(s->weak[which]) == NULL);
    h->final = FINAL_CALLED;
    h->may_be_due = false;
    if (++s->called_count % 3 != 0) {
        return;
    }
    s->held[which] = object;
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        struct handle *other = &s->handles[i];
        other->is_weak_sure &= other->is_reached;
        other->may_be_due |= !other->is_reached && other->final == FINAL_SET;
    }
}

// The serial number is hidden from the heap as an odd word.
OWN_FRAME void shadow_finalize(struct shadow *s, size_t which) {
    struct handle *h = &s->handles[which];
    void *object = unhide(h->hidden);
    bool is_set = h->final == FINAL_SET;
    if (h->may_be_due) {
        return; // the call cannot be taken back
    }
    void *argument = (void *)(uintptr_t)(2 * h->serial + 1); // NOLINT
    if (loam_finalize(object, is_set ? NULL : model_final, argument) == 0) {
        h->final = is_set ? FINAL_NONE : FINAL_SET;
    }
}

OWN_FRAME void shadow_run_finals(struct shadow *s) {
    must(s == finals_of);
    size_t due = loam_finalizers_due();
    must(loam_finalizers_run(SIZE_MAX) >= due);
}

// Not after each collection is all collected again: several minor ones in a row
// and old objects are part of what is to be tried.
OWN_FRAME void shadow_settle(struct shadow *s) {
    uint64_t now = collections();
    if (now == s->collection_count) {
        return;
    }
    s->collection_count = now;
    if (++s->seen_count % SHADOW_COMPARE_EVERY == 0) {
        shadow_compare(s);
    } else {
        shadow_reach(s);
        require_reached_intact(s);
    }
}
