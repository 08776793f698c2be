// SPDX-License-Identifier: MIT
// misuse.c: the end of a scene in which the caller breaks the contract.

#include "support/misuse.h"

#include <string.h>

#include "support/framework.h"
#include "support/scene.h"

void expect_abort(const char *scene, const char *function, const char *part) {
    static const char *const settings[] = {"LOAM_CHECK=0", NULL};
    const struct outcome *o = scene_play(scene, settings);
    if (!o->is_aborted || strstr(o->err, function) == NULL ||
        strstr(o->err, part) == NULL) {
        print_message("%s: exit %d, signal %d, said: %s\n", scene, o->exit_code,
                      o->signal, o->err);
    }
    assert_true(o->is_aborted);
    assert_non_null(strstr(o->err, "loam: "));
    assert_non_null(strstr(o->err, function));
    assert_non_null(strstr(o->err, part));
    // It is the caller's error, not ours.
    assert_null(strstr(o->err, "loam: bug"));
}
