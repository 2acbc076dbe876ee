/* SPDX-License-Identifier: BSD-3-Clause */
/* real.c - binds the real functions behind our interposers. */
#include "real.h"
#include "symbol.h"
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The version of names that glibc keeps for old programs only: dlvsym() finds them, dlsym() does not. */
#if defined(__x86_64__)
#define MIOC_REAL_BASE_VERSION "GLIBC_2.2.5"
#elif defined(__powerpc64__)
#define MIOC_REAL_BASE_VERSION "GLIBC_2.3"
#else
#define MIOC_REAL_BASE_VERSION "GLIBC_2.17"
#endif

#ifndef _STAT_VER /* gone from the headers of glibc 2.33 */
#if defined(__x86_64__) || defined(__powerpc64__)
#define _STAT_VER 1
#else
#define _STAT_VER 0
#endif
#endif
#ifndef _MKNOD_VER
#define _MKNOD_VER 0
#endif

struct mioc_real_table mioc_real_functions;

#define NAME_SIZE 34
/* A row has no pointers: ld.so would relocate them at the start of every process. */
struct mioc_real_row {
    char name[NAME_SIZE];
    uint16_t slot;
};
#define X(name) _Static_assert(sizeof #name <= NAME_SIZE, "a row has room for the name");
MIOC_REAL_NAMES(X)
#undef X
static const struct mioc_real_row real_rows[] = {
#define X(name) { #name, offsetof(struct mioc_real_table, name) },
    MIOC_REAL_NAMES(X)
#undef X
};

/* Before glibc 2.33 libc has no symbols of these names: each program has a copy of its own, which
 * calls the __x name. */
#define T mioc_real_functions
static int old_stat(const char *p, struct stat *st) { return T.__xstat(_STAT_VER, p, st); }
static int old_lstat(const char *p, struct stat *st) { return T.__lxstat(_STAT_VER, p, st); }
static int old_fstat(int fd, struct stat *st) { return T.__fxstat(_STAT_VER, fd, st); }
static int old_fstatat(int d, const char *p, struct stat *st, int f) { return T.__fxstatat(_STAT_VER, d, p, st, f); }
static int old_stat64(const char *p, struct stat64 *st) { return T.__xstat64(_STAT_VER, p, st); }
static int old_lstat64(const char *p, struct stat64 *st) { return T.__lxstat64(_STAT_VER, p, st); }
static int old_fstat64(int fd, struct stat64 *st) { return T.__fxstat64(_STAT_VER, fd, st); }
static int old_fstatat64(int d, const char *p, struct stat64 *st, int f)
{
    return T.__fxstatat64(_STAT_VER, d, p, st, f);
}
static int old_mknod(const char *p, mode_t m, dev_t dev) { return T.__xmknod(_MKNOD_VER, p, m, &dev); }
static int old_mknodat(int d, const char *p, mode_t m, dev_t dev) { return T.__xmknodat(_MKNOD_VER, d, p, m, &dev); }
#undef T

struct mioc_real_stand_in {
    size_t slot;
    void *function;
};
static const struct mioc_real_stand_in real_stand_ins[] = {
/* clang-format off */
#define X(name) { offsetof(struct mioc_real_table, name), (void *)old_##name },
    X(stat) X(lstat) X(fstat) X(fstatat) X(stat64) X(lstat64) X(fstat64) X(fstatat64) X(mknod) X(mknodat)
#undef X
    /* clang-format on */
};

static void **slot_at(size_t offset) { return (void **)(void *)((char *)&mioc_real_functions + offset); }

static void *find_stand_in(size_t slot)
{
    for (size_t i = 0; i < sizeof real_stand_ins / sizeof real_stand_ins[0]; i++)
        if (real_stand_ins[i].slot == slot)
            return real_stand_ins[i].function;
    return NULL;
}

static void *find(const struct mioc_real_row *row)
{
    void *function = mioc_symbol_next(row->name);

    if (function == NULL && (function = dlsym(RTLD_NEXT, row->name)) == NULL &&
        (function = dlvsym(RTLD_NEXT, row->name, MIOC_REAL_BASE_VERSION)) == NULL)
        (void)dlerror(); /* the program must not see that our lookup failed */
    return function != NULL ? function : find_stand_in(row->slot);
}

void *mioc_real_find(size_t slot)
{
    const struct mioc_real_row *row = &real_rows[slot / sizeof(void *)];
    void *unbound = NULL, *function;
    int saved = errno;

    function = find(row);
    /* A thread that comes second does not write what others already read. */
    (void)__atomic_compare_exchange_n(slot_at(slot), &unbound, function, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    errno = saved;
    return function;
}

void mioc_real_bind(void)
{
    for (size_t i = 0; i < sizeof real_rows / sizeof real_rows[0]; i++)
        (void)mioc_real_find(real_rows[i].slot);
}

/* Whether a function is neither libc's nor ours. Before glibc 2.34 libpthread has some of them, too. */
static int is_foreign(void *function, const void *libc)
{
    Dl_info info, ours;
    const char *slash;

    if (function == NULL || dladdr(function, &info) == 0 || info.dli_fbase == libc)
        return 0;
    if (dladdr((void *)mioc_real_bind, &ours) != 0 && info.dli_fbase == ours.dli_fbase) /* a stand-in */
        return 0;
    slash = info.dli_fname != NULL ? strrchr(info.dli_fname, '/') : NULL;
    return slash == NULL || strncmp(slash, "/libpthread", sizeof "/libpthread" - 1) != 0;
}

int mioc_real_is_shadowed(void)
{
    int saved = errno, is_shadowed = 0;
    Dl_info libc;

    if (dladdr((void *)gnu_get_libc_version, &libc) != 0) {
/* clang-format off */
#define X(name) is_shadowed |= is_foreign((void *)mioc_real(name), libc.dli_fbase);
        X(open) X(openat) X(read) X(pread) X(close) X(fcntl) X(stat) X(fstat) X(fstatat) X(statx) X(readlink)
        X(realpath) X(faccessat) X(opendir) X(fdopendir) X(readdir) X(closedir) X(dirfd)
        X(mkdirat) X(linkat) X(renameat) X(unlinkat) X(ftruncate) X(write) X(pwrite) X(futimens) X(fchmod)
#undef X
        /* clang-format on */
    }
    errno = saved;
    return is_shadowed;
}
