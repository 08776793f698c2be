// SPDX-License-Identifier: MIT
// image.c: walking the loaded objects.
//
// The list must be of the moment at which the program stops, but making it
// takes the loader's lock, which a stopped thread may hold. So it is the other
// way round: inside the loader's walk, under its lock, the list is made by a
// second walk (the lock is recursive), and the program is stopped there.

#include "os/image.h"

#include "base/bits.h"
#include "os/memory.h"

#include <link.h>
#include <string.h>

// What the lists have room for; they grow between collections.
static struct lm_images image_list;
static size_t image_data_room;
static size_t image_tls_room;

static bool image_grow(void **items, size_t *room, size_t item_bytes,
                       size_t count) {
    if (count < *room) {
        return true;
    }
    size_t bytes = lm_round_up((*room * 2 + 64) * item_bytes, 4096);
    void *larger = lm_memory_map(bytes);
    if (larger == NULL) {
        return false;
    }
    if (*room > 0) {
        memcpy(larger, *items, count * item_bytes);
        lm_memory_release(*items, lm_round_up(*room * item_bytes, 4096));
    }
    *items = larger;
    *room = bytes / item_bytes;
    return true;
}

static bool image_add_data(uintptr_t start, size_t bytes) {
    struct lm_images *list = &image_list;
    if (!image_grow((void **)&list->data, &image_data_room, sizeof *list->data,
                    list->data_count)) {
        return false;
    }
    list->data[list->data_count++] = (struct lm_range){start, start + bytes};
    return true;
}

static bool image_add_tls(size_t module, size_t bytes) {
    struct lm_images *list = &image_list;
    if (!image_grow((void **)&list->tls, &image_tls_room, sizeof *list->tls,
                    list->tls_count)) {
        return false;
    }
    list->tls[list->tls_count++] = (struct lm_tls){module, bytes};
    return true;
}

static int image_list_one(struct dl_phdr_info *info, size_t size, void *fine) {
    (void)size;
    bool ok = true;
    for (int i = 0; i < info->dlpi_phnum && ok; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_W)) {
            ok = image_add_data(info->dlpi_addr + h->p_vaddr, h->p_memsz);
        } else if (h->p_type == PT_TLS && info->dlpi_tls_modid > 0) {
            ok = image_add_tls(info->dlpi_tls_modid, h->p_memsz);
        }
    }
    *(bool *)fine = ok;
    return !ok;
}

struct hold {
    void (*fn)(const struct lm_images *, void *);
    void *argument;
    bool is_done;
};

static int image_under_lock(struct dl_phdr_info *info, size_t size, void *arg) {
    struct hold *hold = arg;
    bool fine = true;
    (void)info;
    (void)size;
    image_list.data_count = 0;
    image_list.tls_count = 0;
    dl_iterate_phdr(image_list_one, &fine);
    if (fine) {
        hold->fn(&image_list, hold->argument);
        hold->is_done = true;
    }
    return 1; // the walk has served its purpose
}

bool lm_image_hold(void (*fn)(const struct lm_images *, void *),
                   void *argument) {
    struct hold hold = {fn, argument, false};
    dl_iterate_phdr(image_under_lock, &hold);
    return hold.is_done;
}

struct lm_range lm_image_tls_block(void *const *dtv, const struct lm_tls *tls) {
    // glibc: entry -1 holds the length, entry m is a pair whose first word is
    // the block, or -1 while the thread has not asked for it.
    const uintptr_t *entries = (const uintptr_t *)dtv;
    if (entries == NULL || entries[-2] < tls->module) {
        return (struct lm_range){0, 0};
    }
    uintptr_t block = entries[2 * tls->module];
    if (block == 0 || block == UINTPTR_MAX) {
        return (struct lm_range){0, 0};
    }
    return (struct lm_range){block, block + tls->bytes};
}
