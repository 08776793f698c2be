// SPDX-License-Identifier: MIT
// cxx_test.cpp: the headers used from C++17.

#include <loam.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

struct node {
    node *next;
    int value;
};
LOAM_TYPE(node, next)

struct row {
    std::size_t count;
    node *cells[4];
    node inner;
};
LOAM_TYPE(row, cells, LOAM_NESTED(inner, node))

struct numbers {
    double values[10];
};
LOAM_TYPE_LEAF(numbers)

static void require(bool condition, const char *what) {
    if (!condition) {
        std::fprintf(stderr, "c++: this must hold: %s\n", what);
        std::abort();
    }
}

template <typename T> static T *make() {
    return loam_new(T);
}

int main() {
    require(loam_init() == 0, "the heap starts");
    node *list = nullptr;
    for (int i = 0; i < 100000; i++) {
        node *n = loam_new(node);
        n->next = list;
        n->value = i;
        list = n;
    }
    loam_collect();
    int expected = 100000;
    for (node *n = list; n != nullptr; n = n->next) {
        require(n->value == --expected, "every node is as it was");
    }
    require(expected == 0, "every node is there");
    row *rows = loam_new_array(row, 10);
    rows[9].cells[3] = list;
    require(loam_type_of(rows) != nullptr, "the row has a type");
    require(std::strcmp(loam_type_name(loam_type_of(rows)), "row") == 0,
            "the type has its name");
    require(loam_new(numbers) != nullptr, "a leaf type can be made");
    require(make<node>() != nullptr, "a template can make a type");
    loam_pool_options options = {};
    options.max_count = 1;
    options.type = loam_type_get(node);
    loam_pool *pool = loam_pool_new(&options);
    void *lent = loam_pool_acquire(pool);
    require(lent != nullptr && loam_pool_try(pool) == nullptr,
            "a pool lends what it has");
    loam_pool_release(pool, lent);
    auto *bytes = static_cast<char *>(loam_alloc(100));
    require(loam_base_of(bytes + 50) == bytes, "interior pointers work");
    loam_free(bytes);
    require(std::strcmp(loam_printf("%d", 5), "5") == 0, "printf works");
    loam_store(&rows[8].cells[0], list);
    loam_store(&rows[8].cells[1], nullptr);
    require(rows[8].cells[0] == list, "loam_store stores");
    loam_store_range(rows[7].cells, rows[8].cells, sizeof rows[8].cells);
    require(rows[7].cells[0] == list, "so does loam_store_range");
    loam_verify();
    return 0;
}
