// SPDX-License-Identifier: MIT
// world/table.h: a table from addresses to numbers, in memory of its own.

#ifndef WORLD_TABLE_H
#define WORLD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lm_table_entry {
    uintptr_t key;   // 0: never used
    uintptr_t value; // 0: removed
};

// struct lm_table is an open hash table; all zeroes is empty. Its user locks.
struct lm_table {
    struct lm_table_entry *entries;
    size_t room;  // a power of two, or 0
    size_t used;  // entries whose key is set
    size_t count; // entries whose value is set
};

// lm_table_get returns the value of a key, or 0.
uintptr_t lm_table_get(const struct lm_table *table, uintptr_t key);

// lm_table_set sets a value, which is not 0; false when the table had to grow
// and could not.
bool lm_table_set(struct lm_table *table, uintptr_t key, uintptr_t value);

// lm_table_remove removes a key and returns the value it had, or 0.
uintptr_t lm_table_remove(struct lm_table *table, uintptr_t key);

void lm_table_fini(struct lm_table *table);

#endif // WORLD_TABLE_H
