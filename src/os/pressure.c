// SPDX-License-Identifier: MIT
// pressure.c: one number out of one line.
//
//   some avg10=1.23 avg60=0.40 avg300=0.10 total=123456

#include "os/pressure.h"

#include "base/format.h"
#include "os/cgroup.h"
#include "os/descriptor.h"

#include <fcntl.h>
#include <string.h>

static struct {
    char path[LM_CGROUP_PATH + 32]; // "": not to be had
    struct lm_descriptor file;      // who watches has it open
} pressure = {.file = LM_DESCRIPTOR_NONE};

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
    char text[128];
    return pressure.path[0] && lm_file_text(pressure.path, text, sizeof text)
               ? pressure_parse(text)
               : -1;
}

int lm_pressure_watch(void) {
    char text[128];
    if (pressure.path[0] && !lm_descriptor_is_ours(&pressure.file)) {
        lm_descriptor_keep(&pressure.file,
                           open(pressure.path, O_RDONLY | O_CLOEXEC));
    }
    bool ok = lm_descriptor_text(&pressure.file, text, sizeof text);
    if (!lm_descriptor_is_high(&pressure.file)) {
        lm_descriptor_close(&pressure.file);
    }
    return ok ? pressure_parse(text) : -1;
}

void lm_pressure_open(const char *root, const char *folder) {
    lm_descriptor_close(&pressure.file);
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
