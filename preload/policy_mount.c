/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_mount.c - finds out on what kind of filesystem a path is, at the price of the path's walk alone. */
#include "policy_internal.h"
#include "real.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static const char shared_types[][16] = {
    "lustre", "nfs",  "nfs4",   "gpfs",   "beegfs", "beegfs_nodev", "ceph",     "weka",    "wekafs",  "panfs",  "pvfs2", "orangefs",
    "cvmfs",  "afs",  "openafs", "cifs",  "smb3",   "smbfs",        "9p",       "virtiofs", "dvs",    "vast",   "quobyte", "glusterfs",
    "dtfs",   "coda", "gfs2",   "ocfs2",  "daos",   "unifyfs",      "fuse",
};

/* FUSE filesystems that stand for something of this node alone. */
static const char local_fuse_types[][24] = {
    "fuse.squashfuse", "fuse.squashfuse_ll", "fuse.fuse-overlayfs", "fuse.fuse2fs", "fuse.lxcfs", "fuse.portal", "fuse.gvfsd-fuse",
};

static int is_among(const char *type, const char *list, size_t size, size_t each)
{
    for (size_t at = 0; at < size; at += each)
        if (strcmp(type, list + at) == 0)
            return 1;
    return 0;
}

int mioc_policy_is_shared_type(const char *type)
{
    if (strncmp(type, "fuse.", 5) == 0)
        return !is_among(type, local_fuse_types[0], sizeof local_fuse_types, sizeof local_fuse_types[0]);
    return is_among(type, shared_types[0], sizeof shared_types, sizeof shared_types[0]);
}

/* --- mountinfo ---------------------------------------------------------------------------------------------------- */

/* Reads from fd until the end or the buffer is full. Bytes, or -1. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t used = 0;

    while (used < size) {
        ssize_t n = mioc_real(read)(fd, buf + used, size - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

char *mioc_policy_read_mounts(const char *file)
{
    size_t size = 64 * 1024, used = 0;
    char *text = NULL;
    int fd = mioc_real(open)(file, O_RDONLY | O_CLOEXEC);

    while (fd >= 0) {
        char *larger = realloc(text, size + 1);
        ssize_t n = larger ? read_all(fd, larger + used, size - used) : -1;

        text = larger ? larger : text;
        if (n < 0)
            break;
        used += (size_t)n;
        text[used] = '\0';
        if (used < size) {
            (void)mioc_real(close)(fd);
            return text;
        }
        size *= 2;
    }
    free(text);
    if (fd >= 0)
        (void)mioc_real(close)(fd);
    return NULL;
}

static unsigned octal(const char *at)
{
    unsigned value = 0;

    for (int i = 0; i < 3; i++) {
        if (at[i] < '0' || at[i] > '7')
            return 0;
        value = value * 8 + (unsigned)(at[i] - '0');
    }
    return value < 256 ? value : 0; /* "\400" would be a NUL */
}

/* One field up to a blank, with the kernel's \040 and the like decoded. 0, or -1: it does not fit. */
static int copy_field(char *out, size_t size, const char *at)
{
    size_t n = 0;

    for (; *at != '\0' && *at != ' ' && *at != '\n'; at++) {
        unsigned code = at[0] == '\\' ? octal(at + 1) : 0;

        if (n + 1 >= size)
            return -1;
        out[n++] = code ? (char)code : *at;
        at += code ? 3 : 0;
    }
    out[n] = '\0';
    return n > 0 ? 0 : -1;
}

/* Whether the mount's own options, the field after the root and the mount point, forbid to execute. */
static int forbids_exec(const char *after_device)
{
    const char *at = after_device;

    for (int i = 0; i < 3 && at != NULL; i++)
        at = (at = strchr(at, ' ')) != NULL ? at + 1 : NULL;
    for (size_t n; at != NULL && (n = strcspn(at, ", \n")) > 0; at += n + 1) {
        if (n == 6 && memcmp(at, "noexec", 6) == 0)
            return 1;
        if (at[n] != ',')
            break;
    }
    return 0;
}

/* "36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw": id, device, whether noexec, and where the type starts. */
static int parse_line(const char *line, const char *end, long *id, dev_t *dev, int *is_noexec, const char **type)
{
    char *at;
    unsigned long dev_major, dev_minor;

    *id = strtol(line, &at, 10);
    if (at == line || *at != ' ')
        return -1;
    (void)strtol(at, &at, 10);
    dev_major = strtoul(at, &at, 10);
    if (*at != ':')
        return -1;
    dev_minor = strtoul(at + 1, &at, 10);
    *dev = makedev((unsigned)dev_major, (unsigned)dev_minor);
    *is_noexec = forbids_exec(at);
    *type = at < end ? memmem(at, (size_t)(end - at), " - ", 3) : NULL;
    if (*type == NULL)
        return -1;
    *type += 3;
    return 0;
}

int mioc_policy_find_mount(const char *mounts, long id, dev_t dev, struct mioc_mount *mount)
{
    int best = 0;

    for (const char *line = mounts, *end; *line != '\0'; line = *end ? end + 1 : end) {
        char type[sizeof mount->type]; /* one that does not fit must not spoil what an earlier line said */
        const char *at;
        long line_id;
        dev_t line_dev;
        int rank, is_noexec;

        end = line + strcspn(line, "\n");
        if (parse_line(line, end, &line_id, &line_dev, &is_noexec, &at) != 0)
            continue;
        /* Both say it is. Else the device: it is what a stat shows. Else the id: overlays and btrfs show other devices in
         * files than in mountinfo. */
        rank = line_dev == dev ? (line_id == id ? 3 : 2) : line_id == id ? 1 : 0;
        if (rank > best && copy_field(type, sizeof type, at) == 0) {
            memcpy(mount->type, type, sizeof type);
            mount->is_noexec = is_noexec;
            best = rank;
        }
    }
    return best > 0 ? 0 : -1;
}

/* --- Places ------------------------------------------------------------------------------------------------------- */

static long mount_id(int fd)
{
    char name[64], text[512], *at;
    ssize_t n = -1;
    int info;

    (void)snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    info = mioc_real(open)(name, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return -1;
    n = read_all(info, text, sizeof text - 1);
    (void)mioc_real(close)(info);
    text[n > 0 ? n : 0] = '\0';
    at = strstr(text, "mnt_id:");
    return at ? strtol(at + 7, NULL, 10) : -1;
}

/* Device and kind, from the client's own memory: an attribute cache that is not valid any more is good enough. */
static int stat_place(struct mioc_place *place, int fd)
{
    struct statx stx;
    struct stat st;

    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &stx) == 0) {
        place->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
        place->is_directory = S_ISDIR(stx.stx_mode);
        return 0;
    }
    if (mioc_real(fstat)(fd, &st) != 0)
        return -1;
    place->dev = st.st_dev;
    place->is_directory = S_ISDIR(st.st_mode);
    return 0;
}

int mioc_policy_find_place(struct mioc_place *place, const char *path, const char *mounts)
{
    struct mioc_mount mount;
    char name[64];
    ssize_t n;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC), result;

    memset(place, 0, offsetof(struct mioc_place, real) + 1);
    if (fd < 0)
        return -1;
    result = stat_place(place, fd);
    if (result == 0 && mounts && mioc_policy_find_mount(mounts, mount_id(fd), (dev_t)place->dev, &mount) == 0) {
        place->is_shared = mioc_policy_is_shared_type(mount.type);
        place->is_noexec = mount.is_noexec;
    }
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    n = mioc_real(readlink)(name, place->real, sizeof place->real - 1);
    place->real[n > 0 && n < (ssize_t)sizeof place->real - 1 && place->real[0] == '/' ? n : 0] = '\0';
    (void)mioc_real(close)(fd);
    return result;
}
