/* SPDX-License-Identifier: BSD-3-Clause */
/* store_owner_fixture.h - processes that own a store of their own; for test_store_files.c and test_store_reclaim.c. */
#ifndef STORE_OWNER_FIXTURE_H
#define STORE_OWNER_FIXTURE_H

#include "store_fixture.h"

#include <dirent.h>
#include <sys/prctl.h>

static unsigned count_names(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* A child that owns a store until it is told or killed to end. */
struct owner {
    pid_t pid;
    int told, tells;
    char path[1024];
};

static void start_owner(struct owner *owner, uint64_t key)
{
    int down[2], up[2];

    assert_int_equal(pipe(down) | pipe(up), 0);
    owner->pid = fork();
    if (owner->pid == 0) {
        struct mioc_store *s = mioc_store_create(store_dir, key, &limits);
        char c = 0;

        if (s == NULL || write(up[1], mioc_store_path(s), 1024) != 1024)
            _exit(1);
        close(down[1]);
        if (read(down[0], &c, 1) == 1)
            mioc_store_remove(s);
        _exit(0);
    }
    close(down[0]);
    close(up[1]);
    owner->told = down[1];
    assert_int_equal(read(up[0], owner->path, 1024), 1024);
    close(up[0]);
}

static void end_owner(struct owner *owner, int how)
{
    if (how)
        kill(owner->pid, how);
    else
        assert_int_equal(write(owner->told, "x", 1), 1);
    waitpid(owner->pid, NULL, 0);
    close(owner->told);
}

#endif
