// SPDX-License-Identifier: MIT
// cgroup.c: reading /proc/self/cgroup, and the limits up to the root.
//
//   /proc/self/cgroup     0::/user.slice/app        version 2
//                         4:memory:/user.slice/app  version 1
//   /proc/self/mountinfo  where groups are mounted, and which of them there:
//                         a container may see its own group as the root
//
// The controller of memory belongs to one version at a time, and where it is one
// of version 1 the line of version 2 says nothing about memory.

#include "os/cgroup.h"

#include "base/format.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

// From here on a limit of version 1 stands for none: it is the largest multiple
// of a page.
#define CGROUP_NONE ((uint64_t)1 << 62)

// ---- Files ---------------------------------------------------------------------

struct lines {
    int fd;
    size_t at;
    size_t end;
    char buffer[2048];
};

static bool lines_open(struct lines *l, const char *root, const char *path) {
    char whole[LM_CGROUP_PATH];
    size_t n = lm_format(whole, sizeof whole, "%s%s", root, path);
    l->at = l->end = 0;
    l->fd = n < sizeof whole ? open(whole, O_RDONLY | O_CLOEXEC) : -1;
    return l->fd >= 0;
}

// The next line, or as much of it as there is room for; false at the end.
static bool lines_next(struct lines *l, char *line, size_t room) {
    size_t length = 0;
    for (;;) {
        if (l->at == l->end) {
            ssize_t n = read(l->fd, l->buffer, sizeof l->buffer);
            if (n <= 0) {
                line[length < room ? length : room - 1] = '\0';
                return length > 0;
            }
            l->at = 0;
            l->end = (size_t)n;
        }
        char c = l->buffer[l->at++];
        if (c == '\n') {
            line[length < room ? length : room - 1] = '\0';
            return true;
        }
        if (length < room) {
            line[length] = c;
        }
        length++;
    }
}

// ---- Where the group is --------------------------------------------------------

// Whether a word is in a list with commas between its words.
static bool list_has(const char *list, size_t length, const char *word) {
    size_t n = strlen(word);
    for (size_t at = 0; at < length;) {
        const char *comma = memchr(list + at, ',', length - at);
        size_t end = comma ? (size_t)(comma - list) : length;
        if (end - at == n && memcmp(list + at, word, n) == 0) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

// The group of the process, by its lines in /proc/self/cgroup.
static void group_find(struct lines *l, struct lm_cgroup *g, char *path) {
    char line[LM_CGROUP_PATH + 256];
    while (lines_next(l, line, sizeof line)) {
        const char *controllers = strchr(line, ':');
        const char *name = controllers ? strchr(controllers + 1, ':') : NULL;
        if (name == NULL || name[1] != '/' ||
            strlen(name + 1) >= LM_CGROUP_PATH) {
            continue;
        }
        size_t length = (size_t)(name - controllers - 1);
        if (list_has(controllers + 1, length, "memory")) {
            g->version = LM_CGROUP_V1;
            strcpy(path, name + 1);
        } else if (length == 0 && g->version == LM_CGROUP_NONE) {
            g->version = LM_CGROUP_V2;
            strcpy(path, name + 1);
        }
    }
}

// The n-th word of a line, from 0; its length is written. NULL when none.
static const char *line_word(const char *line, unsigned n, size_t *length) {
    for (; n > 0; n--) {
        line = strchr(line, ' ');
        if (line == NULL) {
            return NULL;
        }
        line++;
    }
    *length = strcspn(line, " ");
    return line;
}

static bool word_is(const char *word, size_t length, const char *text) {
    return word && length == strlen(text) && memcmp(word, text, length) == 0;
}

struct mount {
    char point[LM_CGROUP_PATH];
    char group[LM_CGROUP_PATH]; // that is its root
};

static bool mount_take(const char *line, enum lm_cgroup_version version,
                       struct mount *m) {
    size_t group_length = 0, point_length = 0;
    size_t type_length = 0, options_length = 0;
    const char *group = line_word(line, 3, &group_length);
    const char *point = line_word(line, 4, &point_length);
    const char *rest = strstr(line, " - ");
    if (group == NULL || point == NULL || rest == NULL ||
        group_length >= LM_CGROUP_PATH || point_length >= LM_CGROUP_PATH) {
        return false;
    }
    const char *type = line_word(rest + 3, 0, &type_length);
    const char *options = line_word(rest + 3, 2, &options_length);
    if (version == LM_CGROUP_V2
            ? !word_is(type, type_length, "cgroup2")
            : !word_is(type, type_length, "cgroup") || options == NULL ||
                  !list_has(options, options_length, "memory")) {
        return false;
    }
    memcpy(m->group, group, group_length);
    m->group[group_length] = '\0';
    memcpy(m->point, point, point_length);
    m->point[point_length] = '\0';
    return true;
}

// Where nothing tells, it is where everybody has it.
static void mount_find(const char *root, enum lm_cgroup_version version,
                       struct mount *m) {
    struct lines l;
    char line[4 * LM_CGROUP_PATH];
    bool is_found = false;
    if (lines_open(&l, root, "/proc/self/mountinfo")) {
        while (!is_found && lines_next(&l, line, sizeof line)) {
            is_found = mount_take(line, version, m);
        }
        close(l.fd);
    }
    if (!is_found) {
        strcpy(m->point, version == LM_CGROUP_V2 ? "/sys/fs/cgroup"
                                                 : "/sys/fs/cgroup/memory");
        strcpy(m->group, "/");
    }
}

// The path below the mount: "" when the group is the mount's own, or lies
// outside of what can be seen.
static const char *path_below(const char *path, const char *group) {
    size_t n = strlen(group);
    n = n > 0 && group[n - 1] == '/' ? n - 1 : n;
    if (strncmp(path, group, n) != 0 || (path[n] != '/' && path[n] != '\0') ||
        strstr(path + n, "/..") != NULL) {
        return "";
    }
    return path[n] == '/' && path[n + 1] == '\0' ? "" : path + n;
}

// ---- Limits ----------------------------------------------------------------------

enum value { VALUE_MISSING, VALUE_STRANGE, VALUE_NONE, VALUE_BYTES };

static enum value value_parse(const char *text, size_t *bytes) {
    uint64_t value = 0;
    if (strcmp(text, "max") == 0) {
        return VALUE_NONE;
    }
    if (*text == '\0') {
        return VALUE_STRANGE;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9') {
            return VALUE_STRANGE;
        }
        if (value >= CGROUP_NONE) {
            continue; // it is none already
        }
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *bytes = (size_t)value;
    // A group that may have nothing cannot be the one we run in.
    return value == 0             ? VALUE_STRANGE
           : value >= CGROUP_NONE ? VALUE_NONE
                                  : VALUE_BYTES;
}

static enum value value_read(const char *folder, const char *name,
                             size_t *bytes) {
    struct lines l;
    char line[64] = "";
    if (!lines_open(&l, folder, name)) {
        return VALUE_MISSING;
    }
    lines_next(&l, line, sizeof line);
    close(l.fd);
    return value_parse(line, bytes);
}

// What was met on the way up.
struct climb {
    unsigned read;
    unsigned strange;
};

static void limit_lower(const char *folder, const char *name, size_t *limit,
                        struct climb *c) {
    size_t bytes;
    enum value v = value_read(folder, name, &bytes);
    c->read += v == VALUE_NONE || v == VALUE_BYTES;
    c->strange += v == VALUE_STRANGE;
    if (v == VALUE_BYTES && bytes < *limit) {
        *limit = bytes;
    }
}

static void group_climb(struct lm_cgroup *g, size_t mount_length,
                        struct climb *c) {
    char folder[LM_CGROUP_PATH];
    strcpy(folder, g->folder);
    for (;;) {
        if (g->version == LM_CGROUP_V2) {
            limit_lower(folder, "/memory.max", &g->max, c);
            limit_lower(folder, "/memory.high", &g->high, c);
        } else {
            limit_lower(folder, "/memory.limit_in_bytes", &g->max, c);
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < mount_length) {
            return;
        }
        *slash = '\0';
    }
}

static void group_explain(struct lm_cgroup *g, const char *path,
                          const struct climb *c) {
    unsigned version = g->version == LM_CGROUP_V2 ? 2 : 1;
    const char *strange = c->strange ? ", and a limit that makes no sense" : "";
    if (c->read == 0) {
        lm_format(g->why, sizeof g->why,
                  "cgroup version %u, group %s: no limit can be read%s",
                  version, path, strange);
    } else if (g->max == SIZE_MAX && g->high == SIZE_MAX) {
        lm_format(g->why, sizeof g->why,
                  "cgroup version %u, group %s: no limit is set%s", version,
                  path, strange);
    } else {
        size_t limit = g->max < g->high ? g->max : g->high;
        lm_format(g->why, sizeof g->why,
                  "cgroup version %u, group %s: limit %B (%s)%s", version, path,
                  limit,
                  g->high < g->max             ? "memory.high"
                  : g->version == LM_CGROUP_V2 ? "memory.max"
                                               : "memory.limit_in_bytes",
                  strange);
    }
}

void lm_cgroup_read(const char *root, struct lm_cgroup *g) {
    struct lines l;
    struct mount m;
    struct climb c = {0};
    char path[LM_CGROUP_PATH] = "";
    *g = (struct lm_cgroup){.max = SIZE_MAX, .high = SIZE_MAX};
    if (!lines_open(&l, root, "/proc/self/cgroup")) {
        lm_format(g->why, sizeof g->why,
                  "no cgroup: /proc/self/cgroup cannot be read");
        return;
    }
    group_find(&l, g, path);
    close(l.fd);
    if (g->version == LM_CGROUP_NONE) {
        lm_format(g->why, sizeof g->why,
                  "no cgroup: /proc/self/cgroup names none for memory");
        return;
    }
    mount_find(root, g->version, &m);
    size_t mount_length = strlen(root) + strlen(m.point);
    size_t n = lm_format(g->folder, sizeof g->folder, "%s%s%s", root, m.point,
                         path_below(path, m.group));
    if (n >= sizeof g->folder) {
        g->folder[0] = '\0';
        lm_format(g->why, sizeof g->why, "cgroup: its path is too long");
        return;
    }
    group_climb(g, mount_length, &c);
    group_explain(g, path, &c);
}
