// SPDX-License-Identifier: MIT
// roots.c: explicit roots, pins, stacks, static data, thread-local storage.

#include "world/roots.h"

#include "base/check.h"
#include "os/lock.h"
#include "os/memory.h"
#include "os/thread.h"
#include "world/roll.h"
#include "world/table.h"

#include <string.h>

static struct {
    struct lm_lock lock;       // guards the two tables
    struct lm_table range;     // start to bytes
    struct lm_table pin;       // start to count
    struct loam_stack *stacks; // guarded by the world's lock
    struct loam_stack *unused;
} roots;

// A switch of stacks pushes a little below where loam_stack_switch was called.
#define ROOTS_SWITCH_BYTES 512

// glibc keeps so much room in the static block for libraries opened later, with
// some to spare (glibc.rtld.optional_static_tls and others, 1.7 KiB).
#define ROOTS_TLS_SPARE_BYTES 8192

// Stack records obtained from the system at a time: a page.
#define ROOTS_SLAB (4096 / sizeof(struct loam_stack))

// ---- Explicit roots and pins -----------------------------------------------

bool lm_roots_add(uintptr_t start, size_t bytes) {
    lm_lock_acquire(&roots.lock);
    bool ok = lm_table_set(&roots.range, start, bytes);
    lm_lock_release(&roots.lock);
    return ok;
}

bool lm_roots_remove(uintptr_t start) {
    lm_lock_acquire(&roots.lock);
    bool ok = lm_table_remove(&roots.range, start) != 0;
    lm_lock_release(&roots.lock);
    return ok;
}

bool lm_roots_pin(uintptr_t start) {
    lm_lock_acquire(&roots.lock);
    uintptr_t count = lm_table_get(&roots.pin, start);
    bool ok = lm_table_set(&roots.pin, start, count + 1);
    lm_lock_release(&roots.lock);
    return ok;
}

bool lm_roots_unpin(uintptr_t start) {
    lm_lock_acquire(&roots.lock);
    uintptr_t count = lm_table_remove(&roots.pin, start);
    if (count > 1) {
        lm_table_set(&roots.pin, start, count - 1); // its entry is still there
    }
    lm_lock_release(&roots.lock);
    return count != 0;
}

// ---- Coroutine stacks ---------------------------------------------------------

struct loam_stack *lm_roots_stack_add(uintptr_t low, uintptr_t high) {
    lm_world_lock();
    if (roots.unused == NULL) {
        struct loam_stack *slab = lm_memory_map(4096);
        for (size_t i = 0; slab && i < ROOTS_SLAB; i++) {
            slab[i].next = roots.unused;
            roots.unused = &slab[i];
        }
    }
    struct loam_stack *stack = roots.unused;
    if (stack) {
        roots.unused = stack->next;
        memset(stack, 0, sizeof *stack);
        // Until it has run, what its maker put on it lies anywhere.
        stack->stack = (struct lm_stack){.low = low, .high = high, .sp = low};
        stack->next = roots.stacks;
        if (stack->next) {
            stack->next->before = stack;
        }
        roots.stacks = stack;
    }
    lm_world_unlock();
    return stack;
}

void lm_roots_stack_remove(struct loam_stack *stack) {
    lm_world_lock();
    if (stack->before) {
        stack->before->next = stack->next;
    } else {
        roots.stacks = stack->next;
    }
    if (stack->next) {
        stack->next->before = stack->before;
    }
    stack->next = roots.unused;
    roots.unused = stack;
    lm_world_unlock();
}

// ---- Stacks of members -----------------------------------------------------

static bool stack_has(const struct lm_stack *stack, uintptr_t sp) {
    return sp >= stack->low && sp < stack->high;
}

static void mark_registers(struct loam_marker *m, const uintptr_t *registers) {
    for (unsigned i = 0; i < LM_MACHINE_REGISTERS; i++) {
        lm_marker_ambiguous(m, registers[i]);
    }
}

// A coroutine that nobody runs: from a little below where it was left.
static void mark_resting(struct loam_marker *m, const struct lm_stack *stack) {
    uintptr_t from = stack->sp - stack->low > ROOTS_SWITCH_BYTES
                         ? stack->sp - ROOTS_SWITCH_BYTES
                         : stack->low;
    lm_marker_range(m, from, stack->high, true);
    mark_registers(m, stack->registers);
}

// The coroutine stack that an address lies on.
static const struct lm_stack *stack_find(uintptr_t sp) {
    for (struct loam_stack *s = roots.stacks; s; s = s->next) {
        if (stack_has(&s->stack, sp)) {
            return &s->stack;
        }
    }
    return NULL;
}

// Whether the main thread's stack has grown past its old end, down to sp: then
// all in between is mapped.
static bool home_has_grown(const struct lm_member *member, uintptr_t sp) {
    return member->is_main && sp < member->home.low &&
           lm_thread_is_mapped(sp, member->home.high);
}

// A member that was interrupted on a stack that is neither its own nor a known
// coroutine's: a handler on its alternate stack, above which the whole of its
// own stack counts, since nobody knows how far that was in use.
static void mark_alternate(struct loam_marker *m,
                           const struct lm_member *member, uintptr_t sp) {
    if (sp >= member->alternate_low && sp < member->alternate_high) {
        lm_marker_range(m, sp, member->alternate_high, true);
    }
    uintptr_t low = lm_thread_lowest_mapped(
        member->is_main ? 0 : member->home.low, member->home.high);
    lm_marker_range(m, low, member->home.high, true);
}

static void mark_member(struct loam_marker *m, const struct lm_member *member,
                        uintptr_t sp) {
    const struct lm_stack *running = stack_find(sp);
    // Who was stopped by the signal has its registers on its stack.
    if (member == lm_self ||
        __atomic_load_n(&member->state, __ATOMIC_RELAXED) == LM_MEMBER_SAFE) {
        mark_registers(m, member->home.registers);
    }
    if (stack_has(&member->home, sp) ||
        (running == NULL && home_has_grown(member, sp))) {
        lm_marker_range(m, sp, member->home.high, true);
    } else if (running) {
        lm_marker_range(m, sp, running->high, true);
        // Where it left its own stack, by loam_stack_switch. It may have said
        // already that it goes back, and not be there yet.
        if (member->left_sp) {
            lm_marker_range(m, member->left_sp - ROOTS_SWITCH_BYTES,
                            member->home.high, true);
            mark_registers(m, member->left_registers);
        }
    } else {
        mark_alternate(m, member, sp);
    }
}

// ---- Static data and thread-local storage ----------------------------------

// The empty slots of non-members lie in the static data of whoever has the
// library linked in; a megabyte of zeroes is passed over.
static void mark_data(struct loam_marker *m, const struct lm_range *data) {
    uintptr_t start, end;
    lm_roll_no_slots(&start, &end);
    if (start < data->start || start >= data->end) {
        lm_marker_range(m, data->start, data->end, true);
        return;
    }
    lm_marker_range(m, data->start, start, true);
    lm_marker_range(m, end, data->end, true);
}

// The block of static thread-local storage, and glibc's own record of the
// thread beside it, which holds the first thread-specific values. Threads have
// it at the high end of their stack; the main thread has it elsewhere.
static void mark_static_tls(struct loam_marker *m,
                            const struct lm_member *member,
                            const struct lm_images *images) {
    uintptr_t pointer = member->thread_pointer;
    size_t bytes = ROOTS_TLS_SPARE_BYTES;
    if (pointer >= member->home.low && pointer < member->home.high) {
        return;
    }
    for (size_t i = 0; i < images->tls_count; i++) {
        bytes += images->tls[i].bytes;
    }
    uintptr_t low = pointer - LM_MACHINE_TLS_BELOW(bytes);
    uintptr_t high = pointer + LM_MACHINE_TLS_ABOVE(bytes);
    low = lm_thread_lowest_mapped(low, pointer);
    high = lm_thread_highest_mapped(pointer, high);
    lm_marker_range(m, low, high, true);
}

static void mark_tls(struct loam_marker *m, const struct lm_member *member,
                     const struct lm_images *images) {
    mark_static_tls(m, member, images);
    for (size_t i = 0; i < images->tls_count; i++) {
        struct lm_range block =
            lm_image_tls_block(*member->dtv, &images->tls[i]);
        lm_marker_range(m, block.start, block.end, true);
    }
}

// ---- All of it -----------------------------------------------------------------

static void mark_explicit(struct loam_marker *m) {
    for (size_t i = 0; i < roots.range.room; i++) {
        const struct lm_table_entry *e = &roots.range.entries[i];
        if (e->value) {
            lm_marker_range(m, e->key, e->key + e->value, false);
        }
    }
    for (size_t i = 0; i < roots.pin.room; i++) {
        if (roots.pin.entries[i].value) {
            lm_marker_root(m, roots.pin.entries[i].key);
        }
    }
}

void lm_roots_mark_data(struct loam_marker *marker,
                        const struct lm_images *images) {
    mark_explicit(marker);
    for (size_t i = 0; i < images->data_count; i++) {
        mark_data(marker, &images->data[i]);
    }
}

void lm_roots_mark(struct loam_marker *marker, const struct lm_images *images) {
    lm_roots_mark_data(marker, images);
    for (struct lm_member *m = lm_roll_first(); m; m = m->next) {
        lm_marker_root(marker, (uintptr_t)m->argument);
        lm_marker_root(marker, (uintptr_t)m->kept);
        if (m->is_born) {
            mark_member(marker, m, m->home.sp);
            mark_tls(marker, m, images);
        }
    }
    for (struct loam_stack *s = roots.stacks; s; s = s->next) {
        // One may have been stopped between its word and its switch.
        if (s->owner == NULL || !stack_has(&s->stack, s->owner->home.sp)) {
            mark_resting(marker, &s->stack);
        }
    }
}

void lm_roots_fini(void) {
    lm_table_fini(&roots.range);
    lm_table_fini(&roots.pin);
    roots.stacks = NULL;
}

void lm_roots_fork_prepare(void) {
    lm_lock_acquire(&roots.lock);
}

void lm_roots_fork_done(bool in_child) {
    if (in_child) {
        lm_lock_reset(&roots.lock);
    } else {
        lm_lock_release(&roots.lock);
    }
}
