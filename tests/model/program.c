// SPDX-License-Identifier: MIT
// program.c: a program over the heap, made from random numbers or from bytes.

#include "model/program.h"

#include <loam.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "model/counts.h"
#include "model/shadow.h"
#include "support/survivors.h"

static bool choice_is_over(const struct choice *choice) {
    return choice->at != NULL && choice->at >= choice->end;
}

static size_t choose(struct choice *choice, size_t limit) {
    if (choice->at == NULL) {
        return chance_below(&choice->chance, limit);
    }
    size_t value = 0;
    for (size_t span = 1; span < limit; span *= 256) {
        value = value * 256 + (choice->at < choice->end ? *choice->at++ : 0);
    }
    return value % limit;
}

// A size as programs ask for: mostly small, sometimes a run of blocks.
static size_t choose_size(struct choice *choice) {
    switch (choose(choice, 32)) {
    case 0:
        return choose(choice, 300000);
    case 1:
    case 2:
        return choose(choice, 40000);
    case 3:
    case 4:
    case 5:
        return choose(choice, 5000);
    default:
        return choose(choice, 256);
    }
}

// The first handle at or after a random place for which `is_wanted` is true, or
// SHADOW_NONE.
static size_t choose_where(struct shadow *s, struct choice *choice,
                           bool (*is_wanted)(const struct shadow *, size_t)) {
    size_t start = choose(choice, SHADOW_HANDLES);
    for (size_t i = 0; i < SHADOW_HANDLES; i++) {
        size_t which = (start + i) % SHADOW_HANDLES;
        if (is_wanted(s, which)) {
            return which;
        }
    }
    return SHADOW_NONE;
}

// A handle that may be used, or SHADOW_NONE.
static size_t choose_handle(struct shadow *s, struct choice *choice) {
    shadow_reach(s);
    return choose_where(s, choice, shadow_may_use);
}

static OWN_FRAME void step_root(struct shadow *s, struct choice *choice,
                                size_t target) {
    struct area *area = &s->areas[choose(choice, SHADOW_AREAS)];
    size_t word = choose(choice, SHADOW_AREA_WORDS);
    if (!area->is_added) {
        return;
    }
    bool is_set = target != SHADOW_NONE && choose(choice, 4) != 0;
    char *pointer = NULL;
    if (is_set) {
        const struct handle *h = &s->handles[target];
        size_t offset = choose(choice, h->bytes > 0 ? h->bytes : 1);
        pointer = (char *)unhide(h->hidden) + offset;
    }
    // In one store: what was there may be all that kept the target.
    area->targets[word] = is_set ? target : SHADOW_NONE;
    area->words[word] = pointer;
}

static OWN_FRAME void step_pin(struct shadow *s, struct choice *choice,
                               size_t target) {
    struct handle *h = &s->handles[target];
    if (h->pin_count > 0) {
        h->pin_count--;
        loam_unpin(unhide(h->hidden));
    } else if (choose(choice, 8) == 0 && loam_pin(unhide(h->hidden)) != NULL) {
        h->pin_count++;
    }
}

static OWN_FRAME void step_refused(struct choice *choice) {
    switch (choose(choice, 5)) {
    case 0:
        must(loam_alloc(SIZE_MAX - choose(choice, 5000)) == NULL);
        break;
    case 1:
        must(loam_alloc_aligned(3 + 2 * choose(choice, 50), 10) == NULL);
        break;
    case 2:
        must(loam_root_add(NULL, 8) == -1);
        break;
    case 3:
        must(loam_new_array(void *, SIZE_MAX / 4) == NULL);
        break;
    default:
        loam_trim();
        must(loam_base_of(&choice) == NULL);
        break;
    }
}

static OWN_FRAME void step_held(struct shadow *s, struct choice *choice) {
    size_t target = choose_where(s, choice, shadow_is_held);
    if (target == SHADOW_NONE) {
        return;
    }
    size_t what = choose(choice, 3);
    if (what == 0 || !shadow_is_alone(s, target)) {
        shadow_release(s, target);
    } else if (what == 1) {
        shadow_drop(s, target);
    } else {
        shadow_resize(s, target, choose_size(choice));
    }
}

static OWN_FRAME void step_garbage(struct choice *choice) {
    for (size_t i = choose(choice, 200); i > 0; i--) {
        void *p = loam_alloc(choose_size(choice) % 9000);
        if (p != NULL && i % 3 == 0) {
            loam_free(p);
        }
    }
}

static OWN_FRAME void step_make(struct shadow *s, struct choice *choice) {
    size_t made = shadow_make(s, (enum kind)choose(choice, KIND_COUNT),
                              choose_size(choice));
    if (made == SHADOW_NONE) {
        return;
    }
    // Hold on to most of it at once: that is how graphs grow.
    if (choose(choice, 4) != 0) {
        size_t from = choose_handle(s, choice);
        shadow_link(s, from, choose(choice, SHADOW_SLOTS), made, 0);
    }
    if (choose(choice, 6) != 0) {
        shadow_release(s, made);
    }
}

static OWN_FRAME void step_counts(struct choice *choice) {
    static const enum counts_what whats[] = {
        COUNTS_MAKE, COUNTS_MAKE, COUNTS_RETAIN,  COUNTS_RELEASE,
        COUNTS_OWN,  COUNTS_OWN,  COUNTS_RELEASE, COUNTS_LOSE};
    for (size_t i = 1 + choose(choice, 8); i > 0; i--) {
        enum counts_what what = whats[choose(choice, 8)];
        size_t which = choose(choice, COUNTS_SEATS);
        // Sometimes nobody.
        size_t other = choose(choice, COUNTS_SEATS * 5 / 4);
        counts_step(what, which, other, choose(choice, COUNTS_OWNED));
    }
}

static OWN_FRAME void step(struct shadow *s, struct choice *choice) {
    size_t what = choose(choice, 128);
    size_t target = choose_handle(s, choice);
    if (what < 30 || target == SHADOW_NONE) {
        step_make(s, choice);
    } else if (what < 60) {
        bool is_cut = choose(choice, 4) == 0;
        shadow_link(s, target, choose(choice, SHADOW_SLOTS),
                    is_cut ? SHADOW_NONE : choose_handle(s, choice),
                    choose(choice, 100000));
    } else if (what < 68) {
        shadow_decoy(s, target, choose_handle(s, choice));
    } else if (what < 82) {
        step_root(s, choice, target);
    } else if (what < 84) {
        shadow_area_toggle(s, choose(choice, SHADOW_AREAS));
    } else if (what < 86) {
        step_pin(s, choice, target);
    } else if (what < 92) {
        step_held(s, choice);
    } else if (what < 95) {
        step_garbage(choice);
    } else if (what < 98) {
        step_refused(choice);
    } else if (what == 98) {
        loam_collect_minor();
    } else if (what == 99) {
        collect_clean();
    } else if (what < 104) {
        shadow_watch(s, target);
    } else if (what < 116) {
        shadow_finalize(s, target);
    } else if (what < 126) {
        step_counts(choice);
    } else {
        shadow_run_finals(s);
    }
}

void program_run(struct choice *choice, size_t step_limit) {
    struct shadow *s = shadow_new();
    counts_begin();
    for (size_t i = 0; i < step_limit && !choice_is_over(choice); i++) {
        step(s, choice);
        stack_clear();
        shadow_settle(s);
        if (i % 256 == 0) {
            loam_verify();
        }
    }
    shadow_compare(s);
    counts_end();
    // Over a long run stale words cannot hold on to much: 3 at most were seen.
    if (s->dead_count > 1000) {
        must(s->retained_count <= s->dead_count / 100);
        must(s->called_count > 0);
    }
    shadow_free(s);
    loam_verify();
}
