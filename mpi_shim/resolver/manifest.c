/* SPDX-License-Identifier: BSD-3-Clause */
/* manifest.c - the manifest's file: finds, reads and replaces it. */
#include "manifest.h"
#include "base/clock.h"
#include "base/folder.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".manifest"
#define TEMPORARY ".writing-"
/* A temporary file of a writer that died is removed after so long. */
#define TEMPORARY_SECONDS 3600

/* --- Where ------------------------------------------------------------------------------------------------------- */

static const char *get(char *const *env, const char *name)
{
    const char *value = mioc_proc_getenv(env, name);

    return value != NULL ? value : "";
}

static uint64_t key_of(const struct mioc_policy *policy)
{
    uint64_t key = policy->program;

    for (unsigned i = 0; i < policy->count; i++)
        key = key * 0x9e3779b97f4a7c15ull ^
              mioc_item_hash(policy->prefix[i].kind, policy->prefix[i].path, policy->prefix[i].len);
    return key;
}

void mioc_manifest_find(struct mioc_manifest *m, const struct mioc_config *config, const struct mioc_policy *policy,
                        char *const *env)
{
    const char *cache = get(env, "XDG_CACHE_HOME"), *home = get(env, "HOME"), *slash;

    memset(m, 0, sizeof *m);
    if (strcmp(config->manifest, "off") == 0)
        return;
    if (config->manifest[0] == '/') {
        slash = strrchr(config->manifest, '/');
        snprintf(m->dir, sizeof m->dir, "%.*s", slash == config->manifest ? 1 : (int)(slash - config->manifest),
                 config->manifest);
        snprintf(m->name, sizeof m->name, "%s", slash + 1);
        return;
    }
    m->is_own_dir = 1;
    snprintf(m->name, sizeof m->name, "%016llx" SUFFIX, (unsigned long long)key_of(policy));
    if (cache[0] == '/' && strlen(cache) < sizeof m->dir - 64)
        snprintf(m->dir, sizeof m->dir, "%s/mpiio_cache", cache);
    else if (home[0] == '/' && strlen(home) < sizeof m->dir - 64)
        snprintf(m->dir, sizeof m->dir, "%s/.cache/mpiio_cache", home);
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static int fail(const struct mioc_manifest *m, char *problem, size_t size,
                                                      const char *format, ...)
{
    va_list arguments;
    int n = snprintf(problem, size, "%s/%s: ", m->dir, m->name);

    va_start(arguments, format);
    if (n > 0 && (size_t)n < size)
        (void)vsnprintf(problem + n, size - (size_t)n, format, arguments);
    va_end(arguments);
    return -1;
}

/* Follows no link, and does not wait for a FIFO's writer. */
static int open_manifest(const struct mioc_manifest *m)
{
    int dir = mioc_real(open)(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, saved;

    if (dir < 0)
        return -1;
    fd = mioc_real(openat)(dir, m->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    saved = errno;
    mioc_real(close)(dir);
    errno = saved;
    return fd;
}

/* The open file and its size; or -1 with *problem. NULL: there is no file. Else errno, or if that is 0, *problem. */
static int open_checked(const struct mioc_manifest *m, size_t *size, const char **problem)
{
    int fd = open_manifest(m);
    struct stat st;

    *problem = "";
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        *problem = NULL;
    if (fd < 0)
        return -1;
    if (mioc_real(fstat)(fd, &st) == 0) {
        *problem = "not a regular file";
        if (S_ISREG(st.st_mode))
            *problem = "belongs to somebody else";
        if (S_ISREG(st.st_mode) && st.st_uid == geteuid())
            *problem = "too large";
        *size = (size_t)st.st_size;
        if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size <= (off_t)MIOC_MANIFEST_BYTES_MAX)
            return fd;
        errno = 0;
    }
    mioc_real(close)(fd);
    return -1;
}

/* Reads exactly `size` bytes; `text` has room for one more. -1: an error, or the file has another size by now. */
static int read_text(int fd, char *text, size_t size)
{
    return mioc_io_read(fd, text, size + 1) == (ssize_t)size ? 0 : -1;
}

int mioc_manifest_load(const struct mioc_manifest *m, char *buffer, size_t room, size_t *size)
{
    const char *problem;
    int fd = open_checked(m, size, &problem), rc = -1;

    if (fd < 0)
        return -1;
    if (*size < room)
        rc = read_text(fd, buffer, *size);
    mioc_real(close)(fd);
    return rc;
}

static int read_manifest(struct mioc_manifest *m,
                         void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len), void *ctx)
{
    struct mioc_manifest_text text = { NULL, 0, 0, 0, 0 };
    const char *problem;
    int fd = open_checked(m, &text.size, &problem), rc = -1;

    if (fd < 0)
        return problem == NULL ? 0
                               : fail(m, m->problem, sizeof m->problem, "%s", errno != 0 ? strerror(errno) : problem);
    text.bytes = malloc(text.size + 1);
    problem = "cannot be read as a whole";
    if (text.bytes != NULL && read_text(fd, text.bytes, text.size) == 0) {
        problem = "not a whole manifest of this version";
        rc = mioc_manifest_parse(&text, visit, ctx);
    }
    mioc_real(close)(fd);
    free(text.bytes);
    if (rc != 0)
        return fail(m, m->problem, sizeof m->problem, "%s", problem);
    if (text.count > 0)
        __atomic_store_n(&m->read, text.sum, __ATOMIC_RELEASE);
    return (int)text.count;
}

int mioc_manifest_read(struct mioc_manifest *m, void (*visit)(void *ctx, unsigned kind, const char *path, uint32_t len),
                       void *ctx)
{
    int count = m->dir[0] != '\0' ? read_manifest(m, visit, ctx) : 0;

    if (count < 0)
        __atomic_store_n(&m->is_bad, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&m->is_through, 1, __ATOMIC_RELEASE);
    return count;
}

/* --- Writing ----------------------------------------------------------------------------------------------------- */

/* Opens the directory, and makes the user's cache directory. -1 with errno; EPERM: others may change what is in it. */
static int open_dir(const struct mioc_manifest *m)
{
    char parent[PATH_MAX], *slash;
    struct stat st;
    int fd;

    if (m->is_own_dir) {
        snprintf(parent, sizeof parent, "%s", m->dir);
        slash = strrchr(parent, '/');
        *slash = '\0';
        if (parent[0] != '\0' && mioc_real(mkdir)(parent, 0700) != 0 && errno != EEXIST)
            return -1;
        if (mioc_real(mkdir)(m->dir, 0700) != 0 && errno != EEXIST)
            return -1;
    }
    fd = mioc_real(open)(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (m->is_own_dir ? O_NOFOLLOW : 0));
    if (fd < 0 || !m->is_own_dir)
        return fd;
    if (mioc_real(fstat)(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return fd;
    mioc_real(close)(fd);
    errno = EPERM;
    return -1;
}

/* Whether the name is one that must not be replaced: somebody else's file, a directory, a device. */
static int is_foreign(int dir, const char *name)
{
    struct stat st;

    return mioc_real(fstatat)(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (!S_ISREG(st.st_mode) || st.st_uid != geteuid());
}

static int replace(int dir, const char *name, const char *text, size_t size)
{
    struct timespec now = mioc_clock_timespec(mioc_clock_real_ns());
    char temporary[64];
    int fd, rc, saved;

    snprintf(temporary, sizeof temporary, TEMPORARY "%ld-%lld-%09ld", (long)getpid(), (long long)now.tv_sec,
             now.tv_nsec);
    if (is_foreign(dir, name)) {
        errno = EPERM;
        return -1;
    }
    fd = mioc_real(openat)(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    rc = mioc_io_write(fd, text, size);
    saved = errno;
    if (mioc_real(close)(fd) != 0 && rc == 0) { /* NFS says only here that a disk or a quota is full */
        rc = -1;
        saved = errno;
    }
    if (rc == 0 && mioc_real(renameat)(dir, temporary, dir, name) == 0)
        return 0;
    saved = rc == 0 ? errno : saved;
    mioc_real(unlinkat)(dir, temporary, 0);
    errno = saved;
    return -1;
}

static int has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    return len > suffix_len && strcmp(name + len - suffix_len, suffix) == 0;
}

struct look {
    time_t now, least;
    unsigned count;
    char *oldest;
};

static int look_at(void *ctx, int dir, const char *name)
{
    int is_temporary = strncmp(name, TEMPORARY, sizeof TEMPORARY - 1) == 0;
    struct look *look = ctx;
    struct stat st;

    if ((!is_temporary && !has_suffix(name, SUFFIX)) || mioc_real(fstatat)(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    if (is_temporary) {
        if (look->now - st.st_mtime > TEMPORARY_SECONDS)
            mioc_real(unlinkat)(dir, name, 0);
        return 0;
    }
    look->count++;
    if (look->oldest[0] == '\0' || st.st_mtime < look->least) {
        look->least = st.st_mtime;
        snprintf(look->oldest, NAME_MAX + 1, "%s", name);
    }
    return 0;
}

/* Removes forgotten temporary files. How many manifests there are, and which is the oldest. */
static unsigned look_around(int dir, char oldest[NAME_MAX + 1])
{
    int copy = mioc_real(openat)(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct look look = { .now = time(NULL), .oldest = oldest };

    oldest[0] = '\0';
    if (copy < 0)
        return 0;
    (void)mioc_folder_walk(copy, look_at, &look);
    mioc_real(close)(copy);
    return look.count;
}

static void keep_small(int dir)
{
    char oldest[NAME_MAX + 1];

    /* At most 8 a run, which bounds the work: if somebody has filled the directory, many runs empty it. */
    for (int i = 0; i < 8 && look_around(dir, oldest) > MIOC_MANIFEST_FILES_MAX; i++)
        if (mioc_real(unlinkat)(dir, oldest, 0) != 0)
            return;
}

int mioc_manifest_write(const struct mioc_manifest *m, const struct mioc_store *store, char *problem, size_t size)
{
    struct mioc_manifest_text text;
    int dir, rc = 0;

    if (m->dir[0] == '\0')
        return 0;
    if (mioc_manifest_compose(&text, store) != 0)
        return fail(m, problem, size, "%s", errno == EPROTO ? "the store is damaged" : "no memory");
    if (text.count == 0) {
        mioc_manifest_drop(&text);
        return 0;
    }
    dir = open_dir(m);
    if (dir < 0)
        rc = fail(m, problem, size, "%s", mioc_log_error(errno));
    else if (__atomic_load_n(&m->read, __ATOMIC_ACQUIRE) == text.sum)
        (void)mioc_real(utimensat)(dir, m->name, NULL, AT_SYMLINK_NOFOLLOW); /* it was used just now */
    else if (replace(dir, m->name, text.bytes, text.size) != 0)
        rc = fail(m, problem, size, "%s", mioc_log_error(errno));
    else if (m->is_own_dir)
        keep_small(dir);
    if (dir >= 0)
        mioc_real(close)(dir);
    mioc_manifest_drop(&text);
    return rc;
}
