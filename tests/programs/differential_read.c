/* SPDX-License-Identifier: BSD-3-Clause */
/* differential_read.c - the reading calls of the differential test. */
#include "differential.h"
#include "base/real_names.h" /* the prototypes of names that no header has */

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

static void told_stat(const char *what, const char *path, int rc, const struct stat *st)
{
    tell(what, path, rc);
    if (rc == 0)
        tell_stat(st, 1);
    tell_end();
}

/* libc keeps the __x names for old programs only, so they are not to be linked with. A preload's come first. */
static void *old_name(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);

    return found != NULL ? found : dlvsym(RTLD_DEFAULT, name, "GLIBC_2.2.5");
}

static void probe_old_stat(int dirfd, const char *path)
{
    int (*xstat)(int, const char *, struct stat *) = (__typeof__(xstat))old_name("__xstat");
    int (*lxstat64)(int, const char *, struct stat *) = (__typeof__(lxstat64))old_name("__lxstat64");
    int (*fxstatat)(int, int, const char *, struct stat *, int) = (__typeof__(fxstatat))old_name("__fxstatat");
    struct stat st;

    if (xstat == NULL || lxstat64 == NULL || fxstatat == NULL)
        return;
    for (int version = 0; version < 3; version++) {
        told_stat("__fxstatat", path, CALL(fxstatat(version, dirfd, path, &st, 0)), &st);
        if (dirfd == AT_FDCWD) {
            told_stat("__xstat", path, CALL(xstat(version, path, &st)), &st);
            told_stat("__lxstat64", path, CALL(lxstat64(version, path, &st)), &st);
        }
    }
}

static void probe_statx(int dirfd, const char *path, int flags, unsigned mask)
{
    struct statx x = { 0 };
    int rc = CALL(statx(dirfd, path, flags, mask, &x));

    tell("statx", path, rc);
    tell_more(" flags=%x mask=%x", (unsigned)flags, mask);
    if (rc == 0) {
        /* Filesystems tell more than was asked for, and records more than some filesystems. */
        x.stx_mask &= mask | STATX_INO | STATX_SIZE;
        tell_more(
            " got=%x mode=%o ino=%llu size=%llu nlink=%u uid=%u gid=%u blocks=%llu blksize=%u dev=%u:%u rdev=%u:%u",
            x.stx_mask & (STATX_BASIC_STATS | STATX_BTIME), x.stx_mode, (unsigned long long)x.stx_ino,
            (unsigned long long)x.stx_size, x.stx_nlink, x.stx_uid, x.stx_gid, (unsigned long long)x.stx_blocks,
            x.stx_blksize, x.stx_dev_major, x.stx_dev_minor, x.stx_rdev_major, x.stx_rdev_minor);
        tell_more(" attributes=%llx/%llx", (unsigned long long)x.stx_attributes,
                  (unsigned long long)x.stx_attributes_mask);
        if (mask & STATX_MTIME)
            tell_more(" mtime=%lld.%u", (long long)x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec);
        if (mask & STATX_CTIME)
            tell_more(" ctime=%lld.%u", (long long)x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec);
        if (mask & STATX_BTIME)
            tell_more(" btime=%lld.%u", (long long)x.stx_btime.tv_sec, x.stx_btime.tv_nsec);
    }
    tell_end();
}

static void probe_access(int dirfd, const char *path)
{
    static const int flags[] = { 0, AT_EACCESS, AT_SYMLINK_NOFOLLOW, AT_EACCESS | AT_SYMLINK_NOFOLLOW, 0x40000 };

    for (int mode = 0; mode < 9; mode++) {
        for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
            tell("faccessat", path, CALL(faccessat(dirfd, path, mode, flags[i])));
            tell_more(" mode=%d flags=%x", mode, (unsigned)flags[i]);
            tell_end();
        }
        if (dirfd != AT_FDCWD)
            continue;
        tell("access", path, CALL(access(path, mode)));
        tell_end();
        tell("euidaccess", path, CALL(euidaccess(path, mode)));
        tell_end();
        tell("eaccess", path, CALL(eaccess(path, mode)));
        tell_end();
    }
}

void probe_metadata(int dirfd, const char *path)
{
    static const int flags[] = {
        0, AT_SYMLINK_NOFOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, 0x40000
    };
    struct stat64 st64;
    struct stat st;

    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        told_stat("fstatat", path, CALL(fstatat(dirfd, path, &st, flags[i])), &st);
    told_stat("fstatat64", path, CALL(fstatat64(dirfd, path, &st64, 0)), (struct stat *)&st64);
    if (dirfd == AT_FDCWD) {
        told_stat("stat", path, CALL(stat(path, &st)), &st);
        told_stat("lstat", path, CALL(lstat(path, &st)), &st);
        told_stat("stat64", path, CALL(stat64(path, &st64)), (struct stat *)&st64);
        told_stat("lstat64", path, CALL(lstat64(path, &st64)), (struct stat *)&st64);
    }
    probe_old_stat(dirfd, path);
    probe_statx(dirfd, path, 0, STATX_BASIC_STATS);
    probe_statx(dirfd, path, 0, STATX_BASIC_STATS | STATX_BTIME);
    probe_statx(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE);
    probe_statx(dirfd, path, AT_STATX_FORCE_SYNC, STATX_SIZE);
    probe_statx(dirfd, path, AT_EMPTY_PATH, STATX_MTIME);
    probe_statx(dirfd, path, 0x40000, STATX_MTIME);
    probe_statx(dirfd, path, 0, 0x80000000u);
    probe_access(dirfd, path);
}

static void told_link(const char *what, const char *path, ssize_t rc, const char *buf, size_t size)
{
    tell(what, path, rc);
    if (rc > 0)
        tell_more(" size=%zu '%.*s'", size, (int)(rc < 200 ? rc : 200), buf);
    tell_end();
}

static void told_real(const char *what, const char *path, const char *result, const char *buf)
{
    if (result != NULL)
        errno = ERRNO_UNTOUCHED; /* libc's leaves EINVAL there, a better one need not */
    tell(what, path, result != NULL);
    tell_more(" '%.300s' buf='%.300s'", result != NULL ? result : "", buf);
    tell_end();
}

void probe_links(int dirfd, const char *path)
{
    static const size_t sizes[] = { 0, 1, 4, 5, 4096 };
    char buf[PATH_MAX] = "", *result;

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        told_link("readlinkat", path, CALL(readlinkat(dirfd, path, buf, sizes[i])), buf, sizes[i]);
        told_link("__readlinkat_chk", path, CALL(__readlinkat_chk(dirfd, path, buf, sizes[i], PATH_MAX)), buf,
                  sizes[i]);
        if (dirfd != AT_FDCWD)
            continue;
        told_link("readlink", path, CALL(readlink(path, buf, sizes[i])), buf, sizes[i]);
        told_link("__readlink_chk", path, CALL(__readlink_chk(path, buf, sizes[i], PATH_MAX)), buf, sizes[i]);
    }
    if (dirfd != AT_FDCWD)
        return;
    buf[0] = '\0';
    result = CALL(realpath(path, NULL));
    told_real("realpath", path, result, "");
    free(result);
    result = CALL(canonicalize_file_name(path));
    told_real("canonicalize_file_name", path, result, "");
    free(result);
    result = CALL(realpath(path, buf));
    told_real("realpath", path, result, buf);
    result = CALL(__realpath_chk(path, buf, PATH_MAX));
    told_real("__realpath_chk", path, result, buf);
}

/* --- Descriptors ------------------------------------------------------------------------------------------------- */

static void tell_mapped(int fd)
{
    unsigned char *map = mmap(NULL, 16, PROT_READ, MAP_PRIVATE, fd, 0);

    tell_more(" map=%s", map == MAP_FAILED ? strerrorname_np(errno) : "ok");
    if (map != MAP_FAILED)
        munmap(map, 16);
    map = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    tell_more(" shared=%s", map == MAP_FAILED ? strerrorname_np(errno) : "ok");
    if (map != MAP_FAILED)
        munmap(map, 16);
}

/* The names that the descriptor has in /proc. */
static void tell_names(int fd)
{
    char name[64], buf[PATH_MAX], *real;
    struct stat st;
    ssize_t n;
    int again;

    for (int form = 0; form < 4; form++) {
        static const char *const forms[] = { "/proc/self/fd/%d", "/dev/fd/%d", "/proc/thread-self/fd/%d",
                                             "/proc/self/fd/../fd/%d" };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(name, sizeof(name), forms[form], fd);
#pragma GCC diagnostic pop
        n = readlink(name, buf, sizeof(buf));
        tell_more("\n    link='%.*s'", n < 0 ? 0 : (int)n, buf);
        n = readlink(name, buf, 7);
        tell_more(" cut='%.*s'", n < 0 ? 0 : (int)n, buf);
        real = realpath(name, NULL);
        tell_more(" real='%s'", real == NULL ? strerrorname_np(errno) : real);
        free(real);
        if (stat(name, &st) == 0)
            tell_stat(&st, 1);
        tell_more(" lstat=%d", lstat(name, &st) == 0 && S_ISLNK(st.st_mode));
        tell_more(" access=%d", access(name, R_OK));
        again = open(name, O_RDONLY | O_NONBLOCK);
        if (again >= 0 && fstat(again, &st) == 0)
            tell_stat(&st, 1);
        if (again >= 0)
            close(again);
    }
}

static void told_open(const char *what, const char *path, int flags, int fd)
{
    struct stat st;
    struct statx x;

    tell(what, path, fd >= 0 ? 0 : -1);
    tell_more(" flags=%x", (unsigned)flags);
    if (fd < 0) {
        tell_end();
        return;
    }
    tell_more(" getfl=%x getfd=%d", (unsigned)fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
    if (CALL(fstat(fd, &st)) == 0)
        tell_stat(&st, 1);
    tell_more(" errno=%d", errno);
    if (fstatat(fd, "", &st, AT_EMPTY_PATH) == 0)
        tell_stat(&st, 1);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &x) == 0)
        tell_more(" statx=%x %llu %u:%u %llu %lld", x.stx_mask & 0xfff, (unsigned long long)x.stx_ino, x.stx_dev_major,
                  x.stx_dev_minor, (unsigned long long)x.stx_size, (long long)x.stx_btime.tv_sec);
    if (!(flags & O_PATH) && S_ISREG(st.st_mode)) {
        tell_content(fd);
        tell_more(" end=%lld write=%zd", (long long)lseek(fd, 0, SEEK_END), write(fd, "x", 1));
        tell_mapped(fd);
    }
    if (flags == (O_RDONLY | O_NONBLOCK) || flags == O_PATH)
        tell_names(fd);
    tell_end();
    close(fd);
}

void probe_open(int dirfd, const char *path)
{
    static const int flags[] = {
        O_RDONLY | O_NONBLOCK,
        O_RDONLY | O_NONBLOCK | O_CLOEXEC,
        O_NONBLOCK | O_NOFOLLOW,
        O_NONBLOCK | O_DIRECTORY,
        O_NONBLOCK | O_DIRECTORY | O_NOFOLLOW,
        O_PATH,
        O_PATH | O_NOFOLLOW,
        O_PATH | O_DIRECTORY,
        O_NONBLOCK | O_NOCTTY,
        O_NONBLOCK | O_NOATIME,
        O_NONBLOCK | O_APPEND,
        O_NONBLOCK | O_SYNC,
        O_NONBLOCK | O_EXCL,
        0,
        O_CLOEXEC,
        O_DIRECTORY,
    };
    int may_block = strstr(path, "fifo") != NULL;

    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        int f = flags[i];

        if (may_block && !(f & (O_NONBLOCK | O_PATH)))
            continue;
        told_open("openat", path, f, CALL(openat(dirfd, path, f)));
        if (i % 5 == 0) {
            told_open("openat64", path, f, CALL(openat64(dirfd, path, f)));
            told_open("__openat_2", path, f, CALL(__openat_2(dirfd, path, f)));
            told_open("__openat64_2", path, f, CALL(__openat64_2(dirfd, path, f)));
        }
        if (dirfd != AT_FDCWD || i % 3 != 0)
            continue;
        told_open("open", path, f, CALL(open(path, f)));
        told_open("open64", path, f, CALL(open64(path, f)));
        told_open("__open_2", path, f, CALL(__open_2(path, f)));
        told_open("__open64_2", path, f, CALL(__open64_2(path, f)));
    }
}

/* --- stdio ------------------------------------------------------------------------------------------------------- */

static void told_stream(const char *what, const char *path, const char *mode, FILE *f)
{
    unsigned char buf[4096];
    unsigned long sum = 0;
    struct stat st;
    size_t n;

    tell(what, path, f != NULL);
    tell_more(" mode=%s", mode);
    if (f != NULL) {
        if (fstat(fileno(f), &st) == 0)
            tell_stat(&st, 1);
        tell_more(" getfl=%x getfd=%d", (unsigned)fcntl(fileno(f), F_GETFL), fcntl(fileno(f), F_GETFD));
        while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
            for (size_t i = 0; i < n; i++)
                sum = sum * 31 + buf[i];
        tell_more(" sum=%lx error=%d", sum, ferror(f) != 0);
        tell_more(" seek=%d tell=%ld", fseek(f, -3, SEEK_END), ftell(f));
        fclose(f);
    }
    tell_end();
}

void probe_stdio(const char *path)
{
    static const char *const modes[] = { "r", "rb", "re", "rm", "rxc", "rbbbbbbe", "r,ccs=UTF-8", "q", "" };
    FILE *f;

    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        told_stream("fopen", path, modes[i], CALL(fopen(path, modes[i])));
        told_stream("fopen64", path, modes[i], CALL(fopen64(path, modes[i])));
        f = fopen("/dev/null", "r");
        told_stream("freopen", path, modes[i], f == NULL ? NULL : CALL(freopen(path, modes[i], f)));
    }
}
