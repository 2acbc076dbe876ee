/* SPDX-License-Identifier: BSD-3-Clause */
/* store_mirror.c - hard links of shared objects' copies, by the objects' original names, for processes that map them.
 *
 * A link may be missing (no space, a path that was a file and became a directory, a filesystem without hard links), and
 * it stays when its record is dead. So only what fstat says about the opened file counts. */
#include "base/path.h"
#include "base/decimal.h"
#include "base/real.h"
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MIRROR_PATH_MAX 4096u /* the kernel takes no longer path */
#define DIR_LEN 2u            /* of "/m" */
_Static_assert(MIRROR_PATH_MAX <= MIOC_PATH_MAX, "a key's buffer has room for the path");
#define OWN_MAX 12u /* of "/=4294967295" */

/* Writes "/=N", a directory for content N alone. Returns its length. */
static uint32_t own_directory(char *at, uint32_t content)
{
    char digits[MIOC_DECIMAL_MAX];
    uint32_t n = (uint32_t)(mioc_decimal(digits, content) - digits);

    at[0] = '/';
    at[1] = '='; /* no directory at the root has such a name */
    memcpy(at + 2, digits, n);
    return n + 2;
}

/* Writes the second name of a record's copy. Returns 0, or -1: it has none. Async-signal-safe: no stdio. A spelling
 * with
 * ".." gets its normal form, below a directory for this content alone: another spelling of the object may have another
 * copy. */
static int mirror_path(const struct mioc_store *s, const struct mioc_content_record *record, char path[MIRROR_PATH_MAX])
{
    uint32_t len = record->item.path_len, at = s->path_len + DIR_LEN;
    const char *slash = memrchr(record->path, '/', len);

    if (record->path[0] != '/' || at + len >= MIRROR_PATH_MAX ||
        !mioc_path_is_object_name(slash + 1, len - (uint32_t)(slash + 1 - record->path)))
        return -1;
    memcpy(path, s->path, s->path_len);
    memcpy(path + s->path_len, "/m", DIR_LEN);
    if (!mioc_path_has_dotdot(record->path, len)) {
        memcpy(path + at, record->path, len + 1u);
        return 0;
    }
    if (at + OWN_MAX >= MIRROR_PATH_MAX)
        return -1;
    at += own_directory(path + at, record->content);
    return mioc_path_normalize(record->path, path + at, MIRROR_PATH_MAX - at) < 0 ? -1 : 0;
}

/* --- Making ------------------------------------------------------------------------------------------------------ */

/* Makes the directories on the way to `path`, with exactly mode 0700, whatever the umask. Returns 0 or -1. */
static int make_parents(char *path, uint32_t base_len)
{
    for (char *slash = path + base_len; (slash = strchr(slash + 1, '/')) != NULL;) {
        int result;

        *slash = '\0';
        result = mioc_real(mkdir)(path, 0700);
        if (result == 0)
            (void)mioc_real(chmod)(path, 0700);
        *slash = '/';
        if (result != 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

/* Replaces an older copy atomically: a reader finds one of the two. */
static void replace(const struct mioc_store *s, const char *from, const char *to)
{
    static const char name[] = "/c/new"; /* no content: those have numbers */
    char new[MIOC_STORE_PATH_MAX];

    memcpy(new, s->path, s->path_len);
    memcpy(new + s->path_len, name, sizeof(name));
    if (mioc_real(linkat)(AT_FDCWD, from, AT_FDCWD, new, 0) != 0)
        return;
    (void)mioc_real(rename)(new, to);
    mioc_real(unlinkat)(AT_FDCWD, new, 0); /* `to` is a directory, or has this very copy */
}

void mioc_store_mirror(struct mioc_store *s, const struct mioc_content_record *record)
{
    char from[MIOC_STORE_PATH_MAX], to[MIRROR_PATH_MAX];
    int result, saved = errno;

    if (mirror_path(s, record, to) != 0)
        return;
    mioc_store_content_path(s, record->content, from);
    result = mioc_real(linkat)(AT_FDCWD, from, AT_FDCWD, to, 0);
    if (result != 0 && errno == ENOENT && make_parents(to, s->path_len + DIR_LEN) == 0)
        result = mioc_real(linkat)(AT_FDCWD, from, AT_FDCWD, to, 0);
    if (result != 0 && errno == EEXIST)
        replace(s, from, to);
    errno = saved;
}

/* --- Opening ----------------------------------------------------------------------------------------------------- */

/* Whether the descriptor is that of the record's copy. By statx(), whose structure is the same on every processor. */
static int is_copy(const struct mioc_store *s, const struct mioc_content_record *record, int fd)
{
    struct statx stx;
    struct stat st;

    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx) != 0)
        return 0;
    memset(&st, 0, sizeof(st));
    st.st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    st.st_mode = stx.stx_mode;
    st.st_uid = stx.stx_uid;
    st.st_size = (off_t)stx.stx_size;
    st.st_mtim.tv_sec = stx.stx_mtime.tv_sec;
    st.st_mtim.tv_nsec = stx.stx_mtime.tv_nsec;
    return mioc_store_record_of(s, &st) == record;
}

static __attribute__((noinline)) int open_with_own_room(const struct mioc_store *s,
                                                        const struct mioc_content_record *record, int open_flags)
{
    char path[MIRROR_PATH_MAX];

    return mioc_store_open_object(s, record, open_flags, path);
}

int mioc_store_open_object(const struct mioc_store *s, const struct mioc_content_record *record, int open_flags,
                           char *path)
{
    int fd, saved = errno;

    if (path == NULL)
        return open_with_own_room(s, record, open_flags);
    if (record->open_errno != 0 || (record->item.flags & MIOC_FLAG_UNCACHED)) {
        errno = EINVAL; /* there is no copy */
        return -1;
    }
    if (mirror_path(s, record, path) == 0) {
        fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | open_flags);
        if (fd >= 0 && is_copy(s, record, fd)) {
            errno = saved;
            return fd;
        }
        if (fd >= 0)
            syscall(SYS_close, fd);
    }
    mioc_store_content_path(s, record->content, path);
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | open_flags);
    if (fd >= 0)
        errno = saved;
    return fd;
}
