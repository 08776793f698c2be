// SPDX-License-Identifier: MIT
// os/image.h: the static data and thread-local storage of loaded objects.

#ifndef OS_IMAGE_H
#define OS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// struct lm_range is memory from start up to end.
struct lm_range {
    uintptr_t start;
    uintptr_t end;
};

// struct lm_tls is the thread-local storage of one loaded object: its number
// in each thread's vector, and how long each thread's block is.
struct lm_tls {
    size_t module;
    size_t bytes;
};

// struct lm_images is what was loaded when the list was made.
struct lm_images {
    struct lm_range *data;
    size_t data_count;
    struct lm_tls *tls;
    size_t tls_count;
};

// lm_image_hold lists what is loaded and calls fn while the loader is locked,
// so that nothing can be opened or closed until fn returns. False, and fn is
// not called, when there is no memory for the list. One caller at a time.
bool lm_image_hold(void (*fn)(const struct lm_images *, void *),
                   void *argument);

// lm_image_tls_block returns a thread's block of an object, by the thread's
// vector; start is 0 when the thread has none.
struct lm_range lm_image_tls_block(void *const *dtv, const struct lm_tls *tls);

#endif // OS_IMAGE_H
