/* SPDX-License-Identifier: BSD-3-Clause */
/* limits.c - reads the memory cgroup's limit and the store filesystem's free space. */
#include "limits.h"
#include "../preload/real.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The file's beginning as a string; length or -1. */
static ssize_t read_text(const char *path, char *text, size_t size)
{
    int fd = mioc_real(open)(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = mioc_real(read)(fd, text, size - 1);
    mioc_real(close)(fd);
    if (n >= 0)
        text[n] = '\0';
    return n;
}

/* The number in a file of a cgroup; UINT64_MAX for "max", nonsense, or no file. */
static uint64_t read_bytes(const char *dir, const char *name)
{
    char path[PATH_MAX], text[64], *end;
    unsigned long long value;

    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path || read_text(path, text, sizeof text) <= 0)
        return UINT64_MAX;
    value = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : value;
}

/* What one hierarchy still allows, from the process's group up to the mount point `base`. */
static uint64_t allowance(const char *base, const char *group, const char *limit_name, const char *usage_name)
{
    char dir[PATH_MAX];
    uint64_t least = UINT64_MAX;
    size_t base_len = strlen(base);

    if (snprintf(dir, sizeof dir, "%s%s", base, group) >= (int)sizeof dir)
        return least;
    for (;;) {
        uint64_t limit = read_bytes(dir, limit_name), usage = read_bytes(dir, usage_name);
        char *slash;

        if (limit != UINT64_MAX && usage != UINT64_MAX) {
            uint64_t left = limit > usage ? limit - usage : 0;
            least = left < least ? left : least;
        }
        slash = strrchr(dir, '/');
        if (slash == NULL || slash < dir + base_len)
            return least;
        *slash = '\0';
    }
}

/* /proc/self/cgroup: "0::/path" (v2), "4:memory:/path" (v1). */
static uint64_t cgroup_allowance(const char *root)
{
    char path[PATH_MAX], text[8192], *save = NULL;
    uint64_t least = UINT64_MAX;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (read_text(path, text, sizeof text) <= 0)
        return least;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        uint64_t left = UINT64_MAX;

        if (group == NULL)
            continue;
        *group++ = '\0';
        if (controllers[1] == '\0') {
            snprintf(path, sizeof path, "%s/sys/fs/cgroup", root);
            left = allowance(path, group, "memory.max", "memory.current");
        } else if (strstr(controllers, "memory") != NULL) {
            snprintf(path, sizeof path, "%s/sys/fs/cgroup/memory", root);
            left = allowance(path, group, "memory.limit_in_bytes", "memory.usage_in_bytes");
        }
        least = left < least ? left : least;
    }
    return least;
}

uint64_t mioc_limits_default(const char *root, const char *dir)
{
    uint64_t left = cgroup_allowance(root), free_bytes;
    struct statvfs fs;

    left = left == UINT64_MAX ? left : left / 4;
    if (statvfs(dir, &fs) != 0)
        return left;
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize / 2;
    return free_bytes < left ? free_bytes : left;
}
