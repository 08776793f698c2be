// SPDX-License-Identifier: MIT
// counted_shared_ptr.cpp: the same with std::shared_ptr. A chain of a million
// dies in a loop, since its destructors would not fit the stack.

#include "counted.h"

#include <memory>
#include <utility>

static uint64_t died;

namespace {
struct node {
    std::shared_ptr<node> next;
    long number = 42;
    ~node() {
        died += number == 42;
    }
};
} // namespace

static std::shared_ptr<node> common;

static void pair_begin() {
    common = std::make_shared<node>();
}

static void pair_count(long count) {
    for (long i = 0; i < count; i++) {
        std::shared_ptr<node> mine = common;
        __asm__ volatile("" : : "r"(mine.get()) : "memory");
    }
}

static uint64_t chain_drop(double *ns) {
    std::shared_ptr<node> head;
    died = 0;
    for (long i = 0; i < COUNTED_CHAIN; i++) {
        auto made = std::make_shared<node>();
        made->next = std::move(head);
        head = std::move(made);
    }
    int64_t begin = bench_now_ns();
    while (head) {
        auto next = std::move(head->next);
        head = std::move(next);
    }
    *ns = static_cast<double>(bench_now_ns() - begin);
    return died;
}

int main(int argc, char **argv) {
    return counted_main(argc, argv);
}
