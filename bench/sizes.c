// SPDX-License-Identifier: MIT
// sizes.c: how much memory and time do mixed sizes with random lifetimes cost?
//
// Objects of 16 bytes to 1 MiB, each doubling as likely as the next, sit in a
// table; a random one is replaced again and again. One in ten is asked for as
// memory that may hold pointers. At the end: the resident memory over the
// bytes that are asked for and live.
//
//   sizes SLOTS STEPS

#include "backend.h"
#include "measure.h"

enum { PAGE_BYTES = 4096, DOUBLINGS = 16 };

struct slot {
    unsigned char *object;
    uint64_t bytes;
};
TYPE(struct slot, object)

static uint64_t size_random(struct bench_random *random) {
    uint64_t r = bench_random_next(random);
    uint64_t base = (uint64_t)16 << ((r >> 32) % DOUBLINGS);
    return base + (r & 0xffffffff) % base;
}

// Writes to every page, so that all that is asked for is really there.
static void object_fill(unsigned char *object, uint64_t bytes) {
    unsigned char mark = (unsigned char)(bytes * 167 >> 4 | 1);
    for (uint64_t at = 15; at < bytes; at += PAGE_BYTES) {
        object[at] = mark;
    }
    object[bytes - 1] = mark;
}

static uint64_t object_check(const unsigned char *object, uint64_t bytes) {
    unsigned char mark = (unsigned char)(bytes * 167 >> 4 | 1);
    if (object == NULL) {
        bench_fail("an object is not there");
    }
    for (uint64_t at = 15; at < bytes; at += PAGE_BYTES) {
        if (object[at] != mark) {
            bench_fail("an object changed");
        }
    }
    if (object[bytes - 1] != mark) {
        bench_fail("an object changed at its end");
    }
    return bytes;
}

static void slot_fill(struct slot *slot, uint64_t bytes, int has_pointers) {
    slot->object = has_pointers ? ALLOC(bytes) : ALLOC_LEAF(bytes);
    slot->bytes = bytes;
    object_fill(slot->object, bytes);
}

static struct slot *slots; // static data, where collectors look

int main(int argc, char **argv) {
    bench_start();
    long slot_count = bench_argument(argc, argv, 1, 2000);
    long steps = bench_argument(argc, argv, 2, 200000);
    if (slot_count < 1 || steps < 0) {
        bench_fail("usage: sizes SLOTS STEPS");
    }
    slots = NEW_ARRAY(struct slot, (size_t)slot_count);
    struct bench_random random = bench_random_from(13);
    uint64_t answer = 0;
    uint64_t live = 0;
    for (long i = 0; i < slot_count + steps; i++) {
        struct slot *slot =
            i < slot_count
                ? &slots[i]
                : &slots[bench_random_below(&random, (uint64_t)slot_count)];
        if (slot->object != NULL) {
            answer =
                bench_mix(answer ^ object_check(slot->object, slot->bytes));
            live -= slot->bytes;
            FREE_EXPLICIT(slot->object);
        }
        uint64_t bytes = size_random(&random);
        slot_fill(slot, bytes, bench_random_below(&random, 10) == 0);
        live += bytes;
    }
    for (long i = 0; i < slot_count; i++) {
        answer =
            bench_mix(answer ^ object_check(slots[i].object, slots[i].bytes));
    }
    uint64_t resident = bench_resident_bytes();
    bench_say(answer, bench_pauses(),
              ", \"resident_over_live\": %.2f, \"live_mib\": %.1f",
              (double)resident / (double)live, (double)live / 0x1p20);
    return 0;
}
