/* SPDX-License-Identifier: BSD-3-Clause */
/* serve.c - what several wrap_*.c share: the answer to "is it there", and who writes bytecode. */
#include "serve.h"
#include "base/stack.h"
#include "loader/loader.h"
#include <string.h>

int mioc_serve_find(struct mioc_query *q, int nofollow, const struct mioc_stat **st)
{
    int absent = 0, error;
    const struct mioc_stat_record *record = mioc_client_stat(q, &absent);

    if (record == NULL)
        return absent ? mioc_serve_fail(absent) : MIOC_NOT_SERVED;
    error = nofollow ? record->lstat_errno : record->stat_errno;
    if (error != 0)
        return mioc_serve_fail(error);
    *st = nofollow ? &record->lstat : &record->stat;
    return 0;
}

int mioc_serve_open(struct mioc_query *q, int flags, uint64_t *bytes)
{
    const struct mioc_content_record *content;
    const struct mioc_stat *st;
    int rc, fd, saved = errno;

    mioc_serve_bytecode_read(q);
    if (!(flags & O_DIRECTORY))
        mioc_client_expect_content(q);
    rc = mioc_serve_find(q, (flags & O_NOFOLLOW) != 0, &st);
    if (rc != 0)
        return rc;
    if (S_ISDIR(st->mode))
        return MIOC_NOT_SERVED;
    /* In the kernel's order: a symbolic link with both flags is ENOTDIR. */
    if (flags & O_DIRECTORY)
        return mioc_serve_fail(ENOTDIR);
    if (S_ISLNK(st->mode))
        return mioc_serve_fail(ELOOP);
    if (!S_ISREG(st->mode))
        return MIOC_NOT_SERVED;
    content = (const void *)mioc_client_record(q, MIOC_ITEM_CONTENT);
    if (content == NULL || (content->item.flags & MIOC_FLAG_UNCACHED))
        return MIOC_NOT_SERVED;
    if (content->open_errno != 0)
        return mioc_serve_fail(content->open_errno);
    /* The loader gets the original where it could not map the copy, and where it could not map the original. */
    if (q->call == MIOC_CALL_LOADER &&
        (!mioc_loader_may_map() || mioc_policy_is_noexec(mioc_client_policy(), q->key.text, q->key.len)))
        return MIOC_NOT_SERVED;
    /* O_NOFOLLOW is handed on because F_GETFL shows it. */
    flags &= O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW;
    fd = q->call == MIOC_CALL_LOADER ? mioc_store_open_object(mioc_client_store(), content, flags, q->room)
                                     : mioc_store_open_content(mioc_client_store(), content, flags);
    if (fd >= 0) {
        *bytes = content->size;
        q->copy = content;
    }
    errno = saved;
    return fd >= 0 ? fd : MIOC_NOT_SERVED;
}

int mioc_serve_open_at(int dirfd, const char *path, int flags)
{
    struct mioc_query q;
    uint64_t bytes = 0;
    int fd;

    if (!mioc_client_begin(&q, MIOC_CALL_OPEN, dirfd, path))
        return dirfd == AT_FDCWD ? mioc_real(open)(path, flags) : mioc_real(openat)(dirfd, path, flags);
    fd = mioc_serve_open(&q, flags, &bytes);
    if (fd == MIOC_NOT_SERVED && (fd = mioc_real(openat)(dirfd, path, flags)) < 0)
        mioc_client_failed(dirfd, path, 0);
    mioc_client_end(&q, bytes);
    return fd;
}

/* --- No bytecode from ranks other than 0 ---------------------------------------------------------------------------
 *
 * All ranks that import a module without bytecode would write the same file at once. Only rank 0 shall, but a program
 * that calls py_compile or compileall itself, in whatever rank, shall get what it asked for. What tells them apart:
 *
 *   importlib (3.8 to 3.13)   open("X.pyc", O_RDONLY) … open("X.pyc.140212345", O_EXCL|O_CREAT|O_WRONLY)
 *   py_compile, compileall    [open("X.pyc")] lstat("X.pyc") (os.path.islink) open("X.pyc.140212345", …)
 *
 * both in one thread. So each thread remembers the last .pyc that it tried to read; an lstat of it forgets it; the
 * exclusive creation of "<it>.<digits>" while it is remembered is an import, and fails with EACCES, which importlib
 * takes for a directory that cannot be written and ignores. (Rank 0's waits for no other node: MIOC_WROTE_SOON.)
 *
 * A rank that wrote the source itself writes its bytecode too, as perhaps nobody else imports it: the last sources that
 * this process opened for writing, or renamed to their names, are remembered, by hash. */
#define SOURCES 64u

static uint64_t source[SOURCES];
static unsigned sources;
static __thread uint64_t last_bytecode __attribute__((tls_model("initial-exec")));

static int is_bytecode_name(const char *path, uint32_t len)
{
    return len > 4 && memcmp(path + len - 4, ".pyc", 4) == 0;
}

void mioc_serve_bytecode_read(const struct mioc_query *q)
{
    if (is_bytecode_name(q->key.text, q->key.len))
        last_bytecode = mioc_item_hash(MIOC_ITEM_CONTENT, q->key.text, q->key.len);
}

void mioc_serve_bytecode_lstat(const struct mioc_query *q)
{
    if (last_bytecode != 0 && is_bytecode_name(q->key.text, q->key.len) &&
        last_bytecode == mioc_item_hash(MIOC_ITEM_CONTENT, q->key.text, q->key.len))
        last_bytecode = 0;
}

static __attribute__((noinline)) void note_source(int dirfd, const char *path)
{
    struct mioc_query q;
    int saved = errno;

    if (mioc_client_peek(&q, MIOC_CALL_WRITE, dirfd, path) && q.key.len > 3 &&
        memcmp(q.key.text + q.key.len - 3, ".py", 3) == 0)
        __atomic_store_n(&source[__atomic_fetch_add(&sources, 1, __ATOMIC_RELAXED) % SOURCES],
                         mioc_item_hash(MIOC_ITEM_CONTENT, q.key.text, q.key.len), __ATOMIC_RELAXED);
    errno = saved;
}

void mioc_serve_wrote_source(int dirfd, const char *path)
{
    if (mioc_client_rank() > 0 && mioc_stack_has_room(MIOC_STACK_SERVED))
        note_source(dirfd, path);
}

/* DIR/__pycache__/NAME.TAG.pyc is the bytecode of DIR/NAME.py. */
static int is_own_bytecode(const char *path, uint32_t len)
{
    static const char folder[] = "/__pycache__/";
    uint32_t name = len, stem = 0, dir;
    char text[PATH_MAX];
    uint64_t hash;

    while (name > 0 && path[name - 1] != '/')
        name--;
    if (name < sizeof folder || memcmp(path + name - (sizeof folder - 1), folder, sizeof folder - 1) != 0)
        return 0;
    while (name + stem < len && path[name + stem] != '.')
        stem++;
    dir = name - (uint32_t)(sizeof folder - 2); /* up to and with the slash behind DIR */
    if (dir + stem + 4 > sizeof text)
        return 0;
    memcpy(text, path, dir);
    memcpy(text + dir, path + name, stem);
    memcpy(text + dir + stem, ".py", 4);
    hash = mioc_item_hash(MIOC_ITEM_CONTENT, text, dir + stem + 3);
    for (unsigned i = 0; i < SOURCES; i++)
        if (__atomic_load_n(&source[i], __ATOMIC_RELAXED) == hash)
            return 1;
    return 0;
}

static __attribute__((noinline)) int is_of_an_import(int dirfd, const char *path)
{
    struct mioc_query q;
    uint32_t len;

    if (!mioc_client_peek(&q, MIOC_CALL_WRITE, dirfd, path))
        return 0;
    len = q.key.len;
    while (len > 0 && q.key.text[len - 1] >= '0' && q.key.text[len - 1] <= '9')
        len--;
    if (len == q.key.len || len == 0 || q.key.text[--len] != '.' || !is_bytecode_name(q.key.text, len) ||
        last_bytecode != mioc_item_hash(MIOC_ITEM_CONTENT, q.key.text, len) || is_own_bytecode(q.key.text, len))
        return 0;
    if (mioc_client_rank() > 0) { /* else it is counted as a write */
        q.error_before = errno;
        errno = EACCES; /* what the caller is to get */
        mioc_client_end(&q, 0);
    }
    return 1;
}

int mioc_serve_is_bytecode_write(int dirfd, const char *path, int flags)
{
    const int creation = O_EXCL | O_CREAT | O_WRONLY;

    return last_bytecode != 0 && (flags & (creation | O_ACCMODE)) == creation &&
           mioc_stack_has_room(MIOC_STACK_SERVED) && is_of_an_import(dirfd, path);
}
