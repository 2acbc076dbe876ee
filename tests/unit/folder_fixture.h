/* SPDX-License-Identifier: BSD-3-Clause */
/* folder_fixture.h - a folder with files for the root's real calls; for test_prefetch.c, test_bytecode.c,
 * test_resolver*.c and test_policy_file.c. */
#ifndef MIOC_TEST_FOLDER_FIXTURE_H
#define MIOC_TEST_FOLDER_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/mioc-test.XXXXXX";

/* One of the last four is valid. */
static const char *at(const char *name)
{
    static char path[4][512];
    static unsigned turn;
    char *out = path[turn++ % 4];

    snprintf(out, 512, "%s/%s", top, name);
    return out;
}

static void put(const char *name, const char *bytes, size_t size)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static int remove_folder(void **state)
{
    char command[600];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command);
}

#endif
