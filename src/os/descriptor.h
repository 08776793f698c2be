// SPDX-License-Identifier: MIT
// os/descriptor.h: files that stay ours in a program that closes or takes numbers.
//
// A daemon closes all descriptors it can think of, others put files of their own
// at numbers they have chosen. So a descriptor that we keep is looked at before
// each use, none is closed unless it still is the file that was opened, and what
// is read is read without moving the file's offset.

#ifndef OS_DESCRIPTOR_H
#define OS_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct lm_descriptor {
    int fd;
    dev_t device;
    ino_t inode;
};

#define LM_DESCRIPTOR_NONE                                                     \
    { .fd = -1 }

// lm_descriptor_keep takes over a new descriptor and moves it up, out of the way
// of programs that count on low ones. fd may be -1: false then, errno stays.
bool lm_descriptor_keep(struct lm_descriptor *d, int fd);

// lm_descriptor_is_high is false where so few numbers are allowed that it could
// not be moved up far: then the program may need this one.
bool lm_descriptor_is_high(const struct lm_descriptor *d);

// lm_descriptor_is_ours is true while it is open and the file that was kept.
bool lm_descriptor_is_ours(const struct lm_descriptor *d);

// lm_descriptor_close closes it if it is ours. Keeps errno.
void lm_descriptor_close(struct lm_descriptor *d);

// lm_descriptor_text fills text with the file's first room - 1 bytes, and a 0;
// false, and "", if nothing can be read or the file is not ours. Keeps errno.
bool lm_descriptor_text(const struct lm_descriptor *d, char *text, size_t room);

// lm_file_text does the same for the file at path, and closes it again.
bool lm_file_text(const char *path, char *text, size_t room);

#endif // OS_DESCRIPTOR_H
