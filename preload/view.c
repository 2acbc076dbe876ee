/* SPDX-License-Identifier: BSD-3-Clause */
/* view.c - what decides which file a path means to this thread, and whether it may have it. */
#include "view.h"
#include "item.h"
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUPS_MAX 512 /* of more, only how many there are counts */

struct rights {
    uint32_t uid, gid, capabilities[2];
    uint32_t groups, group[GROUPS_MAX]; /* the kernel has them sorted */
};

struct view {
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

uint64_t mioc_view(void)
{
    int saved = errno;
    struct view view;

    memset(&view, 0, sizeof view);
    get_rights(&view.rights);
    look("/", &view.root_dev, &view.root_ino);
    look("/proc/thread-self/ns/mnt", &view.namespace_dev, &view.namespace_ino);
    errno = saved;
    return mioc_item_hash(0, (const char *)&view, sizeof view);
}

uint64_t mioc_view_rights(void)
{
    struct { struct rights rights; char users[1024], groups[1024]; } all;
    int saved = errno;

    memset(&all, 0, sizeof all);
    get_rights(&all.rights);
    (void)mioc_proc_read("/proc/self/uid_map", all.users, sizeof all.users);
    (void)mioc_proc_read("/proc/self/gid_map", all.groups, sizeof all.groups);
    errno = saved;
    return mioc_item_hash(0, (const char *)&all, sizeof all);
}
