/* SPDX-License-Identifier: BSD-3-Clause */
/* test_step.c - who is where in a job step, from the variables and files of Slurm and PALS. */
#include "folder_fixture.h"

#include "job/step.h"
#include "pals_fixture.h"

#include <errno.h>

#define VARIABLES 12

static char text[VARIABLES][600], *env[VARIABLES + 1], reason[256];
static struct pals_file file;
static struct mioc_step step;

static const struct mioc_task slurm_task = { .launcher = MIOC_LAUNCHER_SLURM, .rank = 5, .size = 7, .local_rank = 2 };
static const struct mioc_task pals_task = { .launcher = MIOC_LAUNCHER_PALS, .rank = 5, .size = 7, .local_rank = 2 };

/* Adds or replaces a variable; "NAME" alone takes it away. */
static void put_variable(const char *variable)
{
    size_t name = strcspn(variable, "="), i = 0;

    while (env[i] != NULL && (strncmp(env[i], variable, name) != 0 || env[i][name] != '='))
        i++;
    assert_true(i < VARIABLES && strlen(variable) < sizeof text[i]);
    if (variable[name] == '=') {
        env[i] = strcpy(text[i], variable);
    } else if (env[i] != NULL) {
        strcpy(text[i], "GONE=");
    }
}

/* Rank 5 of 7 on 3 nodes, its node's third; PALS_APINFO says the same, of other hosts. */
static int setup(void **state)
{
    static const char *const variables[] = {
        "SLURM_CLUSTER_NAME=big",       "SLURM_JOB_ID=7", "SLURM_STEP_ID=0", "SLURM_NODEID=1", "SLURM_STEP_NUM_NODES=3",
        "SLURM_STEP_NODELIST=n[08-10]", "PALS_APID=7.0",  "PALS_RANKID=5",   "PALS_NODEID=1"
    };
    char variable[600];

    (void)state;
    memset(env, 0, sizeof env);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        put_variable(variables[i]);
    snprintf(variable, sizeof variable, "PALS_APINFO=%s", at("apinfo"));
    put_variable(variable);
    pals_make(&file, 1, 7, 3, 0);
    put("apinfo", (const char *)file.bytes, file.size);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL;
}

static void assert_hosts(const char *first, const char *second, const char *third)
{
    const char *const expected[] = { first, second, third };
    char name[256];

    for (int k = 0; k < 3; k++) {
        assert_int_equal(mioc_step_host(&step, k, name, sizeof name), 0);
        assert_string_equal(name, expected[k]);
        assert_int_equal(mioc_step_host(&step, k, name, strlen(name)), -1);
    }
    assert_int_equal(mioc_step_host(&step, 3, name, sizeof name), -1);
    assert_int_equal(mioc_step_host(&step, -1, name, sizeof name), -1);
}

static void find_slurm_step_takes_its_host_list(void **state)
{
    char expected[64];

    (void)state;
    errno = EDOM;
    assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), 0);
    assert_int_equal(errno, EDOM);
    assert_int_equal(step.node, 1);
    assert_int_equal(step.nodes, 3);
    snprintf(expected, sizeof expected, "slurm big 7.0 %lu", (unsigned long)getuid());
    assert_string_equal(step.name, expected);
    memset(text, 'x', sizeof text); /* the program may use its environment's memory for something else */
    assert_hosts("n08", "n09", "n10");
    mioc_step_free(&step);
    mioc_step_free(&step);
    assert_int_equal(mioc_step_host(&step, 0, expected, sizeof expected), -1);
}

static void find_pals_step_takes_its_file(void **state)
{
    char expected[64];

    (void)state;
    put_variable("PALS_APID=0f1e-22");
    assert_int_equal(mioc_step_find(&step, &pals_task, env, reason, sizeof reason), 0);
    assert_int_equal(step.node, 1);
    assert_int_equal(step.nodes, 3);
    snprintf(expected, sizeof expected, "pals 0f1e-22 %lu", (unsigned long)getuid());
    assert_string_equal(step.name, expected);
    assert_int_equal(unlink(at("apinfo")), 0);
    assert_hosts("host-0", "host-1", "host-2");
    mioc_step_free(&step);
}

static void find_slurm_step_without_a_list_takes_the_file_that_slurm_wrote(void **state)
{
    static const char *const lists[] = { "SLURM_STEP_NODELIST", "SLURM_STEP_NODELIST=n[1-", "SLURM_STEP_NODELIST=n" };
    static const char *const others[] = { "PALS_APID",   "PALS_APID=7.1",  "PALS_APID=7",
                                          "PALS_APINFO", "SLURM_NODEID=2", "SLURM_STEP_NUM_NODES=4" };

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        (void)setup(NULL);
        put_variable(lists[i]);
        assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), 0);
        assert_true(strncmp(step.name, "slurm big 7.0 ", 14) == 0);
        assert_hosts("host-0", "host-1", "host-2");
        mioc_step_free(&step);
    }
    /* Variables of another step, as a job step leaves them to those that it starts. */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        (void)setup(NULL);
        put_variable("SLURM_STEP_NODELIST");
        put_variable(others[i]);
        assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), -1);
        assert_string_equal(reason, "SLURM_STEP_NODELIST is missing");
    }
}

static void find_incomplete_step_says_why(void **state)
{
    static const struct {
        const char *variable, *word;
        const struct mioc_task *task;
    } rows[] = {
        { "SLURM_NODEID", "no node of a step", &slurm_task },
        { "SLURM_NODEID=3", "no node of a step", &slurm_task },
        { "SLURM_NODEID=-1", "no node of a step", &slurm_task },
        { "SLURM_STEP_NUM_NODES", "no node of a step", &slurm_task },
        { "SLURM_STEP_NUM_NODES=0", "no node of a step", &slurm_task },
        { "SLURM_STEP_NUM_NODES=65537", "no node of a step", &slurm_task },
        { "SLURM_JOB_ID", "do not name a job step", &slurm_task },
        { "SLURM_STEP_ID=", "do not name a job step", &slurm_task },
        { "SLURM_JOB_ID=7 7", "do not name a job step", &slurm_task },
        { "SLURM_CLUSTER_NAME=\xff\n", "do not name a job step", &slurm_task },
        { "PALS_APID", "do not name a job step", &pals_task },
        { "PALS_APID=a b", "do not name a job step", &pals_task },
        { "PALS_APINFO", "do not name a job step", &pals_task },
        { "PALS_APINFO=/nowhere/apinfo", "PALS_APINFO=/nowhere/apinfo: it is not there", &pals_task },
    };
    static const struct mioc_task hydra = { .launcher = MIOC_LAUNCHER_HYDRA, .rank = 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)setup(NULL);
        put_variable(rows[i].variable);
        assert_int_equal(mioc_step_find(&step, rows[i].task, env, reason, sizeof reason), -1);
        if (strstr(reason, rows[i].word) == NULL)
            fail_msg("%s: %s", rows[i].variable, reason);
        assert_null(step.hosts);
    }
    assert_int_equal(mioc_step_find(&step, &hydra, env, reason, sizeof reason), -1);
    (void)setup(NULL);
    put_variable("PALS_APID=8.0");
    put_variable("SLURM_STEP_NODELIST=n[1-4]");
    assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), -1);
    assert_string_equal(reason, "SLURM_STEP_NODELIST names 4 hosts, but the step has 3 nodes");
}

static void name_is_the_same_in_all_tasks_and_of_one_step_only(void **state)
{
    static const char *const same[] = { "SLURM_NODEID=0", "SLURM_NODEID=2", "PALS_NODEID=0" };
    static const char *const others[] = { "SLURM_JOB_ID=8", "SLURM_STEP_ID=1", "SLURM_CLUSTER_NAME=small",
                                          "SLURM_CLUSTER_NAME", "SLURM_JOB_ID=70" };
    char first[sizeof step.name];
    static char name[5][sizeof step.name];

    (void)state;
    assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), 0);
    strcpy(first, step.name);
    mioc_step_free(&step);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        (void)setup(NULL);
        put_variable(same[i]);
        assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), 0);
        assert_string_equal(step.name, first);
        mioc_step_free(&step);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        (void)setup(NULL);
        put_variable(others[i]);
        assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), 0);
        strcpy(name[i], step.name);
        assert_string_not_equal(name[i], first);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(name[i], name[k]);
        mioc_step_free(&step);
    }
    (void)setup(NULL);
    put_variable("SLURM_CLUSTER_NAME=");
    assert_int_equal(mioc_step_find(&step, &slurm_task, env, reason, sizeof reason), 0);
    assert_true(strncmp(step.name, "slurm - 7.0 ", 12) == 0);
    mioc_step_free(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(find_slurm_step_takes_its_host_list, setup),
        cmocka_unit_test_setup(find_pals_step_takes_its_file, setup),
        cmocka_unit_test_setup(find_slurm_step_without_a_list_takes_the_file_that_slurm_wrote, setup),
        cmocka_unit_test_setup(find_incomplete_step_says_why, setup),
        cmocka_unit_test_setup(name_is_the_same_in_all_tasks_and_of_one_step_only, setup),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
