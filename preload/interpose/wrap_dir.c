/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_dir.c - directories: a DIR of our own that walks a listing in the store, and the working directory.
 *
 * A DIR of ours lies in `pool`, so its address tells it from libc's. glob, nftw and fts call libc's opendir inside
 * libc, and never see one of ours. As POSIX says, one thread at a time uses a DIR. The pool is private memory, so after
 * a fork each process has its own position in every stream. */
#include "serve.h"
#include "wrap_dir.h"
#include <string.h>
#include <unistd.h>

#define POOL_SIZE 1024u

struct mioc_dir {
    const struct mioc_list_record *list;
    DIR *real;       /* libc's stream, since rewinddir found no listing any more; else NULL */
    uint32_t at;     /* offset of the next entry in the listing */
    uint32_t number; /* of the next entry; telldir returns it */
    int fd;          /* the real directory's, once dirfd has asked for it; else -1 */
    struct dirent entry;
};

_Static_assert(sizeof(struct dirent) == sizeof(struct dirent64) && sizeof(((struct mioc_dirent *)0)->name_len) == 1,
               "struct dirent and struct dirent64 differ, or a name may not fit d_name");

static struct mioc_dir pool[POOL_SIZE];
/* A bit for each slot, set and cleared atomically. There is no lock, so fork and signal handlers do no harm. */
static uint64_t taken[POOL_SIZE / 64];

static struct mioc_dir *take_slot(void)
{
    for (unsigned word = 0; word < POOL_SIZE / 64; word++) {
        uint64_t bits = __atomic_load_n(&taken[word], __ATOMIC_RELAXED);

        while (bits != UINT64_MAX) {
            unsigned bit = (unsigned)__builtin_ctzll(~bits);

            if (__atomic_compare_exchange_n(&taken[word], &bits, bits | (1ull << bit), 0, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED))
                return &pool[word * 64 + bit];
        }
    }
    return NULL;
}

static void give_slot(struct mioc_dir *dir)
{
    unsigned slot = (unsigned)(dir - pool);

    __atomic_fetch_and(&taken[slot / 64], ~(1ull << (slot % 64)), __ATOMIC_RELEASE);
}

/* The stream if it is ours, or NULL. */
static struct mioc_dir *our_dir(DIR *stream)
{
    uintptr_t at = (uintptr_t)stream - (uintptr_t)pool;

    return at < sizeof(pool) ? (struct mioc_dir *)(void *)stream : NULL;
}

/* --- opendir, rewinddir, closedir, dirfd ------------------------------------------------------------------------- */

/* Returns 0 and *list, -1 with errno, or MIOC_NOT_SERVED. */
static int find_list(struct mioc_query *q, const struct mioc_list_record **list)
{
    const struct mioc_stat *st;
    int rc;

    /* In a script's directory only the names that an import looks for are cached, so its listing is not. */
    if (q->kind != MIOC_POLICY_LIBRARY)
        return MIOC_NOT_SERVED;
    rc = mioc_serve_find(q, 0, &st);
    if (rc != 0)
        return rc;
    if (!S_ISDIR(st->mode))
        return mioc_serve_fail(ENOTDIR);
    *list = (const void *)mioc_client_record(q, MIOC_ITEM_LIST);
    if (*list == NULL || ((*list)->item.flags & MIOC_FLAG_UNCACHED))
        return MIOC_NOT_SERVED;
    return (*list)->list_errno != 0 ? mioc_serve_fail((*list)->list_errno) : 0;
}

int mioc_dir_open(struct mioc_query *q, DIR **stream)
{
    const struct mioc_list_record *list;
    struct mioc_dir *dir;
    int rc = find_list(q, &list);

    *stream = NULL;
    if (rc != 0)
        return rc;
    dir = take_slot();
    if (dir == NULL)
        return MIOC_NOT_SERVED;
    dir->list = list;
    dir->real = NULL;
    dir->at = list->entries;
    dir->number = 0;
    dir->fd = -1;
    *stream = (DIR *)(void *)dir;
    return 0;
}

static __attribute__((noinline)) DIR *served_opendir(const char *path)
{
    struct mioc_query q;
    DIR *stream;

    if (!mioc_client_begin(&q, MIOC_CALL_OPENDIR, AT_FDCWD, path))
        return mioc_real(opendir)(path);
    if (mioc_dir_open(&q, &stream) == MIOC_NOT_SERVED && (stream = mioc_real(opendir)(path)) == NULL)
        mioc_client_failed(AT_FDCWD, path, 0);
    mioc_client_end(&q, 0);
    return stream;
}

MIOC_EXPORT DIR *opendir(const char *path)
{
    return mioc_client_is_foreign(AT_FDCWD, path) ? mioc_real(opendir)(path) : served_opendir(path);
}

/* Such a stream shares its offset with the descriptor, which is always the real directory's: so it is libc's. */
MIOC_EXPORT DIR *fdopendir(int fd) { return mioc_real(fdopendir)(fd); }

int mioc_dir_close(DIR *stream)
{
    struct mioc_dir *dir = our_dir(stream);
    int saved = errno;

    if (dir == NULL)
        return mioc_real(closedir)(stream);
    if (dir->fd >= 0)
        mioc_real(close)(dir->fd);
    if (dir->real != NULL)
        mioc_real(closedir)(dir->real);
    errno = saved;
    give_slot(dir);
    return 0;
}

MIOC_EXPORT int closedir(DIR *stream) { return mioc_dir_close(stream); }

MIOC_EXPORT int dirfd(DIR *stream)
{
    struct mioc_dir *dir = our_dir(stream);

    if (dir == NULL || dir->real != NULL)
        return mioc_real(dirfd)(dir == NULL ? stream : dir->real);
    if (dir->fd < 0)
        dir->fd = mioc_real(open)(dir->list->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    return dir->fd;
}

/* As find_list(). */
static __attribute__((noinline)) int find_list_again(const char *path, const struct mioc_list_record **list)
{
    int rc = MIOC_NOT_SERVED;
    struct mioc_query q;

    if (mioc_client_begin(&q, MIOC_CALL_OPENDIR, AT_FDCWD, path)) {
        rc = find_list(&q, list);
        mioc_client_end(&q, 0);
    }
    return rc;
}

MIOC_EXPORT void rewinddir(DIR *stream)
{
    struct mioc_dir *dir = our_dir(stream);
    const struct mioc_list_record *list;
    int rc, saved = errno;

    if (dir == NULL || dir->real != NULL) {
        mioc_real(rewinddir)(dir == NULL ? stream : dir->real);
        return;
    }
    /* POSIX: the stream now shows what has been made or removed since. */
    rc = mioc_client_is_foreign(AT_FDCWD, dir->list->path) ? MIOC_NOT_SERVED : find_list_again(dir->list->path, &list);
    if (rc == 0)
        dir->list = list;
    else if (rc == MIOC_NOT_SERVED)
        dir->real = mioc_real(opendir)(dir->list->path);
    dir->at = dir->list->entries;
    dir->number = 0;
    errno = saved;
}

/* --- readdir and its place --------------------------------------------------------------------------------------- */

static const struct mioc_dirent *next_entry(struct mioc_dir *dir)
{
    const struct mioc_dirent *entry;

    if (dir->number >= dir->list->count || (entry = mioc_list_entry(dir->list, dir->at)) == NULL)
        return NULL;
    dir->at += entry->size;
    dir->number++;
    return entry;
}

/* Fills *to. The record length is the one that the kernel would give. */
static void fill_entry(const struct mioc_dir *dir, const struct mioc_dirent *from, struct dirent *to)
{
    size_t length = offsetof(struct dirent, d_name) + from->name_len + 1u;

    to->d_ino = from->ino;
    to->d_off = dir->number;
    to->d_reclen = (unsigned short)((length + 7) & ~(size_t)7);
    to->d_type = from->type;
    memcpy(to->d_name, from->name, from->name_len + 1u);
}

struct dirent *mioc_dir_read(DIR *stream)
{
    struct mioc_dir *dir = our_dir(stream);
    const struct mioc_dirent *entry;

    if (dir == NULL || dir->real != NULL)
        return mioc_real(readdir)(dir == NULL ? stream : dir->real);
    entry = next_entry(dir);
    if (entry == NULL)
        return NULL;
    fill_entry(dir, entry, &dir->entry);
    return &dir->entry;
}

MIOC_EXPORT struct dirent *readdir(DIR *stream) { return mioc_dir_read(stream); }
MIOC_EXPORT struct dirent64 *readdir64(DIR *stream) { return (struct dirent64 *)(void *)mioc_dir_read(stream); }

/* readdir_r is deprecated, but programs still call it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static int do_readdir_r(DIR *stream, struct dirent *entry, struct dirent **result)
{
    struct mioc_dir *dir = our_dir(stream);
    const struct mioc_dirent *next;

    if (dir == NULL || dir->real != NULL)
        return mioc_real(readdir_r)(dir == NULL ? stream : dir->real, entry, result);
    next = next_entry(dir);
    *result = next == NULL ? NULL : entry;
    if (next == NULL)
        return 0;
    fill_entry(dir, next, entry);
    /* glibc limits the length like this, because the caller's entry ends with a d_name of NAME_MAX. */
    if (entry->d_reclen > offsetof(struct dirent, d_name) + NAME_MAX + 1)
        entry->d_reclen = offsetof(struct dirent, d_name) + NAME_MAX + 1;
    return 0;
}

MIOC_EXPORT int readdir_r(DIR *restrict stream, struct dirent *restrict entry, struct dirent **restrict result)
{
    return do_readdir_r(stream, entry, result);
}
MIOC_EXPORT int readdir64_r(DIR *restrict stream, struct dirent64 *restrict entry, struct dirent64 **restrict result)
{
    return do_readdir_r(stream, (struct dirent *)(void *)entry, (struct dirent **)(void *)result);
}
#pragma GCC diagnostic pop

MIOC_EXPORT long telldir(DIR *stream)
{
    struct mioc_dir *dir = our_dir(stream);

    if (dir == NULL || dir->real != NULL)
        return mioc_real(telldir)(dir == NULL ? stream : dir->real);
    return (long)dir->number;
}

MIOC_EXPORT void seekdir(DIR *stream, long place)
{
    struct mioc_dir *dir = our_dir(stream);

    if (dir == NULL || dir->real != NULL) {
        mioc_real(seekdir)(dir == NULL ? stream : dir->real, place);
        return;
    }
    dir->at = dir->list->entries;
    dir->number = 0;
    while ((long)dir->number < place && next_entry(dir) != NULL)
        ;
}

/* --- The working directory --------------------------------------------------------------------------------------- */

static int changed(int rc)
{
    if (rc == 0)
        mioc_client_cwd_changed();
    return rc;
}

MIOC_EXPORT int chdir(const char *path)
{
    int rc = changed(mioc_real(chdir)(path));

    if (rc != 0)
        mioc_client_failed(AT_FDCWD, path, 0);
    return rc;
}
MIOC_EXPORT int fchdir(int fd) { return changed(mioc_real(fchdir)(fd)); }
