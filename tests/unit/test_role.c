/* SPDX-License-Identifier: BSD-3-Clause */
/* test_role.c - what a process is, from the environment that a launcher gives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/proc.h"
#include "launch/role.h"
#include "transport/topology.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLES 16

static char text[VARIABLES][64];
static char *env[VARIABLES + 1];

/* Slurm's second task of four, the first of its node. */
static int setup(void **state)
{
    static const char *const variables[] = { "SLURM_PROCID=1",  "SLURM_STEP_NUM_TASKS=4",
                                             "SLURM_LOCALID=0", "SLURM_JOB_ID=7",
                                             "SLURM_STEP_ID=0", "SLURM_NODEID=1",
                                             "PMI_FD=11",       "PMI_RANK=1",
                                             "PMI_SIZE=4",      "SLURM_STEP_TASKS_PER_NODE=1,3" };
    unsigned n = sizeof variables / sizeof *variables;

    (void)state;
    for (unsigned i = 0; i < n; i++) {
        strcpy(text[i], variables[i]);
        env[i] = text[i];
    }
    snprintf(text[n], sizeof text[n], "SLURM_TASK_PID=%ld", (long)getpid());
    env[n] = text[n];
    env[n + 1] = NULL;
    return 0;
}

static void put(const char *variable)
{
    size_t name = (size_t)(strchr(variable, '=') - variable) + 1;

    for (unsigned i = 0; env[i] != NULL; i++)
        if (strncmp(env[i], variable, name) == 0)
            strcpy(env[i], variable);
}

static void take_away(const char *name)
{
    unsigned k = 0;

    for (unsigned i = 0; env[i] != NULL; i++)
        if (strncmp(env[i], name, strlen(name)) != 0 || env[i][strlen(name)] != '=')
            env[k++] = env[i];
    env[k] = NULL;
}

/* --- Launcher ---------------------------------------------------------------------------------------------------- */

static void launcher_none_without_names(void **state)
{
    char *none[] = { NULL };
    struct mioc_task me = { 0 };

    (void)state;
    assert_int_equal(mioc_role_find_launcher(&me, none), 0);
    assert_int_equal(me.launcher, MIOC_LAUNCHER_NONE);
    assert_int_equal(me.rank, -1);
    assert_true(me.key == 0);
}

static void launcher_slurm_own_task_is_a_rank(void **state)
{
    struct mioc_task me = { 0 };

    (void)state;
    assert_int_equal(mioc_role_find_launcher(&me, env), 1);
    assert_int_equal(me.launcher, MIOC_LAUNCHER_SLURM);
    assert_int_equal(me.rank, 1);
    assert_int_equal(me.size, 4);
    assert_int_equal(me.local_rank, 0);
    assert_true(me.key != 0);
    assert_string_equal(me.reason, "");
}

static void launcher_slurm_child_has_the_same_key(void **state)
{
    struct mioc_task task = { 0 }, child = { 0 };

    (void)state;
    assert_int_equal(mioc_role_find_launcher(&task, env), 1);
    put("SLURM_TASK_PID=1");
    assert_int_equal(mioc_role_find_launcher(&child, env), 0);
    assert_int_equal(child.launcher, MIOC_LAUNCHER_SLURM);
    assert_int_equal(child.rank, -1);
    assert_true(child.key == task.key);
    assert_string_equal(child.reason, "");
}

static void launcher_slurm_key_is_of_job_step_and_node(void **state)
{
    static const char *const others[] = { "SLURM_JOB_ID=8", "SLURM_STEP_ID=1", "SLURM_NODEID=2" };
    struct mioc_task me = { 0 }, other = { 0 };

    (void)state;
    (void)mioc_role_find_launcher(&me, env);
    for (unsigned i = 0; i < 3; i++) {
        (void)setup(NULL);
        put(others[i]);
        (void)mioc_role_find_launcher(&other, env);
        assert_true(me.key != other.key);
    }
}

static void launcher_slurm_incomplete_says_why(void **state)
{
    static const struct {
        const char *away, *changed;
    } row[] = { { "SLURM_STEP_NUM_TASKS", NULL }, { NULL, "SLURM_PROCID=1x" }, { "SLURM_NODEID", NULL } };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        struct mioc_task me = { 0 };

        (void)setup(NULL);
        if (row[i].away != NULL)
            take_away(row[i].away);
        if (row[i].changed != NULL)
            put(row[i].changed);
        assert_int_equal(mioc_role_find_launcher(&me, env), 0);
        assert_non_null(strstr(me.reason, "incomplete"));
    }
}

/* It is a task all the same, which another transport than MPI can serve. */
static void launcher_slurm_task_that_cannot_start_mpi_says_why(void **state)
{
    static const struct {
        const char *away, *changed, *word;
    } row[] = {
        { "PMI_FD", NULL, "--mpi=pmi2" },
        { NULL, "PMI_FD=-1", "--mpi=pmi2" },
        { NULL, "PMI_FD=x", "--mpi=pmi2" },
        { NULL, "PMI_SIZE=5", "PMI speaks of rank 1 of 5, Slurm of 1 of 4" },
        { NULL, "PMI_RANK=0", "PMI speaks of rank 0 of 4" },
        { "PMI_RANK", NULL, "PMI speaks of rank -1 of 4" },
    };
    char reason[256] = "";
    struct mioc_task me = { 0 };

    (void)state;
    assert_int_equal(mioc_role_find_launcher(&me, env), 1);
    assert_true(me.has_pmi && !me.has_pmix);
    assert_int_equal(mioc_role_can_start_mpi(&me, reason, sizeof reason), 1);
    assert_string_equal(reason, "");
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        memset(&me, 0, sizeof me);
        (void)setup(NULL);
        if (row[i].away != NULL)
            take_away(row[i].away);
        if (row[i].changed != NULL)
            put(row[i].changed);
        assert_int_equal(mioc_role_find_launcher(&me, env), 1);
        assert_int_equal(me.rank, 1);
        assert_int_equal(me.size, 4);
        assert_true(me.key != 0);
        assert_false(me.has_pmi || me.has_pmix);
        assert_string_equal(me.reason, "");
        assert_int_equal(mioc_role_can_start_mpi(&me, reason, sizeof reason), 0);
        assert_non_null(strstr(reason, row[i].word));
    }
}

static void launcher_slurm_task_with_pmix_can_start_mpi(void **state)
{
    char reason[256] = "", *pmix[VARIABLES + 2] = { (char *)(uintptr_t) "PMIX_RANK=1" };
    struct mioc_task me = { 0 };

    (void)state;
    take_away("PMI_FD");
    memcpy(pmix + 1, env, sizeof env);
    assert_int_equal(mioc_role_find_launcher(&me, pmix), 1);
    assert_true(me.has_pmi && me.has_pmix);
    assert_int_equal(mioc_role_can_start_mpi(&me, reason, sizeof reason), 1);
}

static void count_tasks_list_is_understood(void **state)
{
    static const struct {
        const char *list;
        int node, tasks;
    } row[] = {
        { "4", 0, 4 },       { "4(x2),3", 0, 4 }, { "4(x2),3", 1, 4 },  { "4(x2),3", 2, 3 },
        { "4(x2),3", 3, 0 }, { "1,3", 1, 3 },     { "", 0, 0 },         { "x", 0, 0 },
        { "4(x", 5, 0 },     { "-4", 0, 0 },      { "99999999", 0, 0 },
    };
    struct mioc_task me = { .launcher = MIOC_LAUNCHER_SLURM };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        char list[64], node[32], *variables[] = { list, node, NULL };

        snprintf(list, sizeof list, "SLURM_STEP_TASKS_PER_NODE=%s", row[i].list);
        snprintf(node, sizeof node, "SLURM_NODEID=%d", row[i].node);
        assert_int_equal(mioc_task_count_on_node(&me, variables), row[i].tasks);
    }
}

static void interpreter_test_program_is_none(void **state)
{
    struct mioc_task me;
    struct mioc_config config = { 0 };
    static struct mioc_policy policy;
    char version[16];

    (void)state;
    assert_false(mioc_role_is_interpreter());
    assert_int_equal(mioc_policy_python_version(version, sizeof version), -1);
    mioc_role_decide(&me, &config, &policy, 0, NULL, env);
    assert_int_equal(me.role, MIOC_DORMANT);
    assert_string_equal(me.reason, ""); /* bash, gcc: nothing to say */
}

/* --- Marks ------------------------------------------------------------------------------------------------------- */

static void mark_launch_launchers_with_several_programs_only(void **state)
{
    static const struct {
        const char *argv[8];
        int is_marked;
    } row[] = {
        { { "srun", "-n4", "python3", "app.py" }, 0 },
        { { "/usr/bin/srun", "-n4", "--multi-prog", "x.conf" }, 1 },
        { { "mpiexec.mpich", "-n", "1", "./c", ":", "./d" }, 1 },
        { { "/opt/bin/mpirun", "-configfile", "x" }, 1 },
        { { "python3", ":", "--multi-prog" }, 0 },
        { { NULL }, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        int argc = 0;

        while (row[i].argv[argc] != NULL)
            argc++;
        unsetenv(MIOC_ROLE_LAUNCH);
        mioc_role_mark_launch(argc, (char **)(uintptr_t)row[i].argv);
        assert_int_equal(getenv(MIOC_ROLE_LAUNCH) != NULL, row[i].is_marked);
    }
    setenv(MIOC_ROLE_LAUNCH, "several", 1); /* of an outer launcher */
    mioc_role_mark_launch(2, (char *[]){ (char *)(uintptr_t) "srun", (char *)(uintptr_t) "x", NULL });
    assert_null(getenv(MIOC_ROLE_LAUNCH));
}

static void mark_exec_unmarked_process_changes_nothing(void **state)
{
    char *space[VARIABLES + 2], mark[MIOC_ROLE_MARK_SIZE];

    (void)state;
    assert_ptr_equal(mioc_role_mark_exec(env, space, VARIABLES + 2, mark, 0), env);
}

/* In a child each, as the mark stays. Exit code 0 is good. */
static void in_child(int (*check)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(check());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int check_mark(void)
{
    char own[64], *variables[] = { text[0], own, text[1], NULL }, *space[8], mark[MIOC_ROLE_MARK_SIZE];
    char *const *marked;

    snprintf(own, sizeof own, MIOC_ROLE_MARK "%ld:pmi", (long)getpid());
    mioc_role_note_marks(variables);
    if (variables[0] != text[0] || variables[1] != text[1] || variables[2] != NULL || !mioc_role_is_heir())
        return 1;
    marked = mioc_role_mark_exec(variables, space, 8, mark, 1);
    if (marked != space || marked[0] != text[0] || marked[1] != text[1] || strcmp(marked[2], own) != 0 ||
        marked[3] != NULL)
        return 2;
    if (mioc_role_mark_exec(variables, space, 3, mark, 1) != variables) /* no room */
        return 3;
    return 0;
}

static int check_foreign_mark(void)
{
    static const char *const values[] = { "", "1", "x", "99999999999999999999" };
    char variable[64], *space[8], mark[MIOC_ROLE_MARK_SIZE];

    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        char *variables[] = { variable, NULL };

        snprintf(variable, sizeof variable, MIOC_ROLE_MARK "%s", values[i]);
        mioc_role_note_marks(variables);
        if (variables[0] != NULL || mioc_role_is_heir() ||
            mioc_role_mark_exec(variables, space, 8, mark, 0) != variables)
            return 1;
    }
    return 0;
}

static void marks_own_is_taken_out_and_put_back(void **state)
{
    (void)state;
    in_child(check_mark);
}

static void marks_of_others_are_taken_out(void **state)
{
    (void)state;
    in_child(check_foreign_mark);
}

/* --- What these rest on ------------------------------------------------------------------------------------------ */

static void proc_stat_odd_name_is_understood(void **state)
{
    struct mioc_proc process;
    char name[16] = "";

    (void)state;
    prctl(PR_GET_NAME, name);
    prctl(PR_SET_NAME, "a) R 1 (b)");
    assert_int_equal(mioc_proc_stat(getpid(), &process), 0);
    assert_string_equal(process.comm, "a) R 1 (b)");
    assert_int_equal(process.parent, getppid());
    assert_int_equal(process.state, 'R');
    assert_true(process.start > 0);
    prctl(PR_SET_NAME, name);
    assert_int_equal(mioc_proc_stat(-5, &process), -1);
}

static void proc_children_child_is_among_them(void **state)
{
    int pipes[2], n;
    pid_t children[64], child;
    char byte;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) != 0);
    }
    n = mioc_proc_children(getpid(), children, 64);
    close(pipes[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(pipes[0]);
    if (n >= 0) /* a kernel without CONFIG_PROC_CHILDREN does not say */
        assert_true(n == 1 && children[0] == child);
}

static void topology_nodes_are_numbered_by_lowest_rank(void **state)
{
    static const struct {
        int size, nodes;
        uint64_t name[6];
        int node[6], leader[3];
    } row[] = {
        { 1, 1, { 9 }, { 0 }, { 0 } },
        { 4, 2, { 9, 9, 3, 3 }, { 0, 0, 1, 1 }, { 0, 2 } },
        { 6, 3, { 5, 9, 1, 9, 5, 1 }, { 0, 1, 2, 1, 0, 2 }, { 0, 1, 2 } },
        { 4, 1, { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0 } },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        int leader[6], node[6];

        assert_int_equal(mioc_topology_number(row[i].name, row[i].size, leader, node), row[i].nodes);
        assert_memory_equal(node, row[i].node, (size_t)row[i].size * sizeof *node);
        assert_memory_equal(leader, row[i].leader, (size_t)row[i].nodes * sizeof *leader);
    }
    assert_true(mioc_topology_node_name() == mioc_topology_node_name());
}

/* Whether the plug-in, a file, can be loaded; with no trace of how that was found out. */
static int check_load(const char *plugin, char *reason, size_t size)
{
    sigset_t only, before, pending;
    int lowest = dup(0), rc;

    close(lowest);
    sigemptyset(&only);
    sigaddset(&only, SIGCHLD);
    sigprocmask(SIG_BLOCK, &only, &before);
    errno = EDOM;
    rc = mioc_role_check_load(plugin, environ, 10000, reason, size);
    assert_int_equal(errno, EDOM);
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGCHLD), 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(dup(0), lowest);
    close(lowest);
    return rc;
}

static void check_load_of_what_the_loader_takes_or_does_not_says_so_and_leaves_nothing(void **state)
{
    char reason[256] = "";
    Dl_info libc;

    (void)state;
    assert_int_not_equal(dladdr((void *)abort, &libc), 0);
    assert_int_equal(check_load(libc.dli_fname, reason, sizeof reason), 0);
    assert_string_equal(reason, "");
    assert_int_equal(check_load("/dev/null", reason, sizeof reason), -1);
    assert_non_null(strstr(reason, "file too short"));
    assert_int_equal(check_load("/dev/null/no.so", reason, sizeof reason), -1);
    /* A word of its own, as LD_PRELOAD takes it: nobody is asked. */
    assert_int_equal(check_load("/dev/null/n o.so", reason, sizeof reason), 0);
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(check_load("/dev/null", reason, sizeof reason), -1);
    assert_int_equal(check_load(libc.dli_fname, reason, sizeof reason), 0);
    signal(SIGCHLD, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launcher_none_without_names),
        cmocka_unit_test_setup(launcher_slurm_own_task_is_a_rank, setup),
        cmocka_unit_test_setup(launcher_slurm_child_has_the_same_key, setup),
        cmocka_unit_test_setup(launcher_slurm_key_is_of_job_step_and_node, setup),
        cmocka_unit_test_setup(launcher_slurm_incomplete_says_why, setup),
        cmocka_unit_test_setup(launcher_slurm_task_that_cannot_start_mpi_says_why, setup),
        cmocka_unit_test_setup(launcher_slurm_task_with_pmix_can_start_mpi, setup),
        cmocka_unit_test(count_tasks_list_is_understood),
        cmocka_unit_test_setup(interpreter_test_program_is_none, setup),
        cmocka_unit_test(mark_launch_launchers_with_several_programs_only),
        cmocka_unit_test_setup(mark_exec_unmarked_process_changes_nothing, setup),
        cmocka_unit_test_setup(marks_own_is_taken_out_and_put_back, setup),
        cmocka_unit_test(marks_of_others_are_taken_out),
        cmocka_unit_test(proc_stat_odd_name_is_understood),
        cmocka_unit_test(proc_children_child_is_among_them),
        cmocka_unit_test(topology_nodes_are_numbered_by_lowest_rank),
        cmocka_unit_test(check_load_of_what_the_loader_takes_or_does_not_says_so_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
