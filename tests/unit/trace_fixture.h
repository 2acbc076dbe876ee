/* SPDX-License-Identifier: BSD-3-Clause */
/* trace_fixture.h - a new folder for traces, and what jq makes of the file in it. */
#ifndef TRACE_FIXTURE_H
#define TRACE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "observe/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANK 3

static struct mioc_config config;
static char folder[] = "/tmp/mioc_test_trace.XXXXXX", file[128];

static int setup(void **state)
{
    (void)state;
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    if (mkdtemp(folder) == NULL)
        return -1;
    memset(&config, 0, sizeof config);
    snprintf(config.trace, sizeof config.trace, "%s", folder);
    snprintf(config.trace_ranks, sizeof config.trace_ranks, "all");
    config.trace_max = 1u << 20;
    snprintf(file, sizeof file, "%s/rank-%05d.json", folder, RANK);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* What jq makes of the file, a line for each result. */
static const char *queried(const char *query)
{
    static char answer[65536];
    char command[1024];
    FILE *output;
    size_t n;

    assert_true(snprintf(command, sizeof command, "jq -c '%s' %s 2>&1", query, file) < (int)sizeof command);
    output = popen(command, "r");
    assert_non_null(output);
    n = fread(answer, 1, sizeof answer - 1, output);
    answer[n] = '\0';
    assert_int_equal(pclose(output), 0);
    return answer;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
