/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_stdio.c - fopen and freopen. In libc they open the file where no preload sees it; here the open is ours. */
#include "serve.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Returns 1 and *flags if `mode` is for reading only, and names no character set, which would make libc convert. glibc
 * reads seven characters and ignores those that it does not know. */
static int is_reading(const char *mode, int *flags)
{
    *flags = O_RDONLY;
    if (mioc_is_null(mode) || mode[0] != 'r' || strchr(mode, ',') != NULL)
        return 0;
    for (int i = 1; i < 7 && mode[i] != '\0'; i++) {
        if (mode[i] == '+')
            return 0;
        if (mode[i] == 'e')
            *flags |= O_CLOEXEC;
    }
    return 1;
}

static int is_mode(const char *mode)
{
    return !mioc_is_null(mode) && (mode[0] == 'r' || mode[0] == 'w' || mode[0] == 'a');
}

/* Whether a valid mode opens for writing. "r,ccs=UTF-8" does not. */
static int is_writing(const char *mode) { return mode[0] != 'r' || memchr(mode, '+', strnlen(mode, 7)) != NULL; }

/* After the real call on a path, with a valid mode. Returns f. */
static FILE *opened(FILE *f, const char *path, const char *mode)
{
    if (f == NULL)
        mioc_client_failed(AT_FDCWD, path, is_writing(mode));
    else if (is_writing(mode))
        mioc_client_wrote(AT_FDCWD, path, MIOC_FLAG_STICKY);
    return f;
}

static FILE *fopen_original(const char *path, const char *mode)
{
    if (!is_mode(mode))
        return mioc_real(fopen)(path, mode);
    path = mioc_serve_original(path);
    return opened(mioc_real(fopen)(path, mode), path, mode);
}

static __attribute__((noinline)) FILE *served_fopen(const char *path, const char *mode, int flags)
{
    struct mioc_query q;
    uint64_t bytes = 0;
    int fd, error;
    FILE *f = NULL;

    if (!mioc_client_begin(&q, MIOC_CALL_OPEN, AT_FDCWD, path))
        return mioc_real(fopen)(path, mode);
    fd = mioc_serve_open(&q, flags, &bytes);
    if (fd == MIOC_NOT_SERVED) {
        f = mioc_real(fopen)(path, mode);
        if (f == NULL)
            mioc_client_failed(AT_FDCWD, path, 0);
    } else if (fd >= 0 && (f = mioc_real(fdopen)(fd, mode)) == NULL) {
        error = errno;
        mioc_real(close)(fd);
        errno = error;
    }
    mioc_client_end(&q, bytes);
    return f;
}

static FILE *do_fopen(const char *path, const char *mode)
{
    int flags;

    if (!is_reading(mode, &flags))
        return fopen_original(path, mode);
    return mioc_client_is_foreign(AT_FDCWD, path) ? mioc_real(fopen)(path, mode) : served_fopen(path, mode, flags);
}

MIOC_EXPORT FILE *fopen(const char *restrict path, const char *restrict mode) { return do_fopen(path, mode); }
MIOC_EXPORT FILE *fopen64(const char *restrict path, const char *restrict mode) { return do_fopen(path, mode); }

/* --- freopen ----------------------------------------------------------------------------------------------------- */

/* Opens the stream on the copy. freopen takes a name, so the copy goes by its name in /proc. *is_done: freopen has been
 * called. Otherwise the result is NULL, and the stream is as it was. */
static FILE *reopen_served(struct mioc_query *q, int flags, const char *mode, FILE *stream, int *is_done,
                           uint64_t *bytes)
{
    char name[32];
    FILE *f = NULL;
    int fd = mioc_serve_open(q, flags, bytes), error;

    *is_done = 0;
    if (fd < 0)
        return NULL;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    /* A freopen that fails closes the stream, so this looks first whether /proc is there. */
    if (mioc_real(access)(name, F_OK) == 0) {
        f = mioc_real(freopen)(name, mode, stream);
        *is_done = 1;
    }
    error = errno;
    mioc_real(close)(fd);
    errno = error;
    return f;
}

static FILE *freopen_original(const char *path, const char *mode, FILE *stream)
{
    if (!is_mode(mode))
        return mioc_real(freopen)(path, mode, stream);
    path = mioc_serve_original(path);
    return opened(mioc_real(freopen)(path, mode, stream), path, mode);
}

static __attribute__((noinline)) FILE *served_freopen(const char *path, const char *mode, FILE *stream, int flags)
{
    int is_done = 0, saved = errno;
    struct mioc_query q;
    uint64_t bytes = 0;
    FILE *f;

    if (!mioc_client_begin(&q, MIOC_CALL_OPEN, AT_FDCWD, path))
        return mioc_real(freopen)(path, mode, stream);
    f = reopen_served(&q, flags, mode, stream, &is_done, &bytes);
    if (f != NULL || !is_done)
        errno = saved;
    /* This holds for an error from a record too: only libc can close the stream as freopen does. */
    if (!is_done)
        f = mioc_real(freopen)(path, mode, stream);
    mioc_client_end(&q, bytes);
    return f;
}

static FILE *do_freopen(const char *path, const char *mode, FILE *stream)
{
    int flags;

    if (mioc_is_null(path)) {
        /* The program asks for another mode of the same file. libc reopens /proc/self/fd/N. For writing that must be
         * the original. */
        if (!is_reading(mode, &flags))
            mioc_serve_try_detach(fileno(stream));
        return mioc_real(freopen)(path, mode, stream);
    }
    if (!is_reading(mode, &flags))
        return freopen_original(path, mode, stream);
    if (mioc_client_is_foreign(AT_FDCWD, path))
        return mioc_real(freopen)(path, mode, stream);
    return served_freopen(path, mode, stream, flags);
}

MIOC_EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
    return do_freopen(path, mode, stream);
}
MIOC_EXPORT FILE *freopen64(const char *restrict path, const char *restrict mode, FILE *restrict stream)
{
    return do_freopen(path, mode, stream);
}
