// SPDX-License-Identifier: MIT
// descriptor.c: fstat(2) before anything that would harm another's file.
//
// Between that call and the next one a program may still take the number: who
// does so beside a running thread has the same race with all of libc.

#include "os/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTOR_HIGH 900
#define DESCRIPTOR_LOW 10 // where the limit of descriptors is low

static void descriptor_note(struct lm_descriptor *d, int fd) {
    struct stat file;
    bool ok = fd >= 0 && fstat(fd, &file) == 0;
    d->fd = ok ? fd : -1;
    d->device = ok ? file.st_dev : 0;
    d->inode = ok ? file.st_ino : 0;
}

bool lm_descriptor_is_ours(const struct lm_descriptor *d) {
    struct stat now;
    int error = errno;
    bool ok = d->fd >= 0 && fstat(d->fd, &now) == 0 &&
              now.st_dev == d->device && now.st_ino == d->inode;
    errno = error;
    return ok;
}

void lm_descriptor_close(struct lm_descriptor *d) {
    int error = errno;
    if (lm_descriptor_is_ours(d)) {
        close(d->fd);
    }
    d->fd = -1;
    errno = error;
}

bool lm_descriptor_keep(struct lm_descriptor *d, int fd) {
    descriptor_note(d, fd);
    if (d->fd < 0) {
        return false;
    }
    int high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_HIGH);
    if (high < 0) {
        high = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_LOW);
    }
    if (high >= 0) {
        lm_descriptor_close(d);
        d->fd = high;
    }
    return true;
}

bool lm_descriptor_is_high(const struct lm_descriptor *d) {
    return d->fd >= DESCRIPTOR_HIGH;
}

bool lm_descriptor_text(const struct lm_descriptor *d, char *text,
                        size_t room) {
    int error = errno;
    ssize_t n = lm_descriptor_is_ours(d) ? pread(d->fd, text, room - 1, 0) : -1;
    text[n > 0 ? n : 0] = '\0';
    errno = error;
    return n > 0;
}

bool lm_file_text(const char *path, char *text, size_t room) {
    struct lm_descriptor d;
    int error = errno;
    descriptor_note(&d, open(path, O_RDONLY | O_CLOEXEC));
    bool ok = lm_descriptor_text(&d, text, room);
    lm_descriptor_close(&d);
    errno = error;
    return ok;
}
