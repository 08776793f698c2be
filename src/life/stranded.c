// SPDX-License-Identifier: MIT
// stranded.c: whom to let go of first.
//
// Of a dead tree only the root should be let go of: it disposes of itself, releases
// what it owns, and so on down, as if its last reference had been released. What
// is known is what an object owns. So all that is stranded is listed, and for each
// the others of the list that own it. Groups of objects that own each other are
// looked at, owners before what they own (Tarjan, "Depth-first search and linear
// graph algorithms", 1972, going from what is owned to its owners: that finds the
// groups in this order). Most groups are one object. In each:
//
//   1. Where not all of an object's count is owned by others of the list, somebody
//      outside has referred to it: it is picked. It will release what it owns; where
//      by that all references of another are released, that one will, too.
//   2. What is left refers to each other in circles. One after the other is picked,
//      and with each goes what it will let go of.
//
// What is picked gets one reference more, which whoever disposes of it holds. So it
// stays until it has been disposed of, whatever the others do. (stranded.1)
//
//   stranded.1  What is picked has no owner, a count that is one too high, and the
//               mark of what has been disposed of; and it is picked once.

#include "life/stranded.h"

#include "base/bits.h"
#include "heap/find.h"
#include "life/counted.h"
#include "life/record.h"
#include "os/memory.h"

#include <string.h>

// Looked at in one part of settling: blocks of counted objects, and all blocks.
#define STRANDED_BLOCKS 64
#define STRANDED_SKIPPED 4096
#define STRANDED_OBJECTS 1024

#define STRANDED_FIRST ((size_t)1 << 12)

enum fate {
    FATE_OPEN,
    FATE_PICKED,
    FATE_FOLLOWS, // all its references will be released
};

// Links are index + 1; 0 is none.
struct stranded {
    uintptr_t start;
    uint32_t references;
    uint32_t inside;   // of them, owned by others of the list
    uint32_t released; // of them, by those that go
    uint32_t owners;   // where they are, `inside` of them
    uint32_t fate;
    uint32_t next; // of those that go and have not released yet
    // Tarjan's.
    uint32_t asked;  // owners
    uint32_t number; // in the order of being met; 0: not yet
    uint32_t low;    // the lowest number that is known to lead here and back
    uint32_t below;  // on the stack; then, in the group
    uint32_t from;   // whose owner it was met as
    bool is_stacked;
};

enum step {
    STEP_LIST,
    STEP_COUNT,  // the references that are owned
    STEP_PLACE,  // find room for the owners
    STEP_OWNERS, // enter them
    STEP_PICK,
    STEP_DONE,
};

static struct {
    struct stranded *list; // by address
    size_t count;
    size_t room;
    uint32_t *owners; // NULL: there is no memory to keep an order
    size_t owner_count;
    enum step step;
    size_t cursor;  // block, then index
    uint32_t going; // first that goes, linked by next
    // Tarjan's.
    uint32_t met;
    uint32_t at;    // where the walk is
    uint32_t stack; // its top, linked by below
    uint32_t group; // linked by below
    uint32_t group_at;
    bool is_second; // time that the group is looked at
} stranded;

bool lm_stranded_is_possible(void) {
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        if (lm_kinds[kind].type->death.dispose) {
            return true;
        }
    }
    return false;
}

// ---- The list --------------------------------------------------------------------

static size_t list_bytes(size_t room) {
    return room * sizeof *stranded.list;
}

static size_t owner_bytes(void) {
    return stranded.owner_count * sizeof *stranded.owners;
}

static struct stranded *list_at(uint32_t link) {
    return &stranded.list[link - 1];
}

static uint32_t link_of(const struct stranded *s) {
    return (uint32_t)(s - stranded.list) + 1;
}

static bool list_grow(void) {
    size_t room = stranded.room ? stranded.room * 2 : STRANDED_FIRST;
    struct stranded *list =
        room <= UINT32_MAX ? lm_memory_map(list_bytes(room)) : NULL;
    if (list == NULL) {
        return false;
    }
    if (stranded.room) {
        memcpy(list, stranded.list, list_bytes(stranded.count));
        lm_memory_release(stranded.list, list_bytes(stranded.room));
    }
    stranded.list = list;
    stranded.room = room;
    return true;
}

static struct loam_count_ *count_at(uintptr_t start) {
    return (struct loam_count_ *)start; // NOLINT: an address of the heap
}

// What does not fit is kept until the next collection.
static void list_add(struct loam_marker *m, uintptr_t start) {
    if (!lm_counted_is_stranded(count_at(start))) {
        return;
    }
    if (stranded.count == stranded.room && !list_grow()) {
        lm_marker_root(m, start);
        return;
    }
    size_t references = lm_counted_value(count_at(start));
    stranded.list[stranded.count++] = (struct stranded){
        .start = start,
        .references =
            references < UINT32_MAX ? (uint32_t)references : UINT32_MAX};
}

// What a field owns, if it is in the list; or NULL.
static struct stranded *list_find(void *const *field) {
    uintptr_t start = (uintptr_t)((struct loam_count_ *)*field - 1);
    size_t from = 0;
    size_t to = stranded.count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (stranded.list[middle].start < start) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    bool is_there = from < stranded.count && stranded.list[from].start == start;
    return is_there ? &stranded.list[from] : NULL;
}

void lm_stranded_begin(void) {
    lm_stranded_end();
    stranded.cursor = 1;
}

void lm_stranded_end(void) {
    if (stranded.room) {
        lm_memory_release(stranded.list, list_bytes(stranded.room));
    }
    if (stranded.owners) {
        lm_memory_release(stranded.owners, owner_bytes());
    }
    memset(&stranded, 0, sizeof stranded);
}

// Whether objects of a block may be stranded; false for one that is not the first
// of a run.
static bool block_is_counted(size_t block) {
    struct lm_block entry = lm_block_load(block);
    return (entry.state == LM_BLOCK_CELLS || entry.state == LM_BLOCK_HEAD) &&
           lm_kinds[entry.kind].type->death.dispose;
}

typedef void block_fn(struct loam_marker *m, uintptr_t start);

// Calls fn for each object whose bit of one side is set and of the other is not.
static void block_each(struct loam_marker *m, size_t block, unsigned side,
                       block_fn *fn) {
    struct lm_block entry = lm_block_load(block);
    size_t cell_bytes = lm_kinds[entry.kind].cell_bytes;
    for (unsigned i = 0; i < (cell_bytes ? LM_CELL_WORDS : 1u); i++) {
        const uint64_t *pair = lm_space.bits[block].pair[i];
        // Relaxed: nobody sweeps. What is freed by hand meanwhile shows by its
        // count.
        uint64_t dead = __atomic_load_n(&pair[side], __ATOMIC_RELAXED) &
                        ~__atomic_load_n(&pair[1 - side], __ATOMIC_RELAXED);
        for (; dead; dead &= dead - 1) {
            size_t cell = i * 64u + lm_bits_first(dead);
            fn(m, (uintptr_t)lm_space_address(block) + cell * cell_bytes);
        }
    }
}

static bool step_list(struct loam_marker *m) {
    size_t end = lm_space_used_blocks();
    size_t looked = 0;
    for (size_t i = 0; i < STRANDED_SKIPPED && looked < STRANDED_BLOCKS &&
                       stranded.cursor < end;
         i++, stranded.cursor++) {
        if (block_is_counted(stranded.cursor)) {
            block_each(m, stranded.cursor, 1 - lm_space.live, list_add);
            looked++;
        }
    }
    return stranded.cursor < end;
}

// ---- Who owns whom -----------------------------------------------------------------

static void owned_count(void **field) {
    struct stranded *s = list_find(field);
    if (s) {
        s->inside++;
    }
}

static void owned_enter(void **field) {
    struct stranded *s = list_find(field);
    if (s) {
        stranded.owners[s->owners + s->asked++] = (uint32_t)stranded.cursor + 1;
    }
}

static bool step_each(void (*fn)(void **field)) {
    for (unsigned i = 0;
         i < STRANDED_OBJECTS && stranded.cursor < stranded.count;
         i++, stranded.cursor++) {
        lm_counted_each_owned(count_at(stranded.list[stranded.cursor].start),
                              fn);
    }
    return stranded.cursor < stranded.count;
}

static bool step_place(void) {
    for (unsigned i = 0;
         i < STRANDED_OBJECTS && stranded.cursor < stranded.count; i++) {
        struct stranded *s = &stranded.list[stranded.cursor++];
        s->owners = (uint32_t)stranded.owner_count;
        stranded.owner_count += s->inside;
    }
    if (stranded.cursor < stranded.count) {
        return true;
    }
    if (stranded.owner_count && stranded.owner_count <= UINT32_MAX) {
        stranded.owners = lm_memory_map(owner_bytes());
    }
    return false;
}

static bool step_owners(void) {
    return stranded.owners && step_each(owned_enter);
}

// ---- Who goes ----------------------------------------------------------------------

static void go(struct stranded *s, enum fate fate) {
    s->fate = fate;
    s->next = stranded.going;
    stranded.going = link_of(s);
}

static void owned_release(void **field) {
    struct stranded *s = list_find(field);
    if (s && ++s->released == s->references && s->fate == FATE_OPEN) {
        lm_counted_disown_stranded(count_at(s->start));
        go(s, FATE_FOLLOWS);
    }
}

static void release_next(void) {
    struct stranded *s = list_at(stranded.going);
    stranded.going = s->next;
    lm_counted_each_owned(count_at(s->start), owned_release);
}

// Without memory for a record it is kept until the next collection.
static void pick(struct loam_marker *m, struct stranded *s,
                 lm_stranded_fn *due) {
    struct lm_object object;
    lm_marker_root(m, s->start);
    if (!lm_find_cell(s->start, &object)) {
        return;
    }
    lm_record_lock();
    uint32_t number = lm_record_add(
        &object, &(struct lm_record){.kind = LM_RECORD_FINAL,
                                     .fn = lm_counted_end_stranded});
    if (number) {
        lm_record_detach(number);
        lm_counted_hold_stranded(count_at(s->start));
        due(number);
    }
    lm_record_unlock();
    go(s, FATE_PICKED);
}

// Looks at the next of the group.
static void group_look(struct loam_marker *m, lm_stranded_fn *due) {
    struct stranded *s = list_at(stranded.group_at);
    if (s->fate == FATE_OPEN &&
        (stranded.is_second || s->inside < s->references)) {
        pick(m, s, due);
    }
    stranded.group_at = s->below;
    if (stranded.group_at == 0 && !stranded.is_second) {
        stranded.is_second = true;
        stranded.group_at = stranded.group;
    }
}

// ---- Groups ------------------------------------------------------------------------

static void walk_to(struct stranded *s, uint32_t from) {
    s->number = s->low = ++stranded.met;
    s->asked = 0;
    s->from = from;
    s->below = stranded.stack;
    s->is_stacked = true;
    stranded.stack = stranded.at = link_of(s);
}

// What is above s on the stack, and s, are a group.
static void group_take(struct stranded *s) {
    stranded.group = stranded.group_at = stranded.stack;
    stranded.is_second = false;
    stranded.stack = s->below;
    s->below = 0;
    for (uint32_t i = stranded.group; i; i = list_at(i)->below) {
        list_at(i)->is_stacked = false;
    }
}

static void walk_on(void) {
    struct stranded *s = list_at(stranded.at);
    if (stranded.owners && s->asked < s->inside) {
        uint32_t link = stranded.owners[s->owners + s->asked++];
        struct stranded *owner = list_at(link);
        if (owner->number == 0) {
            walk_to(owner, stranded.at);
        } else if (owner->is_stacked && owner->number < s->low) {
            s->low = owner->number;
        }
        return;
    }
    stranded.at = s->from;
    if (s->from && s->low < list_at(s->from)->low) {
        list_at(s->from)->low = s->low;
    }
    if (s->low == s->number) {
        group_take(s);
    }
}

static bool step_pick(struct loam_marker *m, lm_stranded_fn *due) {
    for (unsigned i = 0; i < STRANDED_OBJECTS; i++) {
        if (stranded.going) {
            release_next();
        } else if (stranded.group_at) {
            group_look(m, due);
        } else if (stranded.at) {
            walk_on();
        } else if (stranded.cursor == stranded.count) {
            return false;
        } else {
            struct stranded *s = &stranded.list[stranded.cursor++];
            if (s->number == 0) {
                walk_to(s, 0);
            }
        }
    }
    return true;
}

// ---- All of it ---------------------------------------------------------------------

bool lm_stranded_some(struct loam_marker *m, lm_stranded_fn *due) {
    bool is_more = false;
    switch (stranded.step) {
    case STEP_LIST:
        is_more = step_list(m);
        break;
    case STEP_COUNT:
        is_more = step_each(owned_count);
        break;
    case STEP_PLACE:
        is_more = step_place();
        break;
    case STEP_OWNERS:
        is_more = step_owners();
        break;
    case STEP_PICK:
        is_more = step_pick(m, due);
        break;
    case STEP_DONE:
        return false;
    }
    if (!is_more) {
        stranded.step++;
        stranded.cursor = 0;
    }
    return true;
}

// ---- A minor collection --------------------------------------------------------------

static void keep(struct loam_marker *m, uintptr_t start) {
    if (lm_counted_is_stranded(count_at(start))) {
        lm_marker_root(m, start);
    }
}

bool lm_stranded_keep_young(struct loam_marker *m) {
    bool is_any = false;
    for (uint32_t kind = 1; kind < lm_kind_count(); kind++) {
        const struct lm_kind *k = &lm_kinds[kind];
        uint32_t block = k->type->death.dispose ? k->taken.first : 0;
        is_any = is_any || block;
        for (; block; block = lm_space.next[block]) {
            if (lm_block_is_young(lm_block_load(block))) {
                block_each(m, block, lm_space.live, keep);
            }
        }
    }
    return is_any;
}
