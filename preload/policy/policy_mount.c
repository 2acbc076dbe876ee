/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_mount.c - finds out on what kind of filesystem a path is, at the cost of the path's walk only. */
#include "policy_internal.h"
#include "base/io.h"
#include "base/real.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static const char shared_types[][16] = {
    "lustre", "nfs",   "nfs4",  "gpfs",     "beegfs", "beegfs_nodev", "ceph",    "weka",
    "wekafs", "panfs", "pvfs2", "orangefs", "cvmfs",  "afs",          "openafs", "cifs",
    "smb3",   "smbfs", "9p",    "virtiofs", "dvs",    "vast",         "quobyte", "glusterfs",
    "dtfs",   "coda",  "gfs2",  "ocfs2",    "daos",   "unifyfs",      "fuse",
};

/* FUSE filesystems that belong to this node alone. */
static const char local_fuse_types[][24] = {
    "fuse.squashfuse", "fuse.squashfuse_ll", "fuse.fuse-overlayfs", "fuse.fuse2fs",
    "fuse.lxcfs",      "fuse.portal",        "fuse.gvfsd-fuse",
};

/* Filesystems whose client never shows the state before another node's write: the server recalls what the client keeps,
 * or the filesystem is this node's alone. */
static const char coherent_types[][16] = {
    "lustre", "gpfs", "ceph",     "afs",   "openafs", "gfs2",    "ocfs2",    "ext2",
    "ext3",   "ext4", "xfs",      "btrfs", "zfs",     "f2fs",    "tmpfs",    "ramfs",
    "rootfs", "jfs",  "squashfs", "erofs", "iso9660", "overlay", "bcachefs",
};

/* Filesystems where a file has names that its directory does not list: short ones, names with dots or blanks at the
 * end, other characters. */
static const char mapping_types[][16] = {
    "cifs", "smb3",    "smbfs", "vfat", "msdos", "exfat", "ntfs",  "ntfs3",  "fuseblk",
    "hfs",  "hfsplus", "apfs",  "hpfs", "affs",  "9p",    "drvfs", "vboxsf", "iso9660",
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

/* --- mountinfo --------------------------------------------------------------------------------------------------- */

char *mioc_policy_read_mounts(const char *file)
{
    size_t size = 64 * 1024, used = 0;
    char *text = NULL;
    int fd = mioc_real(open)(file, O_RDONLY | O_CLOEXEC);

    while (fd >= 0) {
        char *larger = realloc(text, size + 1);
        ssize_t n = larger ? mioc_io_read(fd, larger + used, size - used) : -1;

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

/* Copies one field, up to a blank, and decodes the kernel's \040 and the like. Returns 0, or -1: it does not fit. */
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

/* Finds the option `name` in "a,b=1,c", which ends at a blank or before `end`. Returns the text behind its "=", or
 * behind its name if it has no value; NULL: the option is not there. */
static const char *find_option(const char *options, const char *end, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = options, *next; at != NULL && at < end; at = next + 1) {
        next = at + strcspn(at, ", \n");
        if ((size_t)(next - at) >= len && memcmp(at, name, len) == 0 && (at[len] == '=' || at + len == next))
            return at + len + (at[len] == '=');
        if (*next != ',')
            break;
    }
    return NULL;
}

/* Returns the text behind so many blanks, or NULL: there are fewer. */
static const char *skip_fields(const char *at, const char *end, int fields)
{
    for (; fields > 0 && at != NULL; fields--)
        at = (at = memchr(at, ' ', (size_t)(end - at))) != NULL ? at + 1 : NULL;
    return at;
}

/* Whether the mount's own options have noexec. They are the field behind root and mount point. */
static int forbids_exec(const char *after_device, const char *end)
{
    return find_option(skip_fields(after_device, end, 3), end, "noexec") != NULL;
}

/* Returns the value of an option in ms, or `ms` if the option is not there. */
static uint32_t option_ms(const char *options, const char *end, const char *name, uint32_t ms)
{
    const char *value = find_option(options, end, name);
    unsigned long seconds = value != NULL ? strtoul(value, NULL, 10) : 0;

    return value == NULL ? ms : seconds < 86400 ? (uint32_t)seconds * 1000 : 86400000u;
}

/* Returns how long the client keeps attributes and names, in ms, from "type source options" at the line's end. An
 * option that is not there has the kernel's default (nfs(5), mount.cifs(8)). */
static uint32_t client_ms(const char *type, const char *at, const char *end)
{
    int is_nfs = strcmp(type, "nfs") == 0 || strcmp(type, "nfs4") == 0;
    uint32_t most = MIOC_CLIENT_MS, files, folders, both;
    const char *options = skip_fields(at, end, 2);

    if (is_among(type, coherent_types[0], sizeof coherent_types, sizeof coherent_types[0]) ||
        is_among(type, local_fuse_types[0], sizeof local_fuse_types, sizeof local_fuse_types[0]))
        return 0;
    if (is_nfs && find_option(options, end, "noac") != NULL)
        return 0;
    if (is_nfs || strcmp(type, "cifs") == 0 || strcmp(type, "smb3") == 0) {
        both = option_ms(options, end, "actimeo", is_nfs ? 60000 : 1000);
        files = option_ms(options, end, "acregmax", both);
        folders = option_ms(options, end, "acdirmax", both);
        most = files > folders ? files : folders;
    } else if (strcmp(type, "dvs") == 0) {
        both = option_ms(options, end, "attrcache_timeout", most);
        most = both > most ? both : most;
    }
    return most;
}

/* Parses "36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw": id, device, noexec, and where the type
 * starts. Returns 0, or -1: the line is malformed. */
static int parse_line(const char *line, const char *end, long *id, dev_t *dev, int *is_noexec, const char **type)
{
    char *at;
    unsigned long dev_major, dev_minor;

    *id = strtol(line, &at, 10);
    if (at == line || *at != ' ')
        return -1;
    (void)strtol(at, &at, 10);
    if (*at != ' ') /* part of a line can have a device in place of the parent's id */
        return -1;
    dev_major = strtoul(at, &at, 10);
    if (*at != ':')
        return -1;
    dev_minor = strtoul(at + 1, &at, 10);
    *dev = makedev((unsigned)dev_major, (unsigned)dev_minor);
    if (at >= end) /* a number is missing, so strtoul() has read into the next line */
        return -1;
    *is_noexec = forbids_exec(at, end);
    *type = memmem(at, (size_t)(end - at), " - ", 3);
    if (*type == NULL)
        return -1;
    *type += 3;
    return 0;
}

int mioc_policy_find_mount(const char *mounts, long id, dev_t dev, struct mioc_mount *mount)
{
    int best = 0;

    for (const char *line = mounts, *end; *line != '\0'; line = *end ? end + 1 : end) {
        char type[sizeof mount->type]; /* a copy of its own: one that does not fit must leave mount->type */
        const char *at;
        long line_id;
        dev_t line_dev;
        int rank, is_noexec;

        end = line + strcspn(line, "\n");
        if (parse_line(line, end, &line_id, &line_dev, &is_noexec, &at) != 0)
            continue;
        /* Best is a line with both id and device, then one with the device, which is what a stat shows, then one with
         * the id: overlays and btrfs show other devices for files than in mountinfo. */
        rank = line_dev == dev ? (line_id == id ? 3 : 2) : line_id == id ? 1 : 0;
        if (rank > best && copy_field(type, sizeof type, at) == 0) {
            memcpy(mount->type, type, sizeof type);
            mount->is_noexec = is_noexec;
            mount->client_ms = client_ms(type, at, end);
            mount->maps_names = is_among(type, mapping_types[0], sizeof mapping_types, sizeof mapping_types[0]);
            best = rank;
        }
    }
    return best > 0 ? 0 : -1;
}

/* Returns the longest time of all shared mounts, ms. */
static uint32_t client_most(const char *mounts)
{
    uint32_t most = 0, ms;

    for (const char *line = mounts, *end; *line != '\0'; line = *end ? end + 1 : end) {
        char type[sizeof((struct mioc_mount *)0)->type];
        const char *at, *place;
        int is_noexec, is_shared;
        long id;
        dev_t dev;

        end = line + strcspn(line, "\n");
        if (parse_line(line, end, &id, &dev, &is_noexec, &at) != 0 || copy_field(type, sizeof type, at) != 0)
            continue;
        /* Any filesystem can be mounted at an autofs later. The one in /proc does not count. */
        is_shared = mioc_policy_is_shared_type(type) ||
                    (strcmp(type, "autofs") == 0 && (place = skip_fields(line, end, 4)) != NULL &&
                     strncmp(place, "/proc/", 6) != 0);
        ms = is_shared ? client_ms(type, at, end) : 0;
        most = ms > most ? ms : most;
    }
    return most;
}

void mioc_policy_set_client_times(struct mioc_policy *policy, const char *mounts, uint64_t actimeo_ms)
{
    policy->client_most_ms = actimeo_ms != MIOC_ACTIMEO_AUTO ? (uint32_t)actimeo_ms
                             : mounts                        ? client_most(mounts)
                                                             : MIOC_CLIENT_MS;
    for (unsigned i = 0; i < policy->count; i++) {
        struct mioc_policy_prefix *prefix = &policy->prefix[i];

        if (actimeo_ms != MIOC_ACTIMEO_AUTO)
            prefix->client_ms = (uint32_t)actimeo_ms;
        if (prefix->client_ms > policy->client_most_ms)
            policy->client_most_ms = prefix->client_ms;
    }
}

/* --- Places ------------------------------------------------------------------------------------------------------ */

static long read_mount_id(int fd)
{
    char name[64], text[512], *at;
    ssize_t n = -1;
    int info;

    (void)snprintf(name, sizeof name, "/proc/self/fdinfo/%d", fd);
    info = mioc_real(open)(name, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return -1;
    n = mioc_io_read(info, text, sizeof text - 1);
    (void)mioc_real(close)(info);
    text[n > 0 ? n : 0] = '\0';
    at = strstr(text, "mnt_id:");
    return at ? strtol(at + 7, NULL, 10) : -1;
}

/* The mount's number, -1: unknown. Linux 5.8 says it by statx, which spares four calls. */
static long mount_id(int fd, const struct statx *stx)
{
#ifdef STATX_MNT_ID
    if (stx->stx_mask & STATX_MNT_ID)
        return (long)stx->stx_mnt_id;
#else
    (void)stx;
#endif
    return read_mount_id(fd);
}

#ifdef STATX_MNT_ID
#define MASK (STATX_TYPE | STATX_MNT_ID)
#else
#define MASK STATX_TYPE
#endif

/* Finds device and kind in what the filesystem's client keeps; attributes that are out of date are good enough. */
static int stat_place(struct mioc_place *place, int fd, struct statx *stx)
{
    struct stat st;

    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, MASK, stx) == 0) {
        place->dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
        place->is_directory = S_ISDIR(stx->stx_mode);
        return 0;
    }
    stx->stx_mask = 0;
    if (mioc_real(fstat)(fd, &st) != 0)
        return -1;
    place->dev = st.st_dev;
    place->is_directory = S_ISDIR(st.st_mode);
    return 0;
}

int mioc_policy_find_place(struct mioc_place *place, const char *path, const char *mounts)
{
    struct mioc_mount mount;
    struct statx stx;
    char name[64];
    ssize_t n;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC), result;

    memset(place, 0, offsetof(struct mioc_place, real) + 1);
    place->client_ms = MIOC_CLIENT_MS;
    if (fd < 0)
        return -1;
    result = stat_place(place, fd, &stx);
    if (result == 0 && mounts && mioc_policy_find_mount(mounts, mount_id(fd, &stx), (dev_t)place->dev, &mount) == 0) {
        place->is_shared = mioc_policy_is_shared_type(mount.type);
        place->is_noexec = mount.is_noexec;
        place->client_ms = mount.client_ms;
        place->maps_names = mount.maps_names;
    }
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    n = mioc_real(readlink)(name, place->real, sizeof place->real - 1);
    place->real[n > 0 && n < (ssize_t)sizeof place->real - 1 && place->real[0] == '/' ? n : 0] = '\0';
    (void)mioc_real(close)(fd);
    return result;
}
