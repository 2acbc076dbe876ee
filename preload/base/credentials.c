/* SPDX-License-Identifier: BSD-3-Clause */
/* credentials.c - hashes a thread's credentials, by raw system calls. */
#include "credentials.h"
#include "hash.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a thread with more groups only their number counts. */
#define GROUPS_MAX 512

struct rights {
    uint32_t uid, gid, capabilities[2];
    uint32_t groups, group[GROUPS_MAX]; /* sorted by the kernel */
};

struct credentials {
    struct rights rights;
    uint64_t root_dev, root_ino, namespace_dev, namespace_ino;
};

static void get_rights(struct rights *rights)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { { 0 } };
    long groups;

    rights->uid = (uint32_t)syscall(SYS_geteuid);
    rights->gid = (uint32_t)syscall(SYS_getegid);
    if (syscall(SYS_capget, &header, data) == 0)
        for (int i = 0; i < 2; i++)
            rights->capabilities[i] = data[i].effective;
    groups = syscall(SYS_getgroups, 0, NULL);
    rights->groups = (uint32_t)groups;
    if (groups > 0 && groups <= GROUPS_MAX)
        (void)!syscall(SYS_getgroups, GROUPS_MAX, rights->group);
}

static void look(const char *path, uint64_t *dev, uint64_t *ino)
{
    struct stat st;

    if (syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) != 0)
        return;
    *dev = st.st_dev;
    *ino = st.st_ino;
}

uint64_t mioc_credentials(void)
{
    int saved = errno;
    struct credentials credentials;

    memset(&credentials, 0, sizeof credentials); /* the padding is hashed too */
    get_rights(&credentials.rights);
    look("/", &credentials.root_dev, &credentials.root_ino);
    look("/proc/thread-self/ns/mnt", &credentials.namespace_dev, &credentials.namespace_ino);
    errno = saved;
    return mioc_hash(&credentials, sizeof credentials);
}

/* Returns the number that an id has outside of the user namespace. *is_all: the namespace has all ids, so it is the
 * machine's own. */
static uint32_t outside(const char *map, uint32_t id, uint32_t *is_all)
{
    unsigned from, to, count;
    char text[4096];
    int n;

    if (mioc_proc_read(map, text, sizeof text) <= 0)
        return id;
    for (const char *at = text; sscanf(at, "%u %u %u%n", &from, &to, &count, &n) == 3; at += n) {
        *is_all = count == UINT32_MAX;
        if (id - from < count)
            return id - from + to;
    }
    return id;
}

uint64_t mioc_credentials_rights(int is_one_node)
{
    struct {
        struct rights rights;
        uint32_t uid, gid, is_all_users, is_all_groups;
        uint64_t namespace_dev, namespace_ino;
    } all;
    int saved = errno;

    memset(&all, 0, sizeof all);
    get_rights(&all.rights);
    all.uid = outside("/proc/self/uid_map", all.rights.uid, &all.is_all_users);
    all.gid = outside("/proc/self/gid_map", all.rights.gid, &all.is_all_groups);
    if (is_one_node)
        look("/proc/thread-self/ns/user", &all.namespace_dev, &all.namespace_ino);
    errno = saved;
    return mioc_hash(&all, sizeof all);
}
