// SPDX-License-Identifier: MIT
// scope.c: loam/scope.h.
//
// A scope is a list of pieces, untyped objects of the heap, newest first. The
// oldest has the scope itself behind its head. What is made is cut off the newest
// piece that was made for that; what would waste a good part of one gets a piece
// of its own, behind the newest in the list.

#include <loam/scope.h>

#include "api/runtime.h"
#include "base/check.h"
#include "base/format.h"
#include "base/settings.h"
#include "collect/referrers.h"
#include "heap/find.h"

#include <loam/collect.h>
#include <loam/heap.h>

#include <stdbool.h>

// The head of a piece; what is made lies behind it.
struct piece {
    struct piece *next; // older
    uintptr_t owner;    // its scope's address, hidden from the collector
};

// A scope of one request is small; two of the first pieces share a block.
#define SCOPE_FIRST_BYTES 4096

// Four blocks: a run has a byte to spare for a pointer behind its end.
#define SCOPE_PIECE_BYTES (((size_t)32 << 10) - 16)

// So much may be left unused at the end of a piece.
#define SCOPE_WASTE_BYTES (SCOPE_PIECE_BYTES / 4)

_Static_assert(sizeof(struct piece) % 16 == 0, "what follows is aligned to 16");
_Static_assert(sizeof(struct loam_scope) % 16 == 0, "likewise");

static uintptr_t owner_of(const struct loam_scope *scope) {
    return ~(uintptr_t)scope;
}

// From here on `bytes` of a piece, its head included, are cut up, but for the last
// sixteen: the end must not be the address of what lies behind.
static void scope_use(struct loam_scope *scope, struct piece *piece,
                      size_t head_bytes, size_t bytes) {
    scope->next = (uintptr_t)piece + head_bytes;
    scope->end = (uintptr_t)piece + bytes - 16;
    scope->newest = piece;
}

struct loam_scope *loam_scope_begin(void) {
    struct piece *piece = loam_alloc(SCOPE_FIRST_BYTES);
    if (piece == NULL) {
        return NULL;
    }
    struct loam_scope *scope = (struct loam_scope *)(piece + 1);
    piece->owner = owner_of(scope);
    scope_use(scope, piece, sizeof *piece + sizeof *scope, SCOPE_FIRST_BYTES);
    return scope;
}

void *loam_scope_slow_(struct loam_scope *scope, size_t bytes) {
    struct piece *newest = scope->newest;
    bool is_alone = bytes > SCOPE_WASTE_BYTES;
    if (bytes > SIZE_MAX / 2) {
        return loam_alloc(bytes); // which says why not
    }
    size_t whole = is_alone ? sizeof *newest + bytes : SCOPE_PIECE_BYTES;
    struct piece *piece = loam_alloc(whole);
    if (piece == NULL) {
        return NULL;
    }
    piece->owner = owner_of(scope);
    if (is_alone) {
        piece->next = newest->next;
        newest->next = piece;
        return piece + 1;
    }
    piece->next = newest;
    scope_use(scope, piece, sizeof *piece, whole);
    return loam_scope_alloc(scope, bytes);
}

// ---- The end -------------------------------------------------------------------

// The piece around an address, if it is one of that scope's.
static struct piece *piece_of(uintptr_t word, const struct loam_scope *scope) {
    struct lm_object o;
    if (!lm_find(word, &o) || lm_kinds[o.kind].type != &lm_type_raw ||
        lm_find_size(&o) < SCOPE_FIRST_BYTES) {
        return NULL;
    }
    struct piece *piece = (struct piece *)o.start; // NOLINT: of the heap
    return piece->owner == owner_of(scope) ? piece : NULL;
}

// ---- What outlives it ------------------------------------------------------------

#define SCOPE_TOLD 3

struct outside {
    const struct loam_scope *scope;
    size_t count;
    struct {
        uintptr_t holder; // 0: static data, a root or a pin
        uintptr_t word;
    } first[SCOPE_TOLD];
};

// Whether a word refers to what was made in a scope: not to the scope itself, which
// may be known outside, nor to the head of a piece, which the allocator knows.
static bool word_is_made(uintptr_t word, const struct loam_scope *scope) {
    const struct piece *piece = piece_of(word, scope);
    return piece && word >= (uintptr_t)(piece + 1) &&
           word - (uintptr_t)scope >= sizeof *scope;
}

static void outside_see(uintptr_t holder, uintptr_t word, void *argument) {
    struct outside *o = argument;
    if (!word_is_made(word, o->scope) ||
        (holder && piece_of(holder, o->scope))) {
        return;
    }
    if (o->count < SCOPE_TOLD) {
        o->first[o->count].holder = holder;
        o->first[o->count].word = word;
    }
    o->count++;
}

static void outside_tell(const struct outside *o, size_t i) {
    struct lm_object object;
    uintptr_t holder = o->first[i].holder;
    uintptr_t word = o->first[i].word;
    if (holder && lm_find(holder, &object)) {
        lm_print(2, "    an object of type %s at %p refers to %p\n",
                 lm_kinds[object.kind].type->name,
                 (void *)lm_find_known(holder), // NOLINT
                 (void *)word);                 // NOLINT
    } else {
        lm_print(2, "    static data, or a root, refers to %p\n",
                 (void *)word); // NOLINT
    }
}

// Says what still refers to a scope that is about to end. After a collection, for
// what nobody can reach may refer to anything.
static void scope_check(const struct loam_scope *scope) {
    struct outside o = {.scope = scope};
    loam_collect();
    lm_referrers_each(outside_see, &o);
    if (o.count == 0) {
        return;
    }
    lm_print(2,
             "loam: loam_scope_end(%p), and %zu references to what was made in "
             "the scope are left\n"
             "  what we saw:\n",
             (const void *)scope, o.count);
    for (size_t i = 0; i < o.count && i < SCOPE_TOLD; i++) {
        outside_tell(&o, i);
    }
    lm_print(2,
             "  the rule: nothing outside a scope refers to what was made in "
             "it once it has ended: its memory is used again at once\n"
             "  what to do: copy what is to stay, with loam_alloc or "
             "loam_strdup, or end the scope later\n");
}

static void pieces_free(struct piece *piece) {
    while (piece) {
        struct piece *next = piece->next;
        piece->owner = 0;
        loam_free(piece);
        piece = next;
    }
}

void loam_scope_end(struct loam_scope *scope) {
    struct lm_member *self = scope ? lm_runtime_self() : NULL;
    if (self == NULL) {
        return;
    }
    lm_member_inside(self);
    struct piece *first = piece_of((uintptr_t)scope, scope);
    lm_member_outside(self);
    if (first == NULL || (struct loam_scope *)(first + 1) != scope) {
        lm_caller_error("loam_scope_end takes what loam_scope_begin returned, "
                        "once",
                        "look for the call that ended it before",
                        "loam_scope_end(%p), which is no scope, or has ended",
                        (const void *)scope);
    }
    if (lm_unlikely(lm_settings.check >= 2)) {
        scope_check(scope);
    }
    pieces_free(scope->newest);
}
