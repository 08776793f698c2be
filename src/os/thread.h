// SPDX-License-Identifier: MIT
// os/thread.h: what the system knows about threads.

#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// lm_thread_id returns the kernel's number of the calling thread.
pid_t lm_thread_id(void);

// What became of a signal that was sent.
enum lm_signal_result {
    LM_SIGNAL_SENT,
    LM_SIGNAL_FULL, // the queue of real-time signals is full: try again
    LM_SIGNAL_GONE, // there is no such thread any more
};

// lm_thread_signal sends a signal to one thread of this process.
enum lm_signal_result lm_thread_signal(pid_t thread, int signal);

// lm_thread_stack finds the calling thread's stack. It includes the
// thread-local storage that glibc puts at its high end. True for the main
// thread's, which may grow below that low end when the limit is raised.
bool lm_thread_stack(uintptr_t *low, uintptr_t *high);

// lm_thread_start runs fn on a thread of the library's own, detached, with
// every signal blocked and a name for ps and top. False when refused. Its stack is
// small, unless it is to run the program's functions.
bool lm_thread_start(void *(*fn)(void *), void *argument, const char *name,
                     bool is_for_program);

// lm_thread_processors_init returns on how many processors the calling thread
// may run, and notes which: all threads of the library's own may run there, even
// if one that begins them is kept on fewer by then.
unsigned lm_thread_processors_init(void);

// lm_thread_begin is what a thread of the library's own does first. It leaves the
// processors to which the thread that began it is bound, and makes it run for
// about so long at a time where it shares one: more often, and no more in all.
// Linux before 6.12 does not listen; see sched_setattr(2) and the kernel's
// sched-eevdf.rst.
void lm_thread_begin(uint64_t slice_ns);

// lm_thread_let_faults_in takes SIGSEGV out of a set of signals to be blocked,
// with LOAM_TRACK=mprotect: a store must always be able to fault.
void lm_thread_let_faults_in(sigset_t *set);

// lm_thread_block_signals blocks every signal, but for that, and returns what
// was blocked; lm_thread_restore_signals undoes it.
sigset_t lm_thread_block_signals(void);
void lm_thread_restore_signals(const sigset_t *before);

// lm_thread_requeue sends the calling thread a signal with all that is known of
// it, to be delivered when it is not blocked.
void lm_thread_requeue(int signal, siginfo_t *info);

// lm_thread_lowest_mapped returns the lowest address at or above low from
// which on everything up to high is mapped. For the main thread's stack, whose
// low end is mapped as it is needed.
uintptr_t lm_thread_lowest_mapped(uintptr_t low, uintptr_t high);

// lm_thread_highest_mapped is the same upwards: the highest address at or below
// high up to which everything from low is mapped.
uintptr_t lm_thread_highest_mapped(uintptr_t low, uintptr_t high);

// lm_thread_is_mapped says whether all from low to high is mapped.
bool lm_thread_is_mapped(uintptr_t low, uintptr_t high);

// lm_thread_sleep sleeps for so long.
void lm_thread_sleep(uint64_t ns);

// lm_thread_yield lets another thread run.
void lm_thread_yield(void);

// lm_thread_blocks says whether a thread has a signal blocked, by asking
// /proc; false when that cannot be read.
bool lm_thread_blocks(pid_t thread, int signal);

#endif // OS_THREAD_H
