// SPDX-License-Identifier: MIT
// main.c: the command `loam`.

#include <stdio.h>
#include <string.h>

#include "complain.h"
#include "run.h"

static const char main_help[] =
    "usage: loam COMMAND [ARGUMENT...]\n"
    "\n"
    "  loam run PROGRAM    run a program and report on its heap\n"
    "  loam help [COMMAND] explain a command\n"
    "  loam version        print the version\n"
    "\n"
    "Programs use Loam by linking it: #include <loam.h>, and\n"
    "cc prog.c $(pkg-config --cflags --libs loam).\n";

static const char main_help_run[] =
    "usage: loam run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
    "\n"
    "Run a program that uses Loam and print, when it has ended, what its\n"
    "collector did and what its heap holds. The exit status is the program's,\n"
    "or 128 and the signal that killed it.\n"
    "\n"
    "  --report FILE      write the report to FILE instead of standard error\n"
    "  --json             write it as one JSON object\n"
    "  --quiet            print nothing of our own on standard error\n"
    "\n"
    "For the program's heap (see also docs/settings.md):\n"
    "  --heap-max SIZE    the largest heap, as in 256M       LOAM_HEAP_MAX\n"
    "  --heap-min SIZE    collect nothing in a smaller one   LOAM_HEAP_MIN\n"
    "  --growth PERCENT   growth between collections         LOAM_GROWTH\n"
    "  --log gc           print one line a collection        LOAM_LOG\n"
    "\n"
    "Where `loam run` itself fails, its status is 125, or 126 and 127 where\n"
    "PROGRAM cannot be started or found.\n";

static int main_print(const char *text) {
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        complain(NULL, NULL, "standard output cannot be written");
        return 1;
    }
    return 0;
}

static int main_refuse(const char *name) {
    complain("The commands are run, help and version.",
             "To run a program: loam run -- PROGRAM. To read more: loam help",
             "there is no command \"%s\"", name);
    return COMPLAIN_USAGE;
}

static int main_explain(int argc, char **argv) {
    if (argc < 2) {
        return main_print(main_help);
    }
    if (strcmp(argv[1], "run") == 0) {
        return main_print(main_help_run);
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "version") == 0) {
        return main_print(main_help);
    }
    return main_refuse(argv[1]);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs(main_help, stderr);
        return COMPLAIN_USAGE;
    }
    const char *command = argv[1];
    if (strcmp(command, "run") == 0) {
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            return main_print(main_help_run);
        }
        return run_command(argc - 1, argv + 1);
    }
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        return main_print("loam " LOAM_VERSION_TEXT "\n");
    }
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
        strcmp(command, "-h") == 0) {
        return main_explain(argc - 1, argv + 1);
    }
    return main_refuse(command);
}
