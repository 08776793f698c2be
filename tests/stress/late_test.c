// SPDX-License-Identifier: MIT
// late_test.c: a program that is not linked with Loam opens it with dlopen,
// when it already has threads.

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT 100

static sem_t reported[2];
static sem_t replied[2];
static void *(*heap_alloc)(size_t);
static void *(*heap_base_of)(const void *);
static void (*heap_collect)(void);

static void require(int condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "late: this must hold: %s\n", what);
        abort();
    }
}

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0) {
    }
}

// Born before the library; the second is never told of it but by use.
static void *be_born_early(void *argument) {
    size_t number = (size_t)argument;
    size_t *place[COUNT];
    sem_post(&reported[number]);
    wait_for(&replied[number]);
    for (size_t i = 0; i < COUNT; i++) {
        place[i] = heap_alloc(64);
        require(place[i] != NULL && place[i][7] == 0, "fresh and zeroed");
        place[i][7] = i + 1;
    }
    sem_post(&reported[number]);
    wait_for(&replied[number]);
    for (size_t i = 0; i < COUNT; i++) {
        require(heap_base_of(place[i]) == place[i], "still an object");
        require(place[i][7] == i + 1, "still intact");
    }
    return NULL;
}

static void churn(void) {
    for (int i = 0; i < 100000; i++) {
        size_t *p = heap_alloc(64);
        require(p != NULL && p[7] == 0, "fresh and zeroed");
        p[7] = 1;
    }
    heap_collect();
}

int main(void) {
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        sem_init(&reported[i], 0, 0);
        sem_init(&replied[i], 0, 0);
        require(pthread_create(&threads[i], NULL, be_born_early, (void *)i) ==
                    0,
                "a thread starts");
        wait_for(&reported[i]);
    }
    void *library = dlopen(LOAM_PATH, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
    }
    require(library != NULL, "the library opens");
    *(void **)&heap_alloc = dlsym(library, "loam_alloc");
    *(void **)&heap_base_of = dlsym(library, "loam_base_of");
    *(void **)&heap_collect = dlsym(library, "loam_collect");
    require(heap_alloc && heap_base_of && heap_collect, "it has its names");
    churn();
    for (size_t i = 0; i < 2; i++) {
        sem_post(&replied[i]);
        wait_for(&reported[i]);
    }
    churn();
    for (size_t i = 0; i < 2; i++) {
        sem_post(&replied[i]);
        require(pthread_join(threads[i], NULL) == 0, "a thread ends");
    }
    churn();
    puts("late: ok");
    return 0;
}
