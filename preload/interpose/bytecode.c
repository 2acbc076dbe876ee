/* SPDX-License-Identifier: BSD-3-Clause */
/* bytecode.c - tells an import's write of bytecode from a program's own, and remembers which sources this process wrote
 * (README.md, "Bytecode"). */
#include "serve.h"
#include "base/stack.h"
#include <string.h>

#define SOURCES 64u

/* Hashes of the sources that this process wrote last, and how many it has written. Both atomic. */
static uint64_t source[SOURCES];
static unsigned sources;
/* The hash of the .pyc that this thread tried to read last; 0: none. */
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
    dir = name - (uint32_t)(sizeof folder - 2); /* DIR with its slash */
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
    /* Rank 0's call goes on, and is counted as a write. */
    if (mioc_client_rank() > 0) {
        q.error_before = errno;
        errno = EACCES; /* the trace shows what the caller returns */
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
