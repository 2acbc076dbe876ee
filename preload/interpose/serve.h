/* SPDX-License-Identifier: BSD-3-Clause */
/* serve.h - what several wrap_*.c share: the answer to "is it there", the way from a copy back to the original.
 *
 * How an interposer is built: the exported function is one line over a named body; the body asks mioc_client_begin(),
 * takes the answer from a record, or makes the real call when the answer is MIOC_NOT_SERVED, and ends with
 * mioc_client_end(), so that the timers hold the real call too. Success leaves errno as it was. */
#ifndef MIOC_SERVE_H
#define MIOC_SERVE_H

#include "base/cancel.h"
#include "client/client.h"
#include "base/real.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define MIOC_EXPORT __attribute__((visibility("default")))

/* The cache has no answer: make the real call. Distinct from every return value of the calls that are served. */
#define MIOC_NOT_SERVED (-2)

/* struct stat64, struct dirent64, off64_t are other names of the same thing, so that one body serves both families. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64) &&
                   __builtin_offsetof(struct stat, st_size) == __builtin_offsetof(struct stat64, st_size) &&
                   __builtin_offsetof(struct stat, st_ctim) == __builtin_offsetof(struct stat64, st_ctim),
               "struct stat and struct stat64 differ");

/* libc's headers promise that certain arguments are not NULL, and the compiler believes them; the kernel does not. */
static inline int mioc_is_null(const void *pointer)
{
    __asm__("" : "+r"(pointer));
    return pointer == 0;
}

static inline int mioc_serve_fail(int error)
{
    errno = error;
    return -1;
}

/* stat(path) or, with `nofollow`, lstat(path): 0 and *st, -1 with errno, or MIOC_NOT_SERVED. */
int mioc_serve_find(struct mioc_query *q, int nofollow, const struct mioc_stat **st);

/* open(path, flags) for a query that is ours, flags as MIOC_SERVE_OPEN_FLAGS: a descriptor, -1 with errno, or
 * MIOC_NOT_SERVED. *bytes is the size of what was opened. */
#define MIOC_SERVE_OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_DIRECTORY)
int mioc_serve_open(struct mioc_query *q, int flags, uint64_t *bytes);
/* The same with the real call behind it, from begin to end: never MIOC_NOT_SERVED. */
int mioc_serve_open_at(int dirfd, const char *path, int flags);

/* --- copy.c: from a copy back to its original */

/* If st (of a real fstat) is that of a cached copy: its record, else NULL. */
const struct mioc_content_record *mioc_serve_record_of(const struct stat *st);
/* The same, and the original's stat takes its place: 1; else 0. */
int mioc_serve_map_stat(struct stat *st);
/* What is shown of a copy's original: in the record or in *space. */
const struct mioc_stat *mioc_serve_shown(const struct mioc_content_record *record, struct mioc_stat *space);
/* Whether it could be: for each fstat() of the program. Who has no store may have inherited one. */
static inline int mioc_serve_may_be_copy(const struct stat *st)
{
    uint64_t dev = __atomic_load_n(&mioc_client_copies_dev, __ATOMIC_RELAXED);

    return __builtin_expect(dev != 0 ? st->st_dev == dev : st->st_mode == (S_IFREG | 0400), 0);
}

/* The record of the copy that (dirfd, path, flags) of fstatat(2) leads to, NULL if it is none. Keeps errno. */
const struct mioc_content_record *mioc_serve_copy_at(int dirfd, const char *path, int flags);
/* The record of the copy behind a descriptor of any program of the job, NULL if it is none. Keeps errno. */
const struct mioc_content_record *mioc_serve_copy_behind(int fd);
/* Opens the file that the record was made from, for reading, with a copy's status flags (O_PATH: for none),
 * close-on-exec. -1 with errno; ESTALE, as a network filesystem says it: that file is gone, or not under its name any
 * more. */
int mioc_serve_open_original(const struct mioc_content_record *record, int flags);
/* For a question to the file behind fd that a copy cannot answer: a descriptor of the original, if fd is a copy that
 * has one, else fd; to be given back, which keeps errno. A copy whose original is gone answers as well as any. */
int mioc_serve_borrow(int fd);
void mioc_serve_give_back(int borrowed, int fd);
/* If path is a /proc/self/fd/N or the like of a copy: the original's path, or one that leads nowhere if that is gone;
 * else path. A writer must not reach the copy. */
const char *mioc_serve_original(const char *path);
/* The same for a question: the copy's if the original is gone. */
const char *mioc_serve_asked(const char *path);
/* Whether a call with these arguments means the descriptor itself: AT_EMPTY_PATH and no path. */
int mioc_serve_is_fd_itself(int dirfd, const char *path, int flags);
/* After a change through a descriptor that returned rc: tells it by the name that the descriptor has. Returns rc. */
int mioc_serve_wrote_fd(int rc, int fd);
#define mioc_serve_wrote_fd(call, fd) MIOC_UNCANCELLED((mioc_serve_wrote_fd)(call, fd))
/* The path that /proc/self/fd/N of the original would show. Returns its length; out is not terminated. */
uint32_t mioc_serve_canonical(const struct mioc_content_record *record, char out[PATH_MAX]);
/* Whether text[0..len) lies in the store; with is_cut, as far as it goes. */
int mioc_serve_is_store_path(const char *text, size_t len, int is_cut);

/* --- detach.c */

/* Puts the original in the place of a copy behind fd and all descriptors of this process that share its opening, at the
 * same offset, with the same flags: what belongs to the file (mode, times, locks) must not be the copy's. 0: fd is no
 * copy (any more); -1 with errno: it still is. ESTALE: its original is gone, or not under its name any more. */
int mioc_serve_detach(int fd);
/* The same for a call that is made of the copy, too, if it has to be, and whose success leaves errno alone. */
static inline void mioc_serve_try_detach(int fd)
{
    int saved = errno;

    (void)mioc_serve_detach(fd);
    errno = saved;
}
/* Before a lock: all ranks must meet at the original. If that is gone nobody else can meet there, and the copy will do:
 * 0. -1: there is one, but it cannot be had now; ENOLCK, as a lock that holds nobody off would be worse. */
int mioc_serve_detach_to_lock(int fd);

/* --- serve.c */

/* Importing must not write bytecode in ranks other than 0; see serve.c, which tells an import's write from others.
 * `path` is the query's. */
void mioc_serve_bytecode_read(const struct mioc_query *q);
void mioc_serve_bytecode_lstat(const struct mioc_query *q);
/* After this process opened a path for writing or renamed something to it: its bytecode may be written. Keeps errno. */
void mioc_serve_wrote_source(int dirfd, const char *path);
int mioc_serve_is_bytecode_write(int dirfd, const char *path, int flags);

#endif
