// SPDX-License-Identifier: MIT
// lifetimes.c: the code in docs/guide.md about the lives and ends of objects.

#define _GNU_SOURCE

#include <assert.h>
#include <loam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN_FRAME __attribute__((noinline))

// ---- Weak references ----------------------------------------------------------

struct picture {
    char *name;
    unsigned char *pixels;
};
LOAM_TYPE(struct picture, name, pixels)

// The picture that is shown is kept by who shows it; this only remembers it.
static struct loam_weak *last_shown;

static struct picture *picture_last(void) {
    struct picture *p = last_shown ? loam_weak_get(last_shown) : NULL;
    return p; // NULL, or alive as long as the caller holds it
}

static OWN_FRAME void picture_show(const char *name) {
    struct picture *p = loam_new(struct picture);
    p->name = loam_strdup(name);
    last_shown = loam_weak_new(p);
    assert(picture_last() == p);
}

static void guide_weak(void) {
    picture_show("barn");
    loam_collect();
    struct picture *p = picture_last(); // a stale word may have kept it
    assert(p == NULL || strcmp(p->name, "barn") == 0);
}

// ---- Weak maps ----------------------------------------------------------------

struct caption {
    struct picture *of; // refers to its key, and does not keep it
    char *text;
};
LOAM_TYPE(struct caption, of, text)

static struct loam_weak_map *captions;

static void caption_set(struct picture *p, const char *text) {
    struct caption *c = loam_new(struct caption);
    c->of = p;
    c->text = loam_strdup(text);
    int failed = loam_weak_map_set(captions, p, c);
    assert(!failed);
}

static const char *caption_of(const struct picture *p) {
    const struct caption *c = loam_weak_map_get(captions, p);
    return c ? c->text : "";
}

static void guide_weak_maps(void) {
    captions = loam_weak_map_new();
    struct picture *p = loam_new(struct picture);
    caption_set(p, "the barn in May");
    loam_collect();
    assert(strcmp(caption_of(p), "the barn in May") == 0);
}

// ---- Weak sets ----------------------------------------------------------------

static struct loam_weak_map *opened; // pictures, which it does not keep

static void picture_open(struct picture *p) {
    if (!loam_weak_map_has(opened, p)) {
        int failed = loam_weak_map_set(opened, p, NULL);
        assert(!failed);
    }
}

static void guide_weak_sets(void) {
    opened = loam_weak_map_new();
    struct picture *p = loam_new(struct picture);
    struct picture *other = loam_new(struct picture);
    picture_open(p);
    picture_open(p);
    loam_collect();
    assert(loam_weak_map_has(opened, p) && !loam_weak_map_has(opened, other));
    assert(loam_weak_map_count(opened) == 1);
}

// ---- Interning ----------------------------------------------------------------

static uint64_t name_hash(const void *name, void *unused) {
    uint64_t hash = 5381;
    (void)unused;
    for (const char *c = name; *c; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    return hash;
}

static int name_equal(const void *a, const void *b, void *unused) {
    (void)unused;
    return strcmp(a, b) == 0;
}

static void guide_intern(void) {
    struct loam_weak_map *names = loam_intern_new(name_hash, name_equal, NULL);
    const char *one = loam_intern(names, loam_strdup("north"));
    const char *other = loam_intern(names, loam_strdup("north"));
    assert(one == other); // equal names are one object
}

// ---- Finalizers ---------------------------------------------------------------

static long pixels_alive; // in memory that is not Loam's

static void picture_end(void *object, void *size) {
    struct picture *p = object;
    free(p->pixels); // from malloc
    __atomic_sub_fetch(&pixels_alive, (long)(intptr_t)size, __ATOMIC_RELAXED);
}

static OWN_FRAME void picture_forget(size_t size) {
    struct picture *p = loam_new(struct picture);
    p->pixels = malloc(size);
    __atomic_add_fetch(&pixels_alive, (long)size, __ATOMIC_RELAXED);
    int failed = loam_finalize(p, picture_end, (void *)size);
    assert(!failed);
}

static void guide_finalizers(void) {
    picture_forget(1000);
    loam_collect();
    loam_finalizers_wait(0); // only tests need to wait for it
}

// ---- Files --------------------------------------------------------------------

static void guide_files(const char *path) {
    struct loam_resource *log = loam_file_own(fopen(path, "w"));
    if (log) {
        fprintf(loam_resource_get(log), "begun\n");
        loam_resource_close(log); // or it is closed when it is lost
    }
}

// ---- Guardians ----------------------------------------------------------------

static OWN_FRAME void guard_one(struct loam_guardian *guardian) {
    struct picture *p = loam_new(struct picture);
    p->name = loam_strdup("field");
    int failed = loam_guard(guardian, p);
    assert(!failed);
}

static void guide_guardians(void) {
    struct loam_guardian *guardian = loam_guardian_new();
    guard_one(guardian);
    loam_collect();
    struct picture *dead;
    while ((dead = loam_guardian_next(guardian)) != NULL) {
        assert(strcmp(dead->name, "field") == 0); // whole, and ours again
    }
}

// ---- Garbage ------------------------------------------------------------------

static void count_cyclic(const struct loam_garbage *garbage, void *argument) {
    size_t *count = argument;
    *count += garbage->is_referred != 0;
}

static void guide_garbage(void) {
    size_t count = 0;
    loam_garbage_each(count_cyclic, &count); // none without LOAM_KEEP
    assert(count == 0);
}

int main(void) {
    // A stale word on the stack may keep an object until the end.
    loam_finalizers_at_exit(LOAM_ON);
    guide_weak();
    guide_weak_maps();
    guide_weak_sets();
    guide_intern();
    guide_finalizers();
    guide_files("/dev/null");
    guide_guardians();
    guide_garbage();
    return 0;
}
