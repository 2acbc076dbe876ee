/* SPDX-License-Identifier: BSD-3-Clause */
/* store_fixture.h - a directory for stores, and items to put into them; for test_store*.c. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 0x0123456789abcdefull

static char store_dir[64];

static const struct mioc_store_limits limits = { .max_bytes = 64u << 20, .max_arena = 32u << 20 };

static __attribute__((unused)) int make_dir(void **state)
{
    strcpy(store_dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/mioc-test.XXXXXX" : "/tmp/mioc-test.XXXXXX");
    (void)state;
    return mkdtemp(store_dir) ? 0 : -1;
}

/* Fails if the test left anything behind. */
static __attribute__((unused)) int remove_dir(void **state)
{
    (void)state;
    return rmdir(store_dir);
}

static __attribute__((unused)) int make_store(void **state)
{
    if (make_dir(state) != 0)
        return -1;
    *state = mioc_store_create(store_dir, KEY, &limits);
    return *state ? 0 : -1;
}

static __attribute__((unused)) int remove_store(void **state)
{
    mioc_store_remove(*state);
    mioc_store_detach(*state);
    return remove_dir(state);
}

/* A record of that kind for the path, whose numbers are all `version`; in thread-local memory. */
static __attribute__((unused)) struct mioc_item *record(unsigned kind, uint32_t flags, const char *path,
                                                        uint64_t version)
{
    static _Thread_local _Alignas(8) char buf[MIOC_ITEM_MAX];
    char *end = mioc_item_begin(buf, kind, flags, path, (uint32_t)strlen(path));
    struct mioc_stat_record *r = (void *)buf;

    if (kind == MIOC_ITEM_STAT) {
        r->link_errno = EINVAL;
        r->lstat.ino = r->lstat.size = r->stat.ino = r->stat.size = version;
    } else if (kind == MIOC_ITEM_LIST) {
        ((struct mioc_list_record *)(void *)buf)->list_errno = ENOENT;
    } else if (kind == MIOC_ITEM_CONTENT) {
        ((struct mioc_content_record *)(void *)buf)->open_errno = ENOENT;
    } else if (kind == MIOC_ITEM_REALPATH) {
        ((struct mioc_realpath_record *)(void *)buf)->realpath_errno = ENOENT;
    }
    mioc_item_finish(buf, end);
    if (mioc_item_check(buf, r->item.size) != 0)
        fail_msg("kind %u is malformed", kind);
    return (void *)buf;
}

static __attribute__((unused)) struct mioc_item *invalidation(uint32_t flags, const char *path, uint32_t node,
                                                              uint64_t token)
{
    struct mioc_item *item = record(MIOC_ITEM_INVALIDATE, flags, path, 0);

    ((struct mioc_invalidate_record *)(void *)item)->node = node;
    ((struct mioc_invalidate_record *)(void *)item)->token = token;
    return item;
}

static __attribute__((unused)) const struct mioc_item *lookup(const struct mioc_store *s, unsigned kind,
                                                              const char *path)
{
    uint32_t len = (uint32_t)strlen(path);

    return mioc_store_lookup(s, kind, path, len, mioc_item_hash(kind, path, len));
}

/* Appends records of all five kinds for the path. */
static __attribute__((unused)) void append_all(struct mioc_store *s, const char *path)
{
    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++)
        assert_true(mioc_store_append(s, record(kind, 0, path, 1)) >= 0);
}

/* Which kinds of the path are found, as bits. */
static __attribute__((unused)) unsigned found(const struct mioc_store *s, const char *path)
{
    unsigned kinds = 0;

    for (unsigned kind = MIOC_ITEM_STAT; kind <= MIOC_ITEM_REALPATH; kind++)
        if (lookup(s, kind, path))
            kinds |= 1u << kind;
    return kinds;
}

/* Runs body in a child; its exit code, or 128 + signal. */
static __attribute__((unused)) int in_child(int (*body)(void *ctx), void *ctx)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body(ctx));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
