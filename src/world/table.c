// SPDX-License-Identifier: MIT
// table.c: linear probing, at most three quarters full.

#include "world/table.h"

#include "os/memory.h"

static size_t table_hash(uintptr_t key) {
    // Fibonacci hashing (Knuth, volume 3, 6.4): the golden ratio of 2^64.
    return (size_t)((key >> 3) * 0x9e3779b97f4a7c15u >> 20);
}

// The entry of a key, or the free one where it belongs.
static struct lm_table_entry *table_find(const struct lm_table *table,
                                         uintptr_t key) {
    size_t mask = table->room - 1;
    for (size_t i = table_hash(key) & mask;; i = (i + 1) & mask) {
        struct lm_table_entry *entry = &table->entries[i];
        if (entry->key == key || entry->key == 0) {
            return entry;
        }
    }
}

uintptr_t lm_table_get(const struct lm_table *table, uintptr_t key) {
    return table->room ? table_find(table, key)->value : 0;
}

static bool table_grow(struct lm_table *table) {
    size_t room = 256;
    while (room < table->count * 2 + 2) {
        room *= 2;
    }
    struct lm_table larger = {lm_memory_map(room * sizeof *larger.entries),
                              room, 0, 0};
    if (larger.entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->room; i++) {
        if (table->entries[i].value) {
            *table_find(&larger, table->entries[i].key) = table->entries[i];
            larger.used++;
            larger.count++;
        }
    }
    lm_table_fini(table);
    *table = larger;
    return true;
}

bool lm_table_set(struct lm_table *table, uintptr_t key, uintptr_t value) {
    struct lm_table_entry *entry = table->room ? table_find(table, key) : NULL;
    if (entry == NULL ||
        (entry->key == 0 && table->used + 1 > table->room / 4 * 3)) {
        if (!table_grow(table)) {
            return false;
        }
        entry = table_find(table, key);
    }
    table->used += entry->key == 0;
    table->count += entry->value == 0;
    *entry = (struct lm_table_entry){key, value};
    return true;
}

uintptr_t lm_table_remove(struct lm_table *table, uintptr_t key) {
    if (table->room == 0) {
        return 0;
    }
    struct lm_table_entry *entry = table_find(table, key);
    uintptr_t value = entry->value;
    table->count -= value != 0;
    entry->value = 0;
    return value;
}

void lm_table_fini(struct lm_table *table) {
    if (table->room) {
        lm_memory_release(table->entries, table->room * sizeof *table->entries);
    }
    *table = (struct lm_table){0};
}
