// SPDX-License-Identifier: MIT
// child.c: runs a program and waits for it as if we were not there.

#define _GNU_SOURCE

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Signals that are passed on. They are blocked and taken one by one, so there
// is no handler and nothing that one could interrupt.
static const int child_signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                    SIGUSR1, SIGUSR2, SIGALRM};
enum { CHILD_SIGNAL_COUNT = sizeof child_signals / sizeof child_signals[0] };

static uint64_t child_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t child_timeval_ns(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

// struct before is how signals were treated before us, which is how the program
// shall find them.
struct before {
    sigset_t mask;
    struct sigaction on_child;
};

static void child_hold_signals(sigset_t *signals, struct before *before) {
    sigemptyset(signals);
    sigaddset(signals, SIGCHLD);
    for (int i = 0; i < CHILD_SIGNAL_COUNT; i++) {
        sigaddset(signals, child_signals[i]);
    }
    sigprocmask(SIG_BLOCK, signals, &before->mask);
    // Whoever ignores this signal gets no status of a child.
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, &before->on_child);
}

static void child_let_signals(const struct before *before) {
    sigaction(SIGCHLD, &before->on_child, NULL);
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

// In the new process: become the program, or tell our parent why not.
static void child_become(char **argv, const struct child_setting *settings,
                         int setting_count, const struct before *before,
                         int pipe_fd) {
    for (int i = 0; i < setting_count; i++) {
        if (settings[i].value != NULL) {
            setenv(settings[i].name, settings[i].value, 1);
        }
    }
    child_let_signals(before);
    execvp(argv[0], argv);
    int error = errno;
    ssize_t written = write(pipe_fd, &error, sizeof error);
    _exit(written == sizeof error ? 127 : 126);
}

// Passes signals on until the program has ended. It is not reaped before this
// returns, so its number is still its own.
static void child_attend(pid_t pid, const sigset_t *signals) {
    for (;;) {
        siginfo_t end = {.si_pid = 0};
        if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            end.si_pid == pid) {
            return;
        }
        siginfo_t info;
        int number = sigwaitinfo(signals, &info);
        // What the kernel sends for a key, it sends to the whole group of the
        // terminal, and so to the program as well.
        if (number > 0 && number != SIGCHLD && info.si_code <= 0) {
            kill(pid, number);
        }
    }
}

static void child_reap(pid_t pid, struct child *child) {
    int status = 0;
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    child->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    child->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    child->cpu_ns =
        child_timeval_ns(usage.ru_utime) + child_timeval_ns(usage.ru_stime);
    child->peak_resident_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

// The errno of a failed exec, or 0: the pipe closes where it succeeds.
static int child_start_error(int pipe_fd) {
    int error = 0;
    ssize_t got;
    do {
        got = read(pipe_fd, &error, sizeof error);
    } while (got < 0 && errno == EINTR);
    return got == sizeof error ? error : 0;
}

int child_run(char **argv, const struct child_setting *settings,
              int setting_count, struct child *child) {
    memset(child, 0, sizeof *child);
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return -1;
    }
    sigset_t signals;
    struct before before;
    child_hold_signals(&signals, &before);
    uint64_t begin_ns = child_now_ns();
    pid_t pid = fork();
    int error = errno;
    if (pid == 0) {
        child_become(argv, settings, setting_count, &before, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    if (pid > 0) {
        child->start_error = child_start_error(pipe_fds[0]);
        child_attend(pid, &signals);
        child_reap(pid, child);
        child->wall_ns = child_now_ns() - begin_ns;
    }
    close(pipe_fds[0]);
    child_let_signals(&before);
    errno = error;
    return pid > 0 ? 0 : -1;
}

int child_shell_status(const struct child *child) {
    return child->signal != 0 ? 128 + child->signal : child->exit_status;
}
