/* SPDX-License-Identifier: BSD-3-Clause */
/* limits.c - reads the memory cgroup's limit and use, and the store filesystem's free space. */
#include "limits.h"
#include "base/proc.h"
#include "base/real.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Where there is no limit, version 1 says a little less than 2^63. */
#define NO_LIMIT (1ull << 60)

/* The number in a file of a cgroup; UINT64_MAX for "max", nonsense, or no file. */
static uint64_t read_bytes(const char *dir, const char *name)
{
    char path[PATH_MAX], text[64], *end;
    unsigned long long value;

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path ||
        mioc_proc_read(path, text, sizeof text) <= 0)
        return UINT64_MAX;
    value = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : value;
}

/* The sum of the numbers behind these two names, each at the beginning of a line. */
static uint64_t read_statistics(const char *dir, const char *const names[2])
{
    char path[PATH_MAX], text[8192];
    uint64_t sum = 0;

    if (snprintf(path, sizeof path, "%s/memory.stat", dir) >= (int)sizeof path ||
        mioc_proc_read(path, text, sizeof text) <= 0)
        return 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        for (int i = 0; i < 2; i++)
            if (strncmp(line, names[i], strlen(names[i])) == 0 && line[strlen(names[i])] == ' ')
                sum += strtoull(line + strlen(names[i]), NULL, 10);
    return sum;
}

/* The file names of a cgroup version, and its two lines in memory.stat that count page cache. */
struct version {
    const char *limit, *usage, *file[2];
};

struct allowance {
    uint64_t least; /* bytes left in the tightest group; UINT64_MAX: no limit */
    int is_near;    /* in some group less than an eighth of its limit is left */
};

/* Takes one group into account. Reads memory.stat only where page cache matters: with many processors it is slow. */
static void add_group(const char *dir, const struct version *version, struct allowance *sum)
{
    uint64_t limit = read_bytes(dir, version->limit), usage = read_bytes(dir, version->usage), cache, left;

    if (limit >= NO_LIMIT || usage == UINT64_MAX)
        return;
    left = limit > usage ? limit - usage : 0;
    if (left < limit / 2) {
        cache = read_statistics(dir, version->file);
        left += cache < usage ? cache : usage;
    }
    sum->least = left < sum->least ? left : sum->least;
    sum->is_near |= left < limit / 8;
}

/* One hierarchy, from the process's group up to the mount point `base`. */
static void add_groups(const char *base, const char *group, const struct version *version, struct allowance *sum)
{
    char dir[PATH_MAX], *slash;
    size_t base_len = strlen(base);

    if (snprintf(dir, sizeof dir, "%s%s", base, group) >= (int)sizeof dir)
        return;
    for (;;) {
        add_group(dir, version, sum);
        slash = strrchr(dir, '/');
        if (slash == NULL || slash < dir + base_len)
            return;
        *slash = '\0';
    }
}

/* /proc/self/cgroup: "0::/path" (v2), "4:memory:/path" (v1). */
static struct allowance cgroup_allowance(const char *root)
{
    static const struct version v2 = { "memory.max", "memory.current", { "inactive_file", "active_file" } };
    static const struct version v1 = { "memory.limit_in_bytes",
                                       "memory.usage_in_bytes",
                                       { "total_inactive_file", "total_active_file" } };
    char path[PATH_MAX], text[8192], *save = NULL;
    struct allowance sum = { .least = UINT64_MAX };

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (mioc_proc_read(path, text, sizeof text) <= 0)
        return sum;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;

        if (group == NULL)
            continue;
        *group++ = '\0';
        if (controllers[1] == '\0') {
            snprintf(path, sizeof path, "%s/sys/fs/cgroup", root);
            add_groups(path, group, &v2, &sum);
        } else if (strstr(controllers, "memory") != NULL) {
            snprintf(path, sizeof path, "%s/sys/fs/cgroup/memory", root);
            add_groups(path, group, &v1, &sum);
        }
    }
    return sum;
}

uint64_t mioc_limits_default(const char *root, const char *dir)
{
    uint64_t left = cgroup_allowance(root).least, free_bytes;
    struct statvfs fs;

    left = left == UINT64_MAX ? left : left / 4;
    if (mioc_real(statvfs)(dir, &fs) != 0)
        return left;
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize / 2;
    return free_bytes < left ? free_bytes : left;
}

int mioc_limits_are_near(const char *root)
{
    struct allowance sum = cgroup_allowance(root);

    return sum.least == UINT64_MAX ? -1 : sum.is_near;
}
