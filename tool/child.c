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

static const int child_signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                    SIGUSR1, SIGUSR2, SIGALRM};
enum { CHILD_SIGNAL_COUNT = sizeof child_signals / sizeof child_signals[0] };

// The process that signals go to. Written only while they are blocked.
static volatile sig_atomic_t child_pid;

static void child_pass_on(int number, siginfo_t *info, void *context) {
    (void)context;
    int before = errno;
    // What the kernel sends for a key, it sends to the whole group of the
    // terminal, and so to the program as well.
    if (info->si_code <= 0 && child_pid > 0) {
        kill((pid_t)child_pid, number);
    }
    errno = before;
}

static uint64_t child_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t child_timeval_ns(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

// In the new process: become the program, or tell our parent why not.
static void child_become(char **argv, const struct child_setting *settings,
                         int setting_count, const sigset_t *mask, int pipe_fd) {
    for (int i = 0; i < setting_count; i++) {
        if (settings[i].value != NULL) {
            setenv(settings[i].name, settings[i].value, 1);
        }
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int error = errno;
    ssize_t written = write(pipe_fd, &error, sizeof error);
    _exit(written == sizeof error ? 127 : 126);
}

static void child_handle_signals(struct sigaction *before) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = child_pass_on;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < CHILD_SIGNAL_COUNT; i++) {
        sigaction(child_signals[i], NULL, &before[i]);
        // Ignored by whoever started us (nohup), so ignored by the program
        // too: there is nothing to pass on.
        if (before[i].sa_handler != SIG_IGN) {
            sigaction(child_signals[i], &action, NULL);
        }
    }
}

static void child_reap(pid_t pid, const sigset_t *signals,
                       struct child *child) {
    // Look first and reap second, so that no signal is passed on to a number
    // that belongs to another process by then.
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0 &&
           errno == EINTR) {
    }
    sigprocmask(SIG_BLOCK, signals, NULL);
    child_pid = 0;
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

int child_run(char **argv, const struct child_setting *settings,
              int setting_count, struct child *child) {
    memset(child, 0, sizeof *child);
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return -1;
    }
    sigset_t signals;
    sigset_t mask;
    sigemptyset(&signals);
    for (int i = 0; i < CHILD_SIGNAL_COUNT; i++) {
        sigaddset(&signals, child_signals[i]);
    }
    sigprocmask(SIG_BLOCK, &signals, &mask);
    uint64_t begin_ns = child_now_ns();
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        sigprocmask(SIG_SETMASK, &mask, NULL);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        errno = error;
        return -1;
    }
    if (pid == 0) {
        child_become(argv, settings, setting_count, &mask, pipe_fds[1]);
    }
    child_pid = pid;
    struct sigaction before[CHILD_SIGNAL_COUNT];
    child_handle_signals(before);
    sigprocmask(SIG_SETMASK, &mask, NULL);

    close(pipe_fds[1]);
    // Nothing comes where exec succeeds: the other end closes with it.
    while (read(pipe_fds[0], &child->start_error, sizeof(int)) < 0 &&
           errno == EINTR) {
    }
    close(pipe_fds[0]);
    child_reap(pid, &signals, child);
    child->wall_ns = child_now_ns() - begin_ns;

    for (int i = 0; i < CHILD_SIGNAL_COUNT; i++) {
        sigaction(child_signals[i], &before[i], NULL);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return 0;
}

int child_shell_status(const struct child *child) {
    return child->signal != 0 ? 128 + child->signal : child->exit_status;
}
