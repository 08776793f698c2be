// SPDX-License-Identifier: MIT
// scene.c: running a piece of a test program in a process of its own.

#include "support/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/survivors.h"

// A scene that hangs is ended by SIGALRM after this long.
#define SCENE_TIMEOUT_S 60
// How the process ends where the scene could not be prepared.
#define SCENE_REFUSED 97

void scene_main(int argc, char **argv, const struct scene *scenes,
                size_t count) {
    if (argc != 3 || strcmp(argv[1], "--scene") != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[2], scenes[i].name) == 0) {
            scenes[i].run();
            exit(0);
        }
    }
    fprintf(stderr, "no scene is called %s\n", argv[2]);
    exit(99);
}

int child_wait(int pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        must(errno == EINTR);
    }
    return status;
}

// What is done to the process before the program starts.
struct scene_limits {
    size_t address_space_bytes; // 0: no limit
    bool (*prepare)(void);      // or NULL
};

static _Noreturn void scene_enter(const char *name, const char *const *settings,
                                  const struct scene_limits *limits, int out,
                                  int err) {
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    for (; settings != NULL && *settings != NULL; settings++) {
        must(putenv((char *)*settings) == 0);
    }
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (limits->address_space_bytes != 0) {
        struct rlimit limit = {limits->address_space_bytes,
                               limits->address_space_bytes};
        must(setrlimit(RLIMIT_AS, &limit) == 0);
    }
    must(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    // Nor anything that we have been given.
    syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
    alarm(SCENE_TIMEOUT_S);
    if (limits->prepare != NULL && !limits->prepare()) {
        _exit(SCENE_REFUSED);
    }
    char *argv[] = {"scene", "--scene", (char *)name, NULL};
    // Not by its path: there may be no /proc any more.
    syscall(SYS_execveat, self, "", argv, environ, AT_EMPTY_PATH);
    _exit(98);
}

static void scene_read(FILE *file, char *text, size_t room) {
    rewind(file);
    size_t got = fread(text, 1, room - 1, file);
    text[got] = '\0';
    fclose(file);
}

static const struct outcome *scene_run(const char *name,
                                       const char *const *settings,
                                       struct scene_limits limits) {
    static struct outcome outcome;
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    must(out != NULL && err != NULL);
    fflush(NULL);
    int pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        scene_enter(name, settings, &limits, fileno(out), fileno(err));
    }
    int status = child_wait(pid);
    outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    outcome.is_aborted = outcome.signal == SIGABRT;
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    scene_read(out, outcome.out, sizeof outcome.out);
    scene_read(err, outcome.err, sizeof outcome.err);
    return &outcome;
}

const struct outcome *scene_play(const char *name,
                                 const char *const *settings) {
    return scene_run(name, settings, (struct scene_limits){0, NULL});
}

const struct outcome *scene_play_limited(const char *name,
                                         const char *const *settings,
                                         size_t address_space_bytes) {
    return scene_run(name, settings,
                     (struct scene_limits){address_space_bytes, NULL});
}

const struct outcome *scene_play_after(bool (*prepare)(void), const char *name,
                                       const char *const *settings) {
    return scene_run(name, settings, (struct scene_limits){0, prepare});
}

bool scene_was_refused(const struct outcome *outcome) {
    return outcome->exit_code == SCENE_REFUSED;
}
