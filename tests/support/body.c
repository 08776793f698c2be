// SPDX-License-Identifier: MIT
// body.c: objects that can tell whether they are still themselves.

#include "support/body.h"

#include <loam.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/survivors.h"

#define BODY_MAGIC UINT64_C(0xB0D1E5C0FFEE1234)

LOAM_TYPE(struct body, links, text)

static unsigned char body_byte(uint64_t tag, size_t length, size_t i) {
    return (unsigned char)(tag * 31 + length * 7 + i * 13 + 0x5A);
}

static void body_require_zero(const void *memory, size_t bytes) {
    const unsigned char *at = memory;
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != 0) {
            fprintf(stderr, "body: fresh memory at %p+%zu (%zu) holds %#x\n",
                    memory, i, bytes, at[i]);
            abort();
        }
    }
}

static struct body *body_allocate(uint64_t choice, size_t pattern_bytes) {
    size_t bytes = sizeof(struct body) + pattern_bytes;
    struct body *body = NULL;
    switch (choice) {
    case 0:
        body = loam_alloc(bytes);
        break;
    case 1:
        body = loam_alloc_aligned(64, bytes);
        break;
    case 2: // Grown from a smaller one.
        body = loam_alloc(sizeof *body);
        body = body != NULL ? loam_realloc(body, bytes) : NULL;
        break;
    default:
        return loam_new_flex(struct body, pattern, pattern_bytes);
    }
    return body;
}

struct body *body_new(struct chance *chance, uint64_t tag, size_t max_bytes) {
    // Mostly small, as real programs are; now and then as large as allowed.
    size_t limit = chance_below(chance, 64) == 0 ? max_bytes : 160;
    size_t pattern_bytes = chance_below(chance, limit < 1 ? 1 : limit);
    struct body *body = body_allocate(chance_below(chance, 10), pattern_bytes);
    if (body == NULL) {
        return NULL;
    }
    body_require_zero(body, sizeof *body + pattern_bytes);
    body->magic = BODY_MAGIC ^ (uintptr_t)body;
    body->tag = tag;
    body->pattern_bytes = (uint32_t)pattern_bytes;
    for (size_t i = 0; i < pattern_bytes; i++) {
        body->pattern[i] = body_byte(tag, pattern_bytes, i);
    }
    size_t text_bytes =
        chance_below(chance, 3) == 0 ? 1 + pattern_bytes / 2 : 0;
    if (text_bytes != 0) {
        body->text = loam_alloc_leaf(text_bytes);
        for (size_t i = 0; body->text != NULL && i < text_bytes; i++) {
            body->text[i] = body_byte(~tag, text_bytes, i);
        }
        body->text_bytes = body->text != NULL ? (uint32_t)text_bytes : 0;
    }
    return body;
}

static _Noreturn void body_lost(const struct body *body, const char *part,
                                size_t at) {
    fprintf(stderr,
            "body: %p is broken at %s+%zu: magic %#llx, tag %#llx, "
            "lengths %u and %u; the collector knows it as %p of %zu bytes\n",
            (const void *)body, part, at, (unsigned long long)body->magic,
            (unsigned long long)body->tag, body->pattern_bytes,
            body->text_bytes, loam_base_of(body), loam_size_of(body));
    abort();
}

void body_check(const struct body *body) {
    if (body->magic != (BODY_MAGIC ^ (uintptr_t)body)) {
        body_lost(body, "magic", 0);
    }
    for (size_t i = 0; i < body->pattern_bytes; i++) {
        if (body->pattern[i] != body_byte(body->tag, body->pattern_bytes, i)) {
            body_lost(body, "pattern", i);
        }
    }
    for (size_t i = 0; i < body->text_bytes; i++) {
        if (body->text[i] != body_byte(~body->tag, body->text_bytes, i)) {
            body_lost(body, "text", i);
        }
    }
}

void body_wipe(struct body *body) {
    body->magic = 0;
    for (size_t i = 0; i < BODY_LINKS; i++) {
        body->links[i] = NULL;
    }
}

struct body *body_walk(struct chance *chance, struct body *from, size_t steps) {
    for (size_t i = 0; i < steps; i++) {
        body_check(from);
        struct body *next = from->links[chance_below(chance, BODY_LINKS)];
        if (next == NULL) {
            break;
        }
        from = next;
    }
    return from;
}
