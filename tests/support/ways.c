// SPDX-License-Identifier: MIT
// ways.c: all the ways in which a program can store a pointer.

#include "support/ways.h"

#include <loam.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/survivors.h"

void ways_begin(struct ways *w) {
    must(pipe(w->pipe) == 0);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, w->socket) == 0);
    w->file = memfd_create("ways", MFD_CLOEXEC);
    must(w->file >= 0);
}

void ways_end(struct ways *w) {
    for (size_t i = 0; i < 2; i++) {
        close(w->pipe[i]);
        close(w->socket[i]);
    }
    close(w->file);
}

// Where to store: a word and the row that it is in.
struct spot {
    void **row;
    size_t count;
    size_t at;
};

typedef void way_function(struct ways *w, struct spot to, void *pointer);

// ---- Instructions -------------------------------------------------------------

static void way_plain(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    *(void *volatile *)&to.row[to.at] = pointer;
}

// The pointer is torn in two until the second store.
static void way_halves(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    volatile uint32_t *half = (volatile uint32_t *)&to.row[to.at];
    uint32_t value[2];
    memcpy(value, &pointer, sizeof value);
    half[1] = value[1];
    half[0] = value[0];
}

static void way_bytes(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    volatile unsigned char *byte = (volatile unsigned char *)&to.row[to.at];
    unsigned char value[sizeof pointer];
    memcpy(value, &pointer, sizeof value);
    for (size_t i = 0; i < sizeof value; i++) {
        byte[i] = value[i];
    }
}

// The whole row where it is short, else some words on both sides, so that it is
// the library's loop or string instruction that stores.
static struct spot spot_around(struct spot to, void **copy, size_t room) {
    size_t before = to.at < room / 2 ? to.at : room / 2;
    size_t start = to.at - before;
    size_t count = to.count - start < room ? to.count - start : room;
    memcpy(copy, to.row + start, count * sizeof *copy);
    return (struct spot){to.row + start, count, before};
}

static void way_memcpy(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    void *copy[96];
    struct spot part = spot_around(to, copy, 96);
    copy[part.at] = pointer;
    memcpy(part.row, copy, part.count * sizeof *copy);
    memset(copy, 0, sizeof copy);
    __asm__ volatile("" : : "r"(copy) : "memory");
}

// Over itself, by a word: the row is laid out one word off and moved into place.
static void way_memmove(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    void *copy[24];
    struct spot part = spot_around(to, copy, 24);
    copy[part.at] = pointer;
    if (part.count > 1) {
        part.row[0] = copy[0];
        memcpy(part.row, copy + 1, (part.count - 1) * sizeof *copy);
        memmove(part.row + 1, part.row, (part.count - 1) * sizeof *copy);
    }
    part.row[0] = copy[0];
    memset(copy, 0, sizeof copy);
    __asm__ volatile("" : : "r"(copy) : "memory");
}

typedef uintptr_t pair_vector
    __attribute__((vector_size(16), aligned(8), may_alias));
typedef uintptr_t quad_vector
    __attribute__((vector_size(32), aligned(8), may_alias));

static void way_vector_16(struct ways *w, struct spot to, void *pointer) {
    size_t start = to.at / 2 * 2;
    if (start + 2 > to.count) {
        way_plain(w, to, pointer);
        return;
    }
    pair_vector v = *(pair_vector *)&to.row[start];
    v[to.at - start] = (uintptr_t)pointer;
    *(volatile pair_vector *)&to.row[start] = v;
}

static inline __attribute__((always_inline)) void quad_store(struct ways *w,
                                                             struct spot to,
                                                             void *pointer) {
    size_t start = to.at / 4 * 4;
    if (start + 4 > to.count) {
        way_vector_16(w, to, pointer);
        return;
    }
    quad_vector v = *(quad_vector *)&to.row[start];
    v[to.at - start] = (uintptr_t)pointer;
    *(volatile quad_vector *)&to.row[start] = v;
}

#if defined(__x86_64__)
// One instruction where the processor has it.
__attribute__((target("avx"))) static void quad_store_wide(struct ways *w,
                                                           struct spot to,
                                                           void *pointer) {
    quad_store(w, to, pointer);
}

static void way_vector_32(struct ways *w, struct spot to, void *pointer) {
    if (__builtin_cpu_supports("avx")) {
        quad_store_wide(w, to, pointer);
    } else {
        quad_store(w, to, pointer);
    }
}

// Past the cache.
static void way_streaming(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    __builtin_ia32_movnti64((long long *)&to.row[to.at],
                            (long long)(uintptr_t)pointer);
    __builtin_ia32_sfence();
}

static void way_string(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    void *from = &pointer;
    void *into = &to.row[to.at];
    size_t count = sizeof pointer;
    __asm__ volatile("rep movsb"
                     : "+S"(from), "+D"(into), "+c"(count)
                     :
                     : "memory");
}
#else
static void way_vector_32(struct ways *w, struct spot to, void *pointer) {
    quad_store(w, to, pointer);
}
#endif

// ---- Atomic instructions --------------------------------------------------------

static void way_exchange(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    (void)__atomic_exchange_n(&to.row[to.at], pointer, __ATOMIC_SEQ_CST);
}

static void way_compare(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    void *seen = __atomic_load_n(&to.row[to.at], __ATOMIC_RELAXED);
    must(__atomic_compare_exchange_n(&to.row[to.at], &seen, pointer, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

static void way_add(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    uintptr_t *word = (uintptr_t *)(void *)&to.row[to.at];
    uintptr_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    __atomic_fetch_add(word, (uintptr_t)pointer - seen, __ATOMIC_SEQ_CST);
}

static void way_or(struct ways *w, struct spot to, void *pointer) {
    (void)w;
    uintptr_t *word = (uintptr_t *)(void *)&to.row[to.at];
    __atomic_fetch_and(word, (uintptr_t)pointer, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(word, (uintptr_t)pointer, __ATOMIC_SEQ_CST);
}

// ---- The system -------------------------------------------------------------------

#define WORD_BYTES ((ssize_t)sizeof(void *))

static void way_read(struct ways *w, struct spot to, void *pointer) {
    must(write(w->pipe[1], &pointer, sizeof pointer) == WORD_BYTES);
    must(read(w->pipe[0], &to.row[to.at], sizeof pointer) == WORD_BYTES);
}

// In two pieces.
static void way_readv(struct ways *w, struct spot to, void *pointer) {
    char *into = (char *)&to.row[to.at];
    struct iovec pieces[2] = {{into, 3}, {into + 3, sizeof pointer - 3}};
    must(write(w->pipe[1], &pointer, sizeof pointer) == WORD_BYTES);
    must(readv(w->pipe[0], pieces, 2) == WORD_BYTES);
}

static void way_recv(struct ways *w, struct spot to, void *pointer) {
    must(send(w->socket[1], &pointer, sizeof pointer, 0) == WORD_BYTES);
    must(recv(w->socket[0], &to.row[to.at], sizeof pointer, MSG_WAITALL) ==
         WORD_BYTES);
}

static void way_recvmsg(struct ways *w, struct spot to, void *pointer) {
    struct iovec piece = {&to.row[to.at], sizeof pointer};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    must(send(w->socket[1], &pointer, sizeof pointer, 0) == WORD_BYTES);
    must(recvmsg(w->socket[0], &message, 0) == WORD_BYTES);
}

static void way_pread(struct ways *w, struct spot to, void *pointer) {
    must(pwrite(w->file, &pointer, sizeof pointer, 0) == WORD_BYTES);
    must(pread(w->file, &to.row[to.at], sizeof pointer, 0) == WORD_BYTES);
}

static void way_preadv(struct ways *w, struct spot to, void *pointer) {
    struct iovec piece = {&to.row[to.at], sizeof pointer};
    must(pwrite(w->file, &pointer, sizeof pointer, 64) == WORD_BYTES);
    must(preadv(w->file, &piece, 1, 64) == WORD_BYTES);
}

// As a debugger writes into another process. Where it is forbidden, by hand.
static void way_remote(struct ways *w, struct spot to, void *pointer) {
    struct iovec from = {&pointer, sizeof pointer};
    struct iovec into = {&to.row[to.at], sizeof pointer};
    if (process_vm_writev(getpid(), &from, 1, &into, 1, 0) != WORD_BYTES) {
        way_plain(w, to, pointer);
    }
}

// ---- All of them ------------------------------------------------------------------

static const struct {
    const char *name;
    way_function *store;
} ways_all[] = {
    {"a plain store", way_plain},
    {"two stores of halves", way_halves},
    {"eight stores of bytes", way_bytes},
    {"memcpy", way_memcpy},
    {"memmove", way_memmove},
    {"a vector of 16 bytes", way_vector_16},
    {"a vector of 32 bytes", way_vector_32},
#if defined(__x86_64__)
    {"a store past the cache", way_streaming},
    {"a string instruction", way_string},
#endif
    {"atomic exchange", way_exchange},
    {"atomic compare and exchange", way_compare},
    {"atomic add", way_add},
    {"atomic and, then or", way_or},
    {"read from a pipe", way_read},
    {"readv from a pipe", way_readv},
    {"recv", way_recv},
    {"recvmsg", way_recvmsg},
    {"pread from a file in memory", way_pread},
    {"preadv from a file in memory", way_preadv},
    {"process_vm_writev", way_remote},
};

// Of the system's, which are the last.
#define SYSTEM_WAYS 7

size_t ways_count(void) {
    size_t all = sizeof ways_all / sizeof *ways_all;
    // There they fail, as docs/guide.md says.
    bool is_protected = strcmp(loam_track_name(), "mprotect") == 0;
    return is_protected ? all - SYSTEM_WAYS : all;
}

const char *ways_name(size_t way) {
    return ways_all[way].name;
}

OWN_FRAME void ways_store(struct ways *w, size_t way, void **row, size_t count,
                          size_t at, void *pointer) {
    // Torn, or on its way through the system, it is also here.
    void *volatile kept = pointer;
    ways_all[way].store(w, (struct spot){row, count, at}, pointer);
    must(row[at] == kept);
    kept = NULL;
}
