// SPDX-License-Identifier: MIT
// counted_gobject.c: the same with GObject. Its chain dies in a loop, too.

#include "counted.h"

#include <glib-object.h>

typedef struct node {
    GObject parent;
    struct node *next;
    long number;
} Node;

typedef struct {
    GObjectClass parent;
} NodeClass;

GType node_get_type(void);
G_DEFINE_TYPE(Node, node, G_TYPE_OBJECT)

static uint64_t died;

static void node_finalize(GObject *object) {
    died += ((Node *)object)->number == 42;
    G_OBJECT_CLASS(node_parent_class)->finalize(object);
}

static void node_class_init(NodeClass *class) {
    G_OBJECT_CLASS(class)->finalize = node_finalize;
}

static void node_init(Node *node) {
    node->number = 42;
}

static Node *common;

static void pair_begin(void) {
    common = g_object_new(node_get_type(), NULL);
}

static void pair_count(long count) {
    for (long i = 0; i < count; i++) {
        Node *mine = g_object_ref(common);
        __asm__ volatile("" : : "r"(mine) : "memory");
        g_object_unref(mine);
    }
}

static uint64_t chain_drop(double *ns) {
    Node *head = NULL;
    died = 0;
    for (long i = 0; i < COUNTED_CHAIN; i++) {
        Node *node = g_object_new(node_get_type(), NULL);
        node->next = head;
        head = node;
    }
    int64_t begin = bench_now_ns();
    while (head) {
        Node *next = head->next;
        g_object_unref(head);
        head = next;
    }
    *ns = (double)(bench_now_ns() - begin);
    return died;
}

int main(int argc, char **argv) {
    return counted_main(argc, argv);
}
