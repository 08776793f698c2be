// SPDX-License-Identifier: MIT
// hello.c: the tutorial's program after its first step.

#include <loam.h>
#include <stdio.h>

int main(void) {
    char *greeting = loam_printf("Loam %s says hello", loam_version());
    if (greeting == NULL) {
        fprintf(stderr, "hello: %s\n", loam_last_error());
        return 1;
    }
    puts(greeting);
    return 0;
}
