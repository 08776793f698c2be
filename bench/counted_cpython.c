// SPDX-License-Identifier: MIT
// counted_cpython.c: the same with CPython's objects, whose counts are guarded by
// its global lock: a thread counts while it holds that. Its chain dies in a loop,
// too.

// Before all others, as CPython asks.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "counted.h"

struct node {
    PyObject head;
    struct node *next;
    long number;
};

static uint64_t died;

static void node_end(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    died += ((struct node *)object)->number == 42;
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyTypeObject *node_type;

static void python_start(void) {
    static PyType_Slot slots[] = {{Py_tp_dealloc, (void *)node_end}, {0, NULL}};
    static PyType_Spec spec = {.name = "bench.Node",
                               .basicsize = sizeof(struct node),
                               .flags = Py_TPFLAGS_DEFAULT |
                                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                               .slots = slots};
    Py_InitializeEx(0);
    node_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (node_type == NULL) {
        fprintf(stderr, "bench: CPython makes no type\n");
        exit(1);
    }
    PyEval_SaveThread();
}

static struct node *node_new(struct node *next) {
    struct node *node = PyObject_New(struct node, node_type);
    if (node == NULL) {
        fprintf(stderr, "bench: CPython makes no object\n");
        exit(1);
    }
    node->next = next;
    node->number = 42;
    return node;
}

static struct node *common;

static void pair_begin(void) {
    python_start();
    PyGILState_STATE state = PyGILState_Ensure();
    common = node_new(NULL);
    PyGILState_Release(state);
}

static void pair_count(long count) {
    PyGILState_STATE state = PyGILState_Ensure();
    for (long i = 0; i < count; i++) {
        struct node *mine = common;
        Py_INCREF(mine);
        __asm__ volatile("" : : "r"(mine) : "memory");
        Py_DECREF(mine);
    }
    PyGILState_Release(state);
}

static uint64_t chain_drop(double *ns) {
    PyGILState_STATE state = PyGILState_Ensure();
    struct node *head = NULL;
    died = 0;
    for (long i = 0; i < COUNTED_CHAIN; i++) {
        head = node_new(head);
    }
    int64_t begin = bench_now_ns();
    while (head) {
        struct node *next = head->next;
        Py_DECREF(head);
        head = next;
    }
    *ns = (double)(bench_now_ns() - begin);
    PyGILState_Release(state);
    return died;
}

int main(int argc, char **argv) {
    return counted_main(argc, argv);
}
