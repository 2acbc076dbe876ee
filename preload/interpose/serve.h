/* SPDX-License-Identifier: BSD-3-Clause */
/* serve.h - what several wrap_*.c share: a record's answer, the way from a copy back to its original, bytecode.
 *
 * README.md says how an interposer is built. All functions may be called from any thread and any signal handler, and
 * keep errno on success, unless a function says otherwise. */
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

/* The cache has no answer: the caller makes the real call. No call that is served returns this value itself. */
#define MIOC_NOT_SERVED (-2)

/* struct stat64, struct dirent64 and off64_t are the same types under other names, so one body serves both families. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64) &&
                   __builtin_offsetof(struct stat, st_size) == __builtin_offsetof(struct stat64, st_size) &&
                   __builtin_offsetof(struct stat, st_ctim) == __builtin_offsetof(struct stat64, st_ctim),
               "struct stat and struct stat64 differ");

/* Whether a pointer is NULL, also where a libc header promises the compiler that it is not. */
static inline int mioc_is_null(const void *pointer)
{
    __asm__("" : "+r"(pointer));
    return pointer == 0;
}

/* Sets errno. Returns -1. */
static inline int mioc_serve_fail(int error)
{
    errno = error;
    return -1;
}

/* --- serve.c: a record's answer ---------------------------------------------------------------------------------- */

/* Answers stat(path) or, with `nofollow`, lstat(path). Returns 0 and *st, which lives as long as the process; -1 with
 * errno; or MIOC_NOT_SERVED. */
int mioc_serve_find(struct mioc_query *q, int nofollow, const struct mioc_stat **st);

/* Answers open(path, flags) for a query that mioc_client_begin() has filled; `flags` has no others than these. Returns
 * a descriptor, which is the caller's; -1 with errno; or MIOC_NOT_SERVED. *bytes is the size of the opened file. */
#define MIOC_SERVE_OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_DIRECTORY)
int mioc_serve_open(struct mioc_query *q, int flags, uint64_t *bytes);
/* openat(dirfd, path, flags): the whole call, with a query of its own, and the real call where it is not served. */
int mioc_serve_open_at(int dirfd, const char *path, int flags);

/* --- copy.c: from a copy back to its original -------------------------------------------------------------------- */

/* The record of the copy that `st`, filled by a real fstat, belongs to; NULL if it is no copy. A record lives as long
 * as the process. */
const struct mioc_content_record *mioc_serve_record_of(const struct stat *st);
/* If `st` is a copy's, replaces it by the original's and returns 1; else returns 0. */
int mioc_serve_map_stat(struct stat *st);
/* What stat shows of a copy's original now. The result is in the record or in *space. */
const struct mioc_stat *mioc_serve_shown(const struct mioc_content_record *record, struct mioc_stat *space);
/* Whether `st` may be a copy's: a fast test for every fstat() of the program. A process without a store may have
 * inherited a copy's descriptor. */
static inline int mioc_serve_may_be_copy(const struct stat *st)
{
    uint64_t dev = __atomic_load_n(&mioc_client_copies_dev, __ATOMIC_RELAXED);

    return __builtin_expect(dev != 0 ? st->st_dev == dev : st->st_mode == (S_IFREG | 0400), 0);
}

/* The record of the copy that (dirfd, path, flags), as in fstatat(2), leads to; NULL if that is no copy. Keeps
 * errno. */
const struct mioc_content_record *mioc_serve_copy_at(int dirfd, const char *path, int flags);
/* The record of the copy behind a descriptor, which any process of the job may have opened; NULL if it is no copy.
 * Keeps errno. */
const struct mioc_content_record *mioc_serve_copy_behind(int fd);
/* Opens the file that the record was made from, for reading, close-on-exec. `flags` are the copy's, from F_GETFL; with
 * O_PATH the result is a path descriptor. Returns a descriptor, which is the caller's, or -1 with errno. ESTALE: the
 * file is gone, or is no longer under its name. */
int mioc_serve_open_original(const struct mioc_content_record *record, int flags);
/* For a question that a copy cannot answer: returns a descriptor of the original if `fd` is a copy and the original is
 * there, else `fd`. The caller gives it back. Both functions keep errno. */
int mioc_serve_borrow(int fd);
void mioc_serve_give_back(int borrowed, int fd);
/* For a call that writes, which must not reach a copy. If `path` is a name of a copy's descriptor (/proc/self/fd/N):
 * the original's path, or a path that leads nowhere if the original is gone; else `path`. */
const char *mioc_serve_original(const char *path);
/* For a call that asks: as mioc_serve_original(), but `path` itself if the original is gone. */
const char *mioc_serve_asked(const char *path);
/* The path that /proc/self/fd/N of the original would show. Returns its length. `out` has no NUL at its end. */
uint32_t mioc_serve_canonical(const struct mioc_content_record *record, char out[PATH_MAX]);
/* Whether text[0..len) is a path in the store. is_cut: the text may be the beginning of a longer path, and counts if it
 * is the beginning of such a one. */
int mioc_serve_is_store_path(const char *text, size_t len, int is_cut);

/* --- detach.c: the original in the copy's place, for good -------------------------------------------------------- */

/* Puts the original behind `fd`, if that is a copy, and behind all descriptors of this process that share its open
 * file; offset and flags stay. Returns 0: fd is no copy, or is none any more; or -1 with errno: fd is still a copy.
 * ESTALE: the original is gone, or is no longer under its name. */
int mioc_serve_detach(int fd);
/* The same for a call that goes on if it fails. Keeps errno. */
static inline void mioc_serve_try_detach(int fd)
{
    int saved = errno;

    (void)mioc_serve_detach(fd);
    errno = saved;
}
/* Before a lock, which all ranks must take on the original. Returns 0: fd is no copy any more, or the original is gone,
 * so that no other process can lock it, and a lock on the copy will do. Returns -1 with ENOLCK: the original is there
 * but cannot be opened now; a lock on the copy would exclude nobody. */
int mioc_serve_detach_to_lock(int fd);

/* --- wrap_fd.c --------------------------------------------------------------------------------------------------- */

/* Whether a call with these arguments means the descriptor itself: AT_EMPTY_PATH and an empty path. */
int mioc_serve_is_fd_itself(int dirfd, const char *path, int flags);
/* After a call that returned `rc` and changes a file by its descriptor: on success tells the change, under the name
 * that /proc shows for `fd`. Returns rc. */
int mioc_serve_wrote_fd(int rc, int fd);
#define mioc_serve_wrote_fd(call, fd) MIOC_UNCANCELLED((mioc_serve_wrote_fd)(call, fd))

/* --- bytecode.c: imports in ranks other than 0 write no bytecode ------------------------------------------------- */

/* Before an open for reading and before an lstat of the query's path. */
void mioc_serve_bytecode_read(const struct mioc_query *q);
void mioc_serve_bytecode_lstat(const struct mioc_query *q);
/* After this process opened a path for writing, or renamed a file to it: if it is a source, this process may write its
 * bytecode. Keeps errno. */
void mioc_serve_wrote_source(int dirfd, const char *path);
/* Whether an open with these arguments is an import's that writes bytecode; if so it has to fail with EACCES in ranks
 * other than 0. */
int mioc_serve_is_bytecode_write(int dirfd, const char *path, int flags);

#endif
