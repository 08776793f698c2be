// SPDX-License-Identifier: MIT
// lines.c: fingerprints of lines.
//
// A fingerprint is a sum of products of pairs of words, each word under a
// random key of its own: the hash NH of Black, Halevi, Krawczyk, Krovetz and
// Rogaway ("UMAC", 1999) with products folded to 64 bits. Two different lines
// have the same one with a probability of about 2^-62, whatever the program
// writes, since it does not know the keys.
//
//   lines.1  Each word of a line whose fingerprint is kept led, when that was
//            taken, outside the heap or to an allocated object; if that object
//            is freed in this marking, whatever is next allocated in its place
//            is born marked. So a line that has not changed refers to nothing
//            that is not found otherwise, though a program stores the same
//            address again for another object.

#include "mark/lines.h"

#include "base/bits.h"
#include "heap/space.h"
#include "os/memory.h"

#include <string.h>
#include <sys/random.h>

#define LINES_PAGE_BYTES ((uintptr_t)4096)
#define LINE_WORDS (LM_MARK_LINE_BYTES / sizeof(uintptr_t))

__extension__ typedef unsigned __int128 wide;

static struct {
    uint64_t (*print)[LM_MARK_LINES]; // by block
    uint32_t *kept;                   // lines whose print is of this marking
    uint8_t *stamp;                   // the marking that `kept` is of
    size_t bytes;
    uint8_t marking;
    uint64_t key[LINE_WORDS + 2];
} lines;

static void keys_make(void) {
    if (getrandom(lines.key, sizeof lines.key, GRND_NONBLOCK) ==
        (ssize_t)sizeof lines.key) {
        return;
    }
    // Early in the life of a machine. Where things lie is random, too.
    uint64_t x = (uint64_t)lm_space.base ^ (uint64_t)(uintptr_t)&lines;
    for (size_t i = 0; i < sizeof lines.key / sizeof *lines.key; i++) {
        x += 0x9e3779b97f4a7c15u; // splitmix64, Steele and others 2014
        uint64_t z = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        lines.key[i] = z ^ (z >> 31);
    }
}

static void lines_make(void) {
    size_t blocks = lm_space_block_count();
    lines.bytes = blocks * (sizeof *lines.print + sizeof *lines.kept +
                            sizeof *lines.stamp);
    char *table = lm_memory_map(lines.bytes);
    if (table) {
        lines.print = (uint64_t(*)[LM_MARK_LINES])table;
        lines.kept = (uint32_t *)(lines.print + blocks);
        lines.stamp = (uint8_t *)(lines.kept + blocks);
        keys_make();
    }
}

void lm_lines_fini(void) {
    if (lines.print) {
        lm_memory_release(lines.print, lines.bytes);
    }
    memset(&lines, 0, sizeof lines);
}

static void table_discard(void *table, size_t entry_bytes) {
    size_t bytes = lm_space_used_blocks() * entry_bytes;
    uintptr_t start = lm_round_up((uintptr_t)table, LINES_PAGE_BYTES);
    uintptr_t end = ((uintptr_t)table + bytes) & ~(LINES_PAGE_BYTES - 1);
    if (start < end) {
        lm_memory_discard((void *)start, end - start); // NOLINT
    }
}

// A fingerprint without its stamp counts for nothing, so the order is that.
void lm_lines_discard(void) {
    if (lines.print) {
        memset(lines.stamp, 0, lm_space_used_blocks());
        table_discard(lines.stamp, sizeof *lines.stamp);
        table_discard(lines.kept, sizeof *lines.kept);
        table_discard(lines.print, sizeof *lines.print);
    }
}

void lm_lines_begin(void) {
    if (lines.print == NULL) {
        lines_make();
    }
    lines.marking++;
    if (lines.marking == 0 && lines.print) {
        memset(lines.stamp, 0, lm_space_used_blocks());
        lines.marking = 1;
    }
}

static uint64_t fold(uint64_t a, uint64_t b) {
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t line_print(const uintptr_t *words, uint64_t marks) {
    uint64_t sum =
        fold(marks ^ lines.key[LINE_WORDS], lines.key[LINE_WORDS + 1]);
    for (size_t i = 0; i < LINE_WORDS; i += 2) {
        sum += fold(words[i] ^ lines.key[i], words[i + 1] ^ lines.key[i + 1]);
    }
    return sum;
}

// Acquire, and release below: bits are of the marking that the stamp says, also
// where two markers are about the same block.
static uint32_t lines_known(size_t block) {
    uint8_t stamp = __atomic_load_n(&lines.stamp[block], __ATOMIC_ACQUIRE);
    return stamp == lines.marking
               ? __atomic_load_n(&lines.kept[block], __ATOMIC_ACQUIRE)
               : 0;
}

uint32_t lm_lines_changed(size_t block, const uintptr_t *words,
                          const uint64_t marks[LM_MARK_LINES], unsigned first,
                          unsigned last, uint64_t prints[LM_MARK_LINES]) {
    uint32_t all = (uint32_t)(((uint64_t)1 << last) - ((uint64_t)1 << first));
    if (lines.print == NULL) {
        return all;
    }
    uint32_t known = lines_known(block);
    uint32_t changed = 0;
    for (unsigned i = first; i < last; i++) {
        uint32_t bit = (uint32_t)1 << i;
        prints[i] = line_print(words + i * LINE_WORDS, marks[i]);
        if (!(known & bit) ||
            prints[i] !=
                __atomic_load_n(&lines.print[block][i], __ATOMIC_RELAXED)) {
            changed |= bit;
        }
    }
    return changed;
}

void lm_lines_keep(size_t block, uint32_t which,
                   const uint64_t prints[LM_MARK_LINES]) {
    if (lines.print == NULL) {
        return;
    }
    // Of two markers that do this one may undo what the other has kept, which
    // only makes lines count as changed.
    if (__atomic_load_n(&lines.stamp[block], __ATOMIC_ACQUIRE) !=
        lines.marking) {
        __atomic_store_n(&lines.kept[block], 0, __ATOMIC_RELAXED);
        __atomic_store_n(&lines.stamp[block], lines.marking, __ATOMIC_RELEASE);
    }
    for (uint32_t rest = which; rest; rest &= rest - 1) {
        unsigned i = lm_bits_first(rest);
        __atomic_store_n(&lines.print[block][i], prints[i], __ATOMIC_RELAXED);
    }
    __atomic_fetch_or(&lines.kept[block], which, __ATOMIC_RELEASE);
}
