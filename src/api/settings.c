// SPDX-License-Identifier: MIT
// settings.c: one rule for each LOAM_ variable.

#include "api/settings.h"

#include "base/config.h"
#include "base/format.h"
#include "base/settings.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static void setting_complain(const char *name, const char *value,
                             const char *rule) {
    lm_print(2,
             "loam: setting ignored: %s=%s\n  the rule: %s\n"
             "  what to do: correct or unset it; the default is used now\n",
             name, value, rule);
}

// ---- Values ------------------------------------------------------------------

static bool parse_number(const char *text, uint64_t max, uint64_t *value,
                         const char **rest) {
    if (*text < '0' || *text > '9') {
        return false;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0 && *value <= max;
}

// A size: a number with an optional K, M, G or T, and an optional B or iB.
static bool parse_size(const char *text, size_t *bytes) {
    static const char units[] = "KMGT";
    uint64_t value;
    const char *rest;
    if (!parse_number(text, UINT64_MAX, &value, &rest)) {
        return false;
    }
    unsigned shift = 0;
    char letter = (char)(*rest >= 'a' && *rest <= 'z' ? *rest - 32 : *rest);
    const char *unit = letter ? strchr(units, letter) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        rest++;
        if (*rest == 'i') {
            rest++;
        }
    }
    if (*rest == 'B' || *rest == 'b') {
        rest++;
    }
    if (*rest != '\0' || value > (SIZE_MAX >> shift)) {
        return false;
    }
    *bytes = (size_t)value << shift;
    return true;
}

// A time: a number with ns, us, ms or s behind it.
static bool parse_time(const char *text, uint64_t max_ns, uint64_t *ns) {
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}};
    uint64_t number;
    const char *rest;
    if (!parse_number(text, UINT64_MAX, &number, &rest)) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(rest, units[i].name) == 0) {
            *ns = number * units[i].ns;
            return number <= max_ns / units[i].ns;
        }
    }
    return false;
}

static bool parse_unsigned(const char *text, unsigned least, unsigned most,
                           unsigned *value) {
    uint64_t number;
    const char *rest;
    if (!parse_number(text, most, &number, &rest) || *rest != '\0' ||
        number < least) {
        return false;
    }
    *value = (unsigned)number;
    return true;
}

// ---- Variables -----------------------------------------------------------------

// A size, or a share of the memory available: 75%.
static bool parse_share(const char *text, struct lm_share *share) {
    uint64_t percent;
    const char *rest;
    if (parse_number(text, UINT64_MAX, &percent, &rest) &&
        strcmp(rest, "%") == 0) {
        *share =
            (struct lm_share){.percent = (unsigned)percent, .is_set = true};
        return percent >= 1 && percent <= 100;
    }
    *share = (struct lm_share){.is_set = true};
    return parse_size(text, &share->bytes);
}

static bool set_heap_max(const char *v) {
    return parse_share(v, &lm_settings.heap_max_share);
}

static bool set_soft_limit(const char *v) {
    return parse_share(v, &lm_settings.soft_limit_share);
}

static bool set_oom_spare(const char *v) {
    return parse_size(v, &lm_settings.oom_spare);
}

static bool set_heap_min(const char *v) {
    return parse_size(v, &lm_settings.heap_min);
}

static bool set_reserve(const char *v) {
    size_t bytes;
    if (!parse_size(v, &bytes) || bytes < ((size_t)4 << 20) ||
        bytes > (size_t)1 << 45) {
        return false;
    }
    lm_settings.reserve = bytes;
    return true;
}

static bool set_growth(const char *v) {
    lm_settings.is_growth_fixed = true;
    return parse_unsigned(v, 1, 100000, &lm_settings.growth);
}

static bool set_markers(const char *v) {
    return parse_unsigned(v, 1, LM_MARKERS_MAX, &lm_settings.markers);
}

static bool set_check(const char *v) {
    return parse_unsigned(v, 0, 3, &lm_settings.check);
}

static bool set_signal(const char *v) {
    unsigned number;
    if (!parse_unsigned(v, (unsigned)SIGRTMIN, (unsigned)SIGRTMAX, &number)) {
        return false;
    }
    lm_settings.signal = (int)number;
    return true;
}

// The index of a word in a list that NULL ends; -1 when it is not there.
static int parse_word(const char *v, const char *const *words) {
    for (int i = 0; words[i]; i++) {
        if (strcmp(v, words[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static bool parse_toggle(const char *v, enum lm_toggle *value) {
    static const char *const words[] = {"auto", "on", "off", NULL};
    int i = parse_word(v, words);
    *value = i >= 0 ? (enum lm_toggle)i : *value;
    return i >= 0;
}

static bool set_container(const char *v) {
    return parse_toggle(v, &lm_settings.container) &&
           lm_settings.container != LM_ON;
}

static bool set_on_oom(const char *v) {
    static const char *const words[] = {"null", "exit", "abort", NULL};
    unsigned status = 1;
    bool has_status = strncmp(v, "exit:", 5) == 0;
    if (has_status && !parse_unsigned(v + 5, 0, 255, &status)) {
        return false;
    }
    int i = parse_word(has_status ? "exit" : v, words);
    lm_settings.on_oom = i >= 0 ? (enum lm_oom_action)i : LM_OOM_NULL;
    lm_settings.oom_status = (int)status;
    return i >= 0;
}

static bool set_oom_dump(const char *v) {
    lm_settings.oom_dump = v;
    return *v != '\0';
}

static bool set_huge_pages(const char *v) {
    return parse_toggle(v, &lm_settings.huge_pages);
}

static bool set_concurrent(const char *v) {
    return parse_toggle(v, &lm_settings.concurrent);
}

static bool set_generations(const char *v) {
    return parse_toggle(v, &lm_settings.generations);
}

static bool set_pause_target(const char *v) {
    return parse_time(v, UINT64_C(1000000000000),
                      &lm_settings.pause_target_ns) &&
           lm_settings.pause_target_ns > 0;
}

static bool set_finalizer_slow(const char *v) {
    if (strcmp(v, "off") == 0) {
        lm_settings.finalizer_slow_ns = 0;
        return true;
    }
    return parse_time(v, UINT64_C(1000000000000),
                      &lm_settings.finalizer_slow_ns) &&
           lm_settings.finalizer_slow_ns > 0;
}

static bool set_keep(const char *v) {
    lm_settings.keep_unreachable = strcmp(v, "unreachable") == 0;
    return lm_settings.keep_unreachable || strcmp(v, "nothing") == 0;
}

static bool set_finalize_at_exit(const char *v) {
    static const char *const words[] = {"off", "on", NULL};
    int i = parse_word(v, words);
    lm_settings.finalize_at_exit = i == 1;
    return i >= 0;
}

static bool set_compact(const char *v) {
    static const char *const words[] = {"request", "auto", "off", NULL};
    int i = parse_word(v, words);
    lm_settings.compact = i >= 0 ? (enum lm_compact_mode)i : LM_COMPACT_REQUEST;
    return i >= 0;
}

static bool set_track(const char *v) {
    static const char *const words[] = {"auto",     "kernel", "barrier",
                                        "mprotect", "none",   NULL};
    int i = parse_word(v, words);
    lm_settings.track = i >= 0 ? (enum lm_track_rung)i : LM_TRACK_AUTO;
    return i >= 0;
}

// Copies the next word of a list into `word`; NULL at the end.
static const char *next_word(const char *list, char *word, size_t room) {
    size_t n = strcspn(list, ",");
    if (*list == '\0') {
        return NULL;
    }
    size_t kept = n < room - 1 ? n : room - 1;
    memcpy(word, list, kept);
    word[kept] = '\0';
    return list[n] ? list + n + 1 : list + n;
}

static bool set_log(const char *v) {
    char word[32];
    while ((v = next_word(v, word, sizeof word)) != NULL) {
        if (strcmp(word, "gc") == 0) {
            lm_settings.log_gc = 1;
        } else if (strcmp(word, "track") == 0) {
            lm_settings.log_track = 1;
        } else if (strcmp(word, "limits") == 0) {
            lm_settings.log_limits = 1;
        } else {
            return false;
        }
    }
    return true;
}

static bool set_torture_word(const char *word) {
    const struct {
        const char *name;
        unsigned *value;
    } all[] = {{"collect:", &lm_settings.torture_collect},
               {"refuse:", &lm_settings.torture_refuse},
               {"yield:", &lm_settings.torture_yield}};
    for (unsigned i = 0; i < 3; i++) {
        size_t n = strlen(all[i].name);
        if (strncmp(word, all[i].name, n) == 0) {
            return parse_unsigned(word + n, 1, UINT_MAX, all[i].value);
        }
    }
    return false;
}

static bool set_torture(const char *v) {
    char word[64];
    while ((v = next_word(v, word, sizeof word)) != NULL) {
        if (!set_torture_word(word)) {
            return false;
        }
    }
    return true;
}

static bool set_report(const char *v) {
    lm_settings.report = v;
    return *v != '\0';
}

static const struct {
    const char *name;
    bool (*set)(const char *value);
    const char *rule;
} settings_rules[] = {
    {"LOAM_HEAP_MAX", set_heap_max,
     "a size in bytes, or with K, M, G or T behind it, as 512M, or a "
     "percentage of the memory available, as 75%; 0 for none"},
    {"LOAM_SOFT_LIMIT", set_soft_limit,
     "a size in bytes, or with K, M, G or T behind it, as 512M, or a "
     "percentage of the memory available, as 75%; 0 for none"},
    {"LOAM_CONTAINER", set_container, "auto or off"},
    {"LOAM_ON_OOM", set_on_oom,
     "null, exit, exit:STATUS with a status from 0 to 255, or abort"},
    {"LOAM_DUMP_ON_OOM", set_oom_dump, "the path of a file to write"},
    {"LOAM_OOM_SPARE", set_oom_spare,
     "a size in bytes, or with K, M, G or T behind it, as 256K"},
    {"LOAM_HEAP_MIN", set_heap_min,
     "a size in bytes, or with K, M, G or T behind it, as 64M"},
    {"LOAM_GROWTH", set_growth,
     "a percentage from 1 to 100000: what may be allocated between "
     "collections over what is alive"},
    {"LOAM_LOG", set_log,
     "a list of what to log, with commas: gc, track, limits"},
    {"LOAM_TRACK", set_track, "auto, kernel, barrier, mprotect or none"},
    {"LOAM_CONCURRENT", set_concurrent, "auto, on or off"},
    {"LOAM_GENERATIONS", set_generations, "auto, on or off"},
    {"LOAM_PAUSE_TARGET", set_pause_target,
     "a time from 1ns to 1000s, with ns, us, ms or s behind it, as 500us"},
    {"LOAM_COMPACT", set_compact, "request, auto or off"},
    {"LOAM_FINALIZER_SLOW", set_finalizer_slow,
     "a time from 1ns to 1000s, with ns, us, ms or s behind it, or off"},
    {"LOAM_FINALIZE_AT_EXIT", set_finalize_at_exit, "on or off"},
    {"LOAM_KEEP", set_keep, "unreachable or nothing"},
    {"LOAM_MARKERS", set_markers, "a number of threads, from 1 to 64"},
    {"LOAM_HUGE_PAGES", set_huge_pages, "auto, on or off"},
    {"LOAM_CHECK", set_check, "a level of checking: 0 to 3"},
    {"LOAM_TORTURE", set_torture,
     "a list with commas of collect:N, refuse:N and yield:N, N at least 1"},
    {"LOAM_SIGNAL", set_signal,
     "the number of a real-time signal, as `kill -l` lists them"},
    {"LOAM_RESERVE", set_reserve,
     "a size of address space from 4M to 32T, with K, M, G or T behind it"},
    {"LOAM_REPORT", set_report, "the path of a file to write at exit"},
};

#define SETTINGS_RULES (sizeof settings_rules / sizeof *settings_rules)

// A misspelt name would silently do nothing.
static void settings_find_strangers(void) {
    for (char **e = environ; e && *e; e++) {
        size_t n = strcspn(*e, "=");
        bool is_known =
            strncmp(*e, "LOAM_", 5) != 0 || strncmp(*e, "LOAM_TEST_", 10) == 0;
        for (size_t i = 0; i < SETTINGS_RULES && !is_known; i++) {
            is_known = strlen(settings_rules[i].name) == n &&
                       strncmp(*e, settings_rules[i].name, n) == 0;
        }
        if (!is_known) {
            lm_print(2,
                     "loam: setting ignored: %s\n  the rule: no setting has "
                     "that name\n  what to do: see docs/settings.md, or unset "
                     "it\n",
                     *e);
        }
    }
}

void lm_settings_read(void) {
    for (size_t i = 0; i < SETTINGS_RULES; i++) {
        const char *value = getenv(settings_rules[i].name);
        struct lm_settings before = lm_settings;
        if (value && !settings_rules[i].set(value)) {
            lm_settings = before;
            setting_complain(settings_rules[i].name, value,
                             settings_rules[i].rule);
        }
    }
    settings_find_strangers();
}
