// SPDX-License-Identifier: MIT
// run.h: `loam run`, which runs a program and reports on its heap.

#ifndef TOOL_RUN_H
#define TOOL_RUN_H

// run_command does `loam run` with its arguments, argv[0] being "run", and
// returns the exit status.
int run_command(int argc, char **argv);

#endif // TOOL_RUN_H
