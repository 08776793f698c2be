// SPDX-License-Identifier: MIT
// crew.c: threads that take files from a queue and index them.
//
// These are ordinary threads: the collector finds them and their stacks by
// itself.

#include "crew.h"

#include "must.h"

// Returns false when the queue is empty.
static int crew_take(struct crew *crew, size_t *number) {
    pthread_mutex_lock(&crew->lock);
    int is_left = crew->next < crew->name_count;
    if (is_left) {
        *number = crew->next++;
    }
    pthread_mutex_unlock(&crew->lock);
    return is_left;
}

static void *crew_work(void *argument) {
    struct crew *crew = argument;
    size_t i;
    while (crew_take(crew, &i)) {
        crew->sources[i] = source_read(crew->names[i], i, &crew->problems[i]);
        if (crew->sources[i] != NULL) {
            index_add(crew->index, crew->sources[i]);
        }
    }
    return NULL;
}

size_t crew_run(struct crew *crew, char **names, size_t name_count,
                size_t thread_count) {
    *crew = (struct crew){.names = names, .name_count = name_count};
    crew->index = index_new();
    crew->sources = must(loam_new_array(struct source *, name_count));
    crew->problems = must(loam_new_array(const char *, name_count));
    pthread_mutex_init(&crew->lock, NULL);

    pthread_t *threads =
        must(loam_alloc_leaf(thread_count * sizeof(pthread_t)));
    size_t started = 0;
    while (started + 1 < thread_count &&
           pthread_create(&threads[started], NULL, crew_work, crew) == 0) {
        started++;
    }
    crew_work(crew);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    return started + 1;
}
