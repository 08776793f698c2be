// SPDX-License-Identifier: MIT
// plugin.c: a library that is opened and closed while the program runs.
//
// It is built twice: linked with Loam, and (PLUGIN_PLAIN) knowing nothing of
// it, with only places where pointers are kept.

#include <stddef.h>

#define PLUGIN_COUNT 100
#define PLUGIN_STATIC_COUNT 16

void **plugin_data(void);
void **plugin_bss(void);
void **plugin_tls(void);
void **plugin_static_tls(void);

static void *in_data[PLUGIN_COUNT] = {(void *)1};
static void *in_bss[PLUGIN_COUNT];
static _Thread_local void *in_tls[PLUGIN_COUNT];
// In the part that the loader has laid out beforehand for libraries opened
// later; the loader notes nothing of it in the thread's table.
static _Thread_local void *in_static_tls[PLUGIN_STATIC_COUNT]
    __attribute__((tls_model("initial-exec")));

void **plugin_data(void) {
    return in_data;
}

void **plugin_bss(void) {
    return in_bss;
}

void **plugin_tls(void) {
    return in_tls;
}

void **plugin_static_tls(void) {
    return in_static_tls;
}

#ifndef PLUGIN_PLAIN
#include <loam.h>

struct plugin_node {
    struct plugin_node *next;
    size_t number;
};
LOAM_TYPE(struct plugin_node, next)

struct plugin_node *plugin_list(size_t length);
size_t plugin_sum(const struct plugin_node *list);

struct plugin_node *plugin_list(size_t length) {
    struct plugin_node *list = NULL;
    for (size_t i = 0; i < length; i++) {
        struct plugin_node *n = loam_new(struct plugin_node);
        if (n == NULL) {
            return NULL;
        }
        n->next = list;
        n->number = i + 1;
        list = n;
    }
    return list;
}

size_t plugin_sum(const struct plugin_node *list) {
    size_t sum = 0;
    for (; list != NULL; list = list->next) {
        sum += list->number;
    }
    return sum;
}
// Runs inside dlopen, while the loader holds its lock.
__attribute__((constructor)) static void plugin_begin(void) {
    in_bss[0] = plugin_list(1000);
    loam_collect();
}

// Runs inside dlclose.
__attribute__((destructor)) static void plugin_end(void) {
    in_bss[0] = plugin_list(1000);
    loam_collect();
}
#endif
