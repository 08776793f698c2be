// SPDX-License-Identifier: MIT
// pressure.c: one number out of one line.
//
//   some avg10=1.23 avg60=0.40 avg300=0.10 total=123456

#include "os/pressure.h"

#include "base/format.h"
#include "os/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct {
    char path[LM_CGROUP_PATH + 32]; // "": not to be had
} pressure;

static int pressure_parse(const char *text) {
    static const char begin[] = "some avg10=";
    int percent = 0;
    unsigned digits = 0;
    if (strncmp(text, begin, sizeof begin - 1) != 0) {
        return -1;
    }
    for (text += sizeof begin - 1; *text >= '0' && *text <= '9'; text++) {
        percent = percent * 10 + (*text - '0');
        if (++digits > 3) {
            return -1;
        }
    }
    return digits && percent <= 100 ? percent : -1;
}

int lm_pressure_percent(void) {
    char text[128] = "";
    int fd = pressure.path[0] ? open(pressure.path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return -1;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? pressure_parse(text) : -1;
}

void lm_pressure_open(const char *root, const char *folder) {
    if (folder[0]) {
        lm_format(pressure.path, sizeof pressure.path, "%s/memory.pressure",
                  folder);
        if (lm_pressure_percent() >= 0) {
            return;
        }
    }
    size_t n = lm_format(pressure.path, sizeof pressure.path,
                         "%s/proc/pressure/memory", root);
    if (n >= sizeof pressure.path || lm_pressure_percent() < 0) {
        pressure.path[0] = '\0';
    }
}

const char *lm_pressure_reason(void) {
    return pressure.path[0] ? pressure.path
                            : "cannot be read: the kernel has no "
                              "/proc/pressure/memory, or hides it";
}
