/* SPDX-License-Identifier: BSD-3-Clause */
/* test_role_other.c - tasks of launchers that a row of the table describes, what is below them, and their hosts. The
 * launcher is known by not having its tasks' variables, so a child process, started with them, says what it is. */
#include "folder_fixture.h"

#include "base/proc.h"
#include "job/launcher.h"
#include "job/step.h"
#include "launch/role.h"

static char self[1024], here[256];

/* What the child says. */
struct answer {
    int is_task, launcher, rank, size, local_rank, on_node, node, nodes;
    unsigned long long key;
    char hosts[256], name[128], reason[300]; /* the reason is the task's, or the step's */
};

static int say_what_this_is(void)
{
    struct mioc_task me = { 0 };
    struct mioc_step step = { .node = -1, .nodes = -1 };
    char reason[256] = "", hosts[256] = ".", host[64];
    int is_task = mioc_role_find_launcher(&me, environ);

    if (is_task && mioc_step_find(&step, &me, environ, reason, sizeof reason) != 0)
        step = (struct mioc_step){ .node = -1, .nodes = -1 };
    for (int k = 0; step.hosts != NULL && k < step.nodes; k++)
        if (mioc_step_host(&step, k, host, sizeof host) == 0)
            snprintf(hosts + strlen(hosts), sizeof hosts - strlen(hosts), "%s.", host);
    printf("%d %d %d %d %d %d %d %d %llx %s\nname %s\nreason %s%s\n", is_task, (int)me.launcher, me.rank, me.size,
           me.local_rank, mioc_task_count_on_node(&me, environ), step.node, step.nodes, (unsigned long long)me.key,
           hosts, step.name, me.reason, reason);
    return 0;
}

static void take_line(FILE *from, const char *head, char *text, size_t size)
{
    char line[400];

    assert_non_null(fgets(line, sizeof line, from));
    line[strcspn(line, "\n")] = '\0';
    assert_memory_equal(line, head, strlen(head));
    assert_true((size_t)snprintf(text, size, "%s", line + strlen(head)) < size);
}

/* Runs this program with `variables` as all of the environment: as a child of a process without them; or, `below`, of
 * one that has them. */
static struct answer ask_as(const char *variables, int below)
{
    struct answer answer = { 0 };
    char command[2048];
    FILE *from;

    if (below)
        snprintf(command, sizeof command, "env -i %s sh -c '%s what; true'", variables, self);
    else
        snprintf(command, sizeof command, "env -i %s %s what", variables, self);
    from = popen(command, "r");
    assert_non_null(from);
    assert_int_equal(fscanf(from, "%d %d %d %d %d %d %d %d %llx %255s\n", &answer.is_task, &answer.launcher,
                            &answer.rank, &answer.size, &answer.local_rank, &answer.on_node, &answer.node,
                            &answer.nodes, &answer.key, answer.hosts),
                     10);
    take_line(from, "name ", answer.name, sizeof answer.name);
    take_line(from, "reason ", answer.reason, sizeof answer.reason);
    assert_int_equal(pclose(from), 0);
    return answer;
}

static struct answer ask(const char *variables) { return ask_as(variables, 0); }

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(top) == NULL || mioc_proc_exe(getpid(), self, sizeof self) != 0 ||
           gethostname(here, sizeof here) != 0;
}

/* "%" in the text becomes this host's name. One of the last four is valid. */
static const char *with_host(const char *text)
{
    static char made[4][512];
    static unsigned turn;
    char *out = made[turn++ % 4];
    size_t used = 0;

    for (; *text != '\0'; text++)
        used += (size_t)snprintf(out + used, 512 - used, *text == '%' ? "%s" : "%.1s", *text == '%' ? here : text);
    return out;
}

static void task_of_each_row_says_what_its_variables_say(void **state)
{
    static const struct {
        const char *variables;
        int rank, size, local_rank, on_node;
    } rows[] = {
        { "MPIIO_CACHE_RANK=3", 3, -1, -1, 0 },
        { "MPIIO_CACHE_RANK=3 RANK=7 PMI_RANK=9", 3, -1, -1, 0 },
        { "FLUX_TASK_RANK=3 FLUX_JOB_SIZE=8 FLUX_TASK_LOCAL_ID=1 FLUX_JOB_NNODES=2 FLUX_JOB_ID=31 PMI_RANK=3", 3, 8, 1,
          0 },
        { "JSM_NAMESPACE_RANK=5 JSM_NAMESPACE_SIZE=8 JSM_NAMESPACE_LOCAL_RANK=1 JSM_NAMESPACE_LOCAL_SIZE=4 "
          "OMPI_COMM_WORLD_RANK=5",
          5, 8, 1, 4 },
        { "MV2_COMM_WORLD_RANK=5 MV2_COMM_WORLD_SIZE=8 MV2_COMM_WORLD_LOCAL_RANK=1 MV2_COMM_WORLD_LOCAL_SIZE=4", 5, 8,
          1, 4 },
        { "OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=4", 5,
          8, 1, 4 },
        { "PMIX_RANK=5", 5, -1, -1, 0 },
        { "PALS_RANKID=5 PALS_LOCAL_RANKID=1", 5, -1, 1, 0 },
        { "PMI_RANK=5 PMI_SIZE=8 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=4", 5, 8, 1, 4 },
        { "RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 GROUP_RANK=1 MASTER_ADDR=other", 5, 8, 1, 4 },
        { "RANK=5 PBS_TASKNUM=9 PBS_VNODENUM=7", 5, -1, -1, 0 },
        { "PBS_TASKNUM=9 PBS_VNODENUM=7 PBS_NODENUM=1", 7, -1, -1, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char variables[600];
        struct answer a;

        snprintf(variables, sizeof variables, "%s %s", rows[i].variables, with_host("MPIIO_CACHE_HOSTS=other,%"));
        a = ask(variables);
        if (!a.is_task || a.launcher != MIOC_LAUNCHER_OTHER || a.rank != rows[i].rank || a.size != rows[i].size ||
            a.local_rank != rows[i].local_rank || a.on_node != rows[i].on_node || a.key == 0 || a.node != 1 ||
            a.nodes != 2)
            fail_msg("%s: %d %d %d %d %d %d %d %d %s", variables, a.is_task, a.launcher, a.rank, a.size, a.local_rank,
                     a.on_node, a.node, a.nodes, a.reason);
        assert_string_equal(a.hosts, with_host(".other.%."));
        a = ask_as(variables, 1);
        assert_int_equal(a.is_task, 0);
        assert_int_equal(a.launcher, MIOC_LAUNCHER_OTHER);
        assert_int_equal(a.rank, -1);
        assert_true(a.key == ask(variables).key);
    }
}

/* A program may start others with another rank, port or list, or without. */
static void below_a_task_other_values_change_nothing(void **state)
{
    static const char *const changes[] = { "RANK=9",
                                           "RANK=9 MASTER_PORT=7",
                                           "MASTER_ADDR= MASTER_PORT=",
                                           "MPIIO_CACHE_HOSTS=x,y",
                                           "-u MPIIO_CACHE_HOSTS",
                                           "-u MASTER_PORT" };
    const char *variables = with_host("RANK=5 MASTER_PORT=1 MPIIO_CACHE_HOSTS=other,%");
    unsigned long long key = ask(variables).key;

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char inner[600];
        struct answer a;

        snprintf(inner, sizeof inner, "%s sh -c 'env %s \"$0\" \"$@\"; true'", variables, changes[i]);
        a = ask(inner);
        if (a.is_task || a.launcher != MIOC_LAUNCHER_OTHER || a.key != key || a.size != -1)
            fail_msg("%s: %d %d %s", changes[i], a.is_task, a.launcher, a.reason);
    }
}

static void one_node_needs_no_hosts(void **state)
{
    static const char *const one[] = {
        "FLUX_TASK_RANK=3 FLUX_JOB_SIZE=4 FLUX_TASK_LOCAL_ID=3 FLUX_JOB_NNODES=1 FLUX_JOB_ID=31",
        "RANK=3 WORLD_SIZE=4 LOCAL_RANK=3 LOCAL_WORLD_SIZE=4 TORCHELASTIC_RUN_ID=none MASTER_PORT=29500",
        "JSM_NAMESPACE_RANK=3 JSM_NAMESPACE_SIZE=4 JSM_NAMESPACE_LOCAL_RANK=3 JSM_NAMESPACE_LOCAL_SIZE=4",
        "RANK=3 WORLD_SIZE=4 LOCAL_RANK=3 LOCAL_WORLD_SIZE=4 MPIIO_CACHE_HOSTS=not,this,one",
    };

    (void)state;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        struct answer a = ask(one[i]);

        if (!a.is_task || a.rank != 3 || a.size != 4 || a.on_node != 4 || a.node != 0 || a.nodes != 1)
            fail_msg("%s: %d %d %d %d %d %s", one[i], a.is_task, a.rank, a.size, a.node, a.nodes, a.reason);
        assert_int_equal(ask_as(one[i], 1).is_task, 0);
    }
}

static void variables_by_accident_and_a_launcher_without_hosts_are_no_task(void **state)
{
    static const struct {
        const char *variables, *reason;
        int rank;
    } rows[] = {
        { "RANK=0", "", -1 },
        { "RANK=0 WORLD_SIZE=8", "", -1 },
        { "RANK=0 WORLD_SIZE=8 LOCAL_WORLD_SIZE=4", "", -1 },
        { "RANK=first MPIIO_CACHE_HOSTS=a,b", "", -1 },
        { "RANK= MPIIO_CACHE_HOSTS=a,b", "", -1 },
        { "RANK=-1 MPIIO_CACHE_HOSTS=a,b", "", -1 },
        { "MPIIO_CACHE_HOSTS=a,b", "", -1 },
        { "MPIIO_CACHE_RANK=1", "", -1 },
        { "RANK=0 MPIIO_CACHE_HOSTS=./hosts", "", -1 },
        { "PBS_VNODENUM=0 MPIIO_CACHE_HOSTS=a,b", "", -1 },
        { "FLUX_TASK_RANK=3 FLUX_JOB_SIZE=8 FLUX_JOB_NNODES=2 FLUX_JOB_ID=31",
          "FLUX_TASK_RANK is set, but nothing says where the nodes are", 3 },
        { "PMIX_RANK=0", "", -1 },
        { "PMI_RANK=0 PMI_SIZE=2 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=2", "", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a = ask(rows[i].variables);

        if (a.is_task || a.launcher != MIOC_LAUNCHER_NONE || a.rank != rows[i].rank ||
            strcmp(a.reason, rows[i].reason) != 0)
            fail_msg("%s: %d %d %d %s", rows[i].variables, a.is_task, a.launcher, a.rank, a.reason);
    }
}

static void key_and_name_are_of_one_job(void **state)
{
    static const char *const same[] = {
        "RANK=1 MASTER_PORT=1 MPIIO_CACHE_HOSTS=a,%",
        "RANK=2 MASTER_PORT=1 MPIIO_CACHE_HOSTS=a,%",
        "RANK=1 LOCAL_RANK=1 MASTER_PORT=1 MPIIO_CACHE_HOSTS=a,% OTHER=1",
    };
    static const char *const others[] = {
        "RANK=1 MASTER_PORT=2 MPIIO_CACHE_HOSTS=a,%",
        "RANK=1 MASTER_ADDR=x MASTER_PORT=1 MPIIO_CACHE_HOSTS=a,%",
        "RANK=1 MASTER_PORT=1 TORCHELASTIC_RUN_ID=x MPIIO_CACHE_HOSTS=a,%",
        "RANK=1 MASTER_PORT=1 MPIIO_CACHE_HOSTS=%,a",
        "RANK=1 MASTER_PORT=1 MPIIO_CACHE_HOSTS=a,%,",
        "MPIIO_CACHE_RANK=1 MASTER_PORT=1 MPIIO_CACHE_HOSTS=a,%",
    };
    struct answer first = ask(with_host(same[0]));

    (void)state;
    assert_int_equal(first.is_task, 1);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
        struct answer a = ask(with_host(same[i]));

        assert_true(a.key == first.key);
        assert_string_equal(a.name, first.name);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct answer a = ask(with_host(others[i]));

        assert_int_equal(a.is_task, 1);
        if (a.key == first.key || strcmp(a.name, first.name) == 0)
            fail_msg("%s: %s", others[i], a.name);
    }
}

static void hosts_come_from_files_and_from_the_batch_system(void **state)
{
    static const struct {
        const char *variables, *file, *hosts;
        int node;
    } rows[] = {
        { "RANK=1 MPIIO_CACHE_HOSTS=@", "a\na\n%\n%\n", ".a.%.", 1 },
        { "RANK=1 MASTER_ADDR=% MPIIO_CACHE_HOSTS=a,b,%,c", "", ".%.b.a.c.", 0 },
        { "RANK=1 MASTER_ADDR=b MPIIO_CACHE_HOSTS=%,a,b,c", "", ".b.a.%.c.", 2 },
        { "RANK=1 MASTER_ADDR=10.0.0.1 MPIIO_CACHE_HOSTS=a,%", "", ".a.%.", 1 },
        { "PBS_TASKNUM=2 PBS_VNODENUM=1 PBS_JOBID=7.pbs PBS_NODEFILE=@", "a\na\n%\n", ".a.%.", 1 },
        { "PBS_TASKNUM=2 PBS_VNODENUM=1 PBS_NODEFILE=@ MPIIO_CACHE_HOSTS=b,c,%", "a\n%\n", ".b.c.%.", 2 },
        { "JSM_NAMESPACE_RANK=1 LSB_JOBID=5 LSB_DJOB_HOSTFILE=@", "batch\nh\nh\n%\n%\n", ".h.%.", 1 },
        { "JSM_NAMESPACE_RANK=1 LSB_JOBID=5 LSB_DJOB_HOSTFILE=@", "h\nh\n%\n%\n", ".h.%.", 1 },
        { "JSM_NAMESPACE_RANK=1 LSB_MCPU_HOSTS=\"batch 1 h 42 % 42\"", "", ".h.%.", 1 },
        { "JSM_NAMESPACE_RANK=1 LSB_MCPU_HOSTS=\"h 42 % 42\"", "", ".h.%.", 1 },
        { "JSM_NAMESPACE_RANK=1 LSB_MCPU_HOSTS=\"h 1 % 1\"", "", ".h.%.", 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char variables[600] = "";
        struct answer a;

        put("hosts", with_host(rows[i].file), strlen(with_host(rows[i].file)));
        for (const char *at_text = with_host(rows[i].variables); *at_text != '\0'; at_text++)
            snprintf(variables + strlen(variables), sizeof variables - strlen(variables),
                     *at_text == '@' ? "%s" : "%.1s", *at_text == '@' ? at("hosts") : at_text);
        a = ask(variables);
        if (!a.is_task || a.node != rows[i].node || strcmp(a.hosts, with_host(rows[i].hosts)) != 0)
            fail_msg("%s: %d %d %s %s", variables, a.is_task, a.node, a.hosts, a.reason);
    }
}

static void host_that_is_not_in_the_list_says_so(void **state)
{
    struct answer a = ask("RANK=1 MPIIO_CACHE_HOSTS=a,b");

    (void)state;
    assert_int_equal(a.is_task, 1);
    assert_string_equal(a.reason, with_host("this host (%) is none of the 2 of MPIIO_CACHE_HOSTS"));
    a = ask("RANK=1 MPIIO_CACHE_HOSTS=a,/b");
    assert_int_equal(a.is_task, 0); /* a bad value counts as none */
    a = ask("RANK=1 MPIIO_CACHE_HOSTS=/nowhere/hosts");
    assert_string_equal(a.reason, "this host cannot read MPIIO_CACHE_HOSTS=/nowhere/hosts: No such file or directory");
    a = ask("PBS_TASKNUM=2 PBS_VNODENUM=1 PBS_NODEFILE=/nowhere");
    assert_string_equal(a.reason, "this host cannot read PBS_NODEFILE=/nowhere: No such file or directory");
}

/* --- README.md --------------------------------------------------------------------------------------------------- */

static void readme_has_the_same_table(void **state)
{
    static const struct {
        const char *people, *rank, *where, *secret;
    } rows[] = {
#define X(kind, people, mark, rank, size, local_rank, on_node, nodes, id1, id2, id3, hosts1, hosts2, where, secret) \
    { people, rank, where, secret },
        MIOC_LAUNCHERS(X)
#undef X
    };
    static char text[1 << 17], line[1024];
    FILE *file = fopen(MIOC_README, "re");
    const char *others;
    unsigned lines = 0, said = 0;

    (void)state;
    assert_non_null(file);
    assert_in_range(fread(text, 1, sizeof text - 1, file), 1000, sizeof text - 2);
    (void)fclose(file);
    others = strstr(text, "| any other that numbers its tasks by ");
    assert_non_null(others);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].people[0] != '\0') {
            snprintf(line, sizeof line, "| %s | `%s` | %s | %s |\n", rows[i].people, rows[i].rank, rows[i].where,
                     rows[i].secret);
            if (strstr(text, line) == NULL)
                fail_msg("README.md has no line %s", line);
            said++;
        } else {
            snprintf(line, sizeof line, "`%s`", rows[i].rank);
            if (memmem(others, strcspn(others, "\n"), line, strlen(line)) == NULL)
                fail_msg("README.md's last row does not name %s", line);
        }
    }
    for (const char *at_line = strstr(text, "\n| launcher |") + 1; *at_line == '|'; at_line = strchr(at_line, '\n') + 1)
        lines++;
    assert_int_equal(lines, said + 3); /* the head, the rule, the others */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_of_each_row_says_what_its_variables_say),
        cmocka_unit_test(below_a_task_other_values_change_nothing),
        cmocka_unit_test(one_node_needs_no_hosts),
        cmocka_unit_test(variables_by_accident_and_a_launcher_without_hosts_are_no_task),
        cmocka_unit_test(key_and_name_are_of_one_job),
        cmocka_unit_test(hosts_come_from_files_and_from_the_batch_system),
        cmocka_unit_test(host_that_is_not_in_the_list_says_so),
        cmocka_unit_test(readme_has_the_same_table),
    };

    (void)argv;
    return argc > 1 ? say_what_this_is() : cmocka_run_group_tests(tests, make_folder, remove_folder);
}
