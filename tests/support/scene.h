// SPDX-License-Identifier: MIT
// scene.h: running a piece of a test program in a process of its own.
//
// A scene is a function of the test program. scene_play starts the program
// again with the scene's name, so that it meets a fresh heap and settings of
// its own, and tells how it ended and what it wrote.

#ifndef LOAM_TESTS_SUPPORT_SCENE_H
#define LOAM_TESTS_SUPPORT_SCENE_H

#include <stdbool.h>
#include <stddef.h>

struct scene {
    const char *name;
    void (*run)(void);
};

struct outcome {
    bool is_aborted; // ended by SIGABRT
    int exit_code;   // -1 where a signal ended it
    int signal;      // 0 where it exited
    char out[16384]; // the beginning of its standard output
    char err[65536]; // the beginning of its standard error
};

// scene_main runs the scene that the command line names and exits; it returns
// where the command line names none. Call it first in main.
void scene_main(int argc, char **argv, const struct scene *scenes,
                size_t count);

// scene_play runs a scene. settings are "NAME=VALUE" strings up to a NULL.
// The outcome is valid until the next call.
const struct outcome *scene_play(const char *name, const char *const *settings);

// scene_play_limited is scene_play under a limit on the address space.
const struct outcome *scene_play_limited(const char *name,
                                         const char *const *settings,
                                         size_t address_space_bytes);

// scene_play_after is scene_play with a function that is run in the scene's
// process before the program starts there: it may take rights or limits away.
// Where it returns false the scene is not played, and scene_was_refused says so.
const struct outcome *scene_play_after(bool (*prepare)(void), const char *name,
                                       const char *const *settings);
bool scene_was_refused(const struct outcome *outcome);

// child_wait waits for a child process and returns its status as waitpid does.
int child_wait(int pid);

#endif // LOAM_TESTS_SUPPORT_SCENE_H
