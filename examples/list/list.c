// SPDX-License-Identifier: MIT
// list.c: a list of 100,000 nodes, built and dropped a thousand times.
//
// It allocates 1.5 GiB in all and frees nothing, in a heap of a few MiB. The
// README shows it from the first #include on.

#include <loam.h>
#include <stddef.h>

struct node {
    struct node *next;
    long value;
};
LOAM_TYPE(struct node, next)

int main(void) {
    for (int round = 0; round < 1000; round++) {
        struct node *list = NULL; // the list before this one is forgotten
        for (long i = 0; i < 100000; i++) {
            struct node *node = loam_new(struct node);
            *node = (struct node){.next = list, .value = i};
            list = node;
        }
    }
    return 0;
}
