// SPDX-License-Identifier: MIT
// misuse.h: requiring that what a caller must not do is an error with a message.

#ifndef LOAM_TESTS_SUPPORT_MISUSE_H
#define LOAM_TESTS_SUPPORT_MISUSE_H

// expect_abort plays a scene and requires that it ends by abort, with a message that
// names a function and has some part.
void expect_abort(const char *scene, const char *function, const char *part);

#endif // LOAM_TESTS_SUPPORT_MISUSE_H
