// SPDX-License-Identifier: MIT
// thread.c: loam/thread.h.

#include <loam/thread.h>

#include "api/runtime.h"
#include "api/status.h"
#include "base/check.h"
#include "world/roll.h"
#include "world/roots.h"
#include "world/stop.h"

#include <string.h>

int loam_thread_register(void) {
    return lm_runtime_self() ? 0 : -1;
}

void loam_thread_unregister(void) {
    if (lm_self) {
        lm_roll_detach();
    }
}

void loam_blocking_begin(void) {
    struct lm_member *self = lm_runtime_self();
    if (self && self->blocking_depth++ == 0) {
        lm_member_retreat(self);
    }
}

void loam_blocking_end(void) {
    struct lm_member *self = lm_self;
    if (self == NULL || self->blocking_depth == 0) {
        lm_caller_error("loam_blocking_end ends a loam_blocking_begin of the "
                        "same thread",
                        "call them in pairs",
                        "loam_blocking_end without loam_blocking_begin");
    }
    if (--self->blocking_depth == 0) {
        lm_member_resume(self);
    }
}

// ---- Coroutines ------------------------------------------------------------------

struct loam_stack *loam_stack_add(void *base, size_t bytes) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return NULL;
    }
    if (base == NULL || bytes == 0) {
        lm_status_set(LOAM_BAD_ARGUMENT,
                      "bad argument: a stack of %zu bytes at %p", bytes,
                      (const void *)base);
        return NULL;
    }
    struct loam_stack *stack =
        lm_roots_stack_add((uintptr_t)base, (uintptr_t)base + bytes);
    if (stack == NULL) {
        lm_status_set(LOAM_NO_MEMORY,
                      "no memory: the system gave none for a stack's record");
    }
    return stack;
}

void loam_stack_remove(struct loam_stack *stack) {
    if (stack->owner) {
        lm_caller_error("a stack is removed after the last switch away from it",
                        "call loam_stack_switch before leaving it",
                        "loam_stack_remove of a stack that thread %d runs on",
                        (int)stack->owner->id);
    }
    lm_roots_stack_remove(stack);
}

void loam_stack_switch(struct loam_stack *to) {
    struct lm_member *self = lm_runtime_self();
    if (self == NULL) {
        return;
    }
    struct loam_stack *from = self->coroutine;
    if (to && to->owner && to->owner != self) {
        lm_caller_error("one thread at a time runs on a stack",
                        "switch away from it on the other thread first",
                        "loam_stack_switch to a stack that thread %d runs on",
                        (int)to->owner->id);
    }
    lm_member_inside(self);
    uintptr_t *registers = from ? from->stack.registers : self->left_registers;
    lm_machine_registers(registers);
    if (from) {
        from->stack.sp = lm_machine_sp();
        from->owner = NULL;
    } else {
        self->left_sp = lm_machine_sp();
    }
    self->coroutine = to;
    if (to) {
        to->owner = self;
    }
    lm_member_outside(self);
}
