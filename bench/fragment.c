// SPDX-License-Identifier: MIT
// fragment.c: how much memory stays resident when most of a heap has died in
// random places, once the program asks to have it back?
//
// Objects of 32 bytes to 2 KiB fill a table; then a random three quarters of
// them die, in two rounds with new objects of other sizes between. What the
// backend can do about it (collect, move, trim, give back) it is asked to do.
// All references lie in objects whose types are known, so a collector that
// moves objects may move all of them.
//
//   fragment LIVE_MIB

#include "backend.h"
#include "measure.h"

struct item {
    struct item *unused; // makes it an object that must be looked at
    uint64_t bytes;
    uint64_t value;
};
TYPE(struct item, unused)

struct holder {
    struct item *item;
    unsigned char *body;
};
TYPE(struct holder, item, body)

static struct holder *holders; // static data, where collectors look
static uint64_t live_bytes;

// An item of fixed size, and a body that has all sizes.
static void holder_fill(struct holder *holder, struct bench_random *random,
                        unsigned doublings) {
    uint64_t r = bench_random_next(random);
    uint64_t base = (uint64_t)32 << ((r >> 32) % doublings);
    struct item *item = NEW(struct item);
    holder->item = item;
    item->unused = NULL;
    item->bytes = base + (r & 0xffffffff) % base;
    item->value = r;
    holder->body = ALLOC_LEAF(item->bytes);
    for (uint64_t at = 0; at < item->bytes; at++) {
        holder->body[at] = (unsigned char)r;
    }
    live_bytes += sizeof *item + item->bytes;
}

static uint64_t holder_check(const struct holder *holder) {
    const struct item *item = holder->item;
    unsigned char expected = (unsigned char)item->value;
    if (holder->body[0] != expected ||
        holder->body[item->bytes - 1] != expected) {
        bench_fail("an object changed");
    }
    return item->value;
}

static void holder_drop(struct holder *holder) {
    live_bytes -= sizeof *holder->item + holder->item->bytes;
    FREE_EXPLICIT(holder->body);
    FREE_EXPLICIT(holder->item);
    holder->body = NULL;
    holder->item = NULL;
}

// Drops each with a chance of `of_four` quarters.
static void holders_thin(uint64_t count, struct bench_random *random,
                         uint64_t of_four) {
    for (uint64_t i = 0; i < count; i++) {
        if (holders[i].item != NULL &&
            bench_random_below(random, 4) < of_four) {
            holder_drop(&holders[i]);
        }
    }
}

static void holders_fill(uint64_t count, struct bench_random *random,
                         unsigned doublings) {
    for (uint64_t i = 0; i < count; i++) {
        if (holders[i].item == NULL) {
            holder_fill(&holders[i], random, doublings);
        }
    }
}

int main(int argc, char **argv) {
    bench_start();
    long live_mib = bench_argument(argc, argv, 1, 256);
    if (live_mib < 1) {
        bench_fail("usage: fragment LIVE_MIB");
    }
    // Bodies have 500 bytes on average.
    uint64_t count = ((uint64_t)live_mib << 20) / 500;
    holders = NEW_ARRAY(struct holder, count);
    struct bench_random random = bench_random_from(19);
    holders_fill(count, &random, 6);
    holders_thin(count, &random, 2);
    holders_fill(count, &random, 4);
    holders_thin(count, &random, 3);

    int64_t begin = bench_now_ns();
    bench_compact();
    double compact_ms = (double)(bench_now_ns() - begin) / 1e6;
    uint64_t resident = bench_resident_bytes();
    uint64_t live = live_bytes + count * sizeof(struct holder);
    uint64_t answer = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (holders[i].item != NULL) {
            answer = bench_mix(answer ^ holder_check(&holders[i]));
        }
    }
    bench_say(answer, bench_pauses(),
              ", \"resident_over_live\": %.2f, \"live_mib\": %.1f"
              ", \"compact_ms\": %.1f",
              (double)resident / (double)live, (double)live / 0x1p20,
              compact_ms);
    return 0;
}
