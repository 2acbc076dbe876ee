/* SPDX-License-Identifier: BSD-3-Clause */
/* test_role_pals.c - tasks of PALS, and what is below them. Its launcher is known by not having its tasks' variables,
 * so a child process, started with them, says what it is. */
#include "folder_fixture.h"

#include "base/proc.h"
#include "launch/role.h"
#include "pals_fixture.h"

#include <sys/prctl.h>
#include <sys/wait.h>

static struct pals_file file;
static char self[1024];

/* What the child says. */
struct answer {
    int is_task, rank, size, local_rank, on_node, can_start_mpi;
    enum mioc_launcher launcher;
    unsigned long long key;
    char reason[256];
};

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL || mioc_proc_exe(getpid(), self, sizeof self) != 0;
}

/* Rank 5 of 7: the third rank of node 1 of 3. */
static int setup(void **state)
{
    static const char *const away[] = { "PMI_RANK",      "PMI_FD",       "SLURM_PROCID",   "SLURM_JOB_ID",
                                        "SLURM_STEP_ID", "SLURM_NODEID", "SLURM_TASK_PID", "OMPI_COMM_WORLD_RANK" };

    (void)state;
    for (size_t i = 0; i < sizeof away / sizeof *away; i++)
        unsetenv(away[i]);
    pals_make(&file, 1, 7, 3, 0);
    put("apinfo", (const char *)file.bytes, file.size);
    setenv("PALS_APINFO", at("apinfo"), 1);
    setenv("PALS_APID", "0f1e-22", 1);
    setenv("PALS_RANKID", "5", 1);
    setenv("PALS_NODEID", "1", 1);
    return 0;
}

static int say_what_this_is(void)
{
    struct mioc_task me = { 0 };
    char reason[256] = "";
    int is_task = mioc_role_find_launcher(&me, environ);
    int can_start = is_task && mioc_role_can_start_mpi(&me, reason, sizeof reason);

    printf("%d %d %d %d %d %d %d %llx %s%s\n", is_task, (int)me.launcher, me.rank, me.size, me.local_rank,
           mioc_task_count_on_node(&me, environ), can_start, (unsigned long long)me.key, me.reason, reason);
    return 0;
}

/* Runs this program behind `before`: as a child of this process; or of a shell that has the variables, too. */
static struct answer ask(const char *before, const char *behind)
{
    struct answer answer = { 0 };
    char command[2048];
    int launcher;
    FILE *from;

    snprintf(command, sizeof command, "%s '%s' what%s", before, self, behind);
    from = popen(command, "r");
    assert_non_null(from);
    assert_in_range(fscanf(from, "%d %d %d %d %d %d %d %llx %255[^\n]", &answer.is_task, &launcher, &answer.rank,
                           &answer.size, &answer.local_rank, &answer.on_node, &answer.can_start_mpi, &answer.key,
                           answer.reason),
                    8, 9);
    answer.launcher = (enum mioc_launcher)launcher;
    assert_int_equal(pclose(from), 0);
    return answer;
}

static struct answer ask_task(void) { return ask("exec", ""); }
static struct answer ask_guest(void) { return ask("", "; true"); }

static void task_says_what_the_file_says(void **state)
{
    struct answer task = ask_task();

    (void)state;
    assert_int_equal(task.is_task, 1);
    assert_int_equal(task.launcher, MIOC_LAUNCHER_PALS);
    assert_int_equal(task.rank, 5);
    assert_int_equal(task.size, 7);
    assert_int_equal(task.local_rank, 2);
    assert_int_equal(task.on_node, 3);
    assert_true(task.key != 0);
    assert_int_equal(task.can_start_mpi, 0);
    assert_string_equal(task.reason, "this launcher (PALS) speaks neither MPICH's PMI nor PMIx");
}

static void below_a_task_is_a_guest_with_the_same_key(void **state)
{
    struct answer task = ask_task(), child = ask_guest(), grandchild = ask("sh -c \"", "; true\"; true");

    (void)state;
    assert_int_equal(child.is_task, 0);
    assert_int_equal(child.launcher, MIOC_LAUNCHER_PALS);
    assert_int_equal(child.rank, -1);
    assert_true(child.key == task.key);
    assert_string_equal(child.reason, "");
    assert_int_equal(grandchild.is_task, 0);
    assert_true(grandchild.key == task.key);
}

static void key_is_of_application_and_node(void **state)
{
    static const char *const others[][2] = { { "PALS_APID", "0f1e-23" }, { "PALS_NODEID", "2" } };
    unsigned long long key = ask_guest().key;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        (void)setup(NULL);
        setenv(others[i][0], others[i][1], 1);
        assert_true(ask_guest().key != key);
    }
    (void)setup(NULL);
    setenv("PALS_RANKID", "4", 1);
    assert_true(ask_guest().key == key);
}

static void task_with_a_broken_environment_says_why(void **state)
{
    static const struct {
        const char *name, *value, *word;
    } rows[] = {
        { "PALS_RANKID", "x", "name no rank" },       { "PALS_NODEID", "", "name no rank" },
        { "PALS_NODEID", "-1", "name no rank" },      { "PALS_RANKID", "7", "no such rank" },
        { "PALS_APINFO", "/nowhere", "not there" },   { "PALS_APINFO", "", "not there" },
        { "PALS_APINFO", "/dev/null", "no regular" }, { "PALS_NODEID", "0", "rank 5 is on node 1, but PALS_NODEID 0" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer task;

        (void)setup(NULL);
        setenv(rows[i].name, rows[i].value, 1);
        task = ask_task();
        assert_int_equal(task.is_task, 0);
        assert_int_equal(task.launcher, MIOC_LAUNCHER_PALS);
        if (strstr(task.reason, rows[i].word) == NULL)
            fail_msg("%s=%s: %s", rows[i].name, rows[i].value, task.reason);
    }
}

static void variables_of_another_application_are_none(void **state)
{
    struct answer task;

    (void)state;
    /* srun --mpi=cray_shasta: a process below Slurm's task. */
    setenv("SLURM_PROCID", "5", 1);
    setenv("SLURM_JOB_ID", "31", 1);
    setenv("SLURM_STEP_ID", "4", 1);
    setenv("SLURM_NODEID", "1", 1);
    setenv("PALS_APID", "31.4", 1);
    task = ask_task();
    assert_int_equal(task.is_task, 0);
    assert_int_equal(task.launcher, MIOC_LAUNCHER_SLURM);
    /* Flux below a step of Slurm. */
    setenv("PALS_APID", "31.44", 1);
    task = ask_task();
    assert_int_equal(task.is_task, 1);
    assert_int_equal(task.launcher, MIOC_LAUNCHER_PALS);
    assert_int_equal(ask_guest().launcher, MIOC_LAUNCHER_PALS);
    /* srun below a task of PALS: Slurm's daemon is nearer. */
    prctl(PR_SET_NAME, "slurmstepd");
    task = ask_guest();
    prctl(PR_SET_NAME, "test_role_pals");
    assert_int_equal(task.is_task, 0);
    assert_int_equal(task.launcher, MIOC_LAUNCHER_SLURM);
    /* A part of the variables. */
    (void)setup(NULL);
    unsetenv("PALS_APID");
    assert_int_equal(ask_task().launcher, MIOC_LAUNCHER_NONE);
}

/* --- What this rests on ------------------------------------------------------------------------------------------ */

/* Asks it of a program that was given `count` long variables and some more. */
static int was_given(int count, const char *name, const char *value)
{
    static char long_text[3000];
    char *arguments[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "echo; read x",
                          NULL };
    char *variables[80], byte;
    int n = 0, found, here[2], there[2];
    pid_t child;

    memset(long_text, 'x', sizeof long_text - 1);
    memcpy(long_text, "LONG=", 5);
    for (; n < count; n++)
        variables[n] = long_text;
    variables[n++] = (char *)(uintptr_t) "NAME=value";
    variables[n++] = (char *)(uintptr_t) "EMPTY=";
    variables[n++] = (char *)(uintptr_t) "LAST=1";
    variables[n] = NULL;
    assert_int_equal(pipe(here), 0);
    assert_int_equal(pipe(there), 0);
    child = fork();
    if (child == 0) {
        dup2(here[1], STDOUT_FILENO);
        dup2(there[0], STDIN_FILENO);
        close(there[1]);
        execve("/bin/sh", arguments, variables);
        _exit(127);
    }
    close(here[1]);
    assert_int_equal(read(here[0], &byte, 1), 1); /* it has begun */
    found = mioc_proc_was_given(child, name, value);
    close(there[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(here[0]);
    close(there[0]);
    return found;
}

static void was_given_finds_whole_assignments_only(void **state)
{
    static const struct {
        const char *name, *value;
        int is_found;
    } rows[] = { { "NAME", "value", 1 },  { "EMPTY", "", 1 },    { "LAST", "1", 1 },   { "NAME", "valu", 0 },
                 { "NAME", "values", 0 }, { "AME", "value", 0 }, { "EMPTY", "1", 0 },  { "NAME", "", 0 },
                 { "LAST", "11", 0 },     { "NONE", "", 0 },     { "EMPTY", NULL, 1 }, { "LAST", NULL, 1 },
                 { "AME", NULL, 0 },      { "LAS", NULL, 0 },    { "LASTS", NULL, 0 } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int count = 0; count < 40; count += 13)
            assert_int_equal(was_given(count, rows[i].name, rows[i].value), rows[i].is_found);
    assert_int_equal(mioc_proc_was_given(-5, "NAME", "value"), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(task_says_what_the_file_says, setup),
        cmocka_unit_test_setup(below_a_task_is_a_guest_with_the_same_key, setup),
        cmocka_unit_test_setup(key_is_of_application_and_node, setup),
        cmocka_unit_test_setup(task_with_a_broken_environment_says_why, setup),
        cmocka_unit_test_setup(variables_of_another_application_are_none, setup),
        cmocka_unit_test(was_given_finds_whole_assignments_only),
    };

    (void)argv;
    return argc > 1 ? say_what_this_is() : cmocka_run_group_tests(tests, make_folder, remove_folder);
}
