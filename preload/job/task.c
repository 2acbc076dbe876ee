/* SPDX-License-Identifier: BSD-3-Clause */
/* task.c - how many tasks this node has, from the launcher's environment, or PALS's file. */
#include "task.h"
#include "launcher.h"
#include "pals.h"
#include "base/proc.h"

#include <stdlib.h>

/* Reads one node's number from Slurm's list: "4(x2),3" and node 2 give 3. 0: the list is malformed. */
static int tasks_of_node(const char *list, long node)
{
    for (;;) {
        char *end;
        long tasks = strtol(list, &end, 10), times = 1;

        if (end == list || tasks < 0 || tasks > MIOC_TASKS_MAX)
            return 0;
        if (end[0] == '(' && end[1] == 'x')
            times = strtol(end + 2, &end, 10);
        end += *end == ')';
        if (node < times)
            return (int)tasks;
        node -= times;
        if (*end != ',')
            return 0;
        list = end + 1;
    }
}

static int count_by_pals(char *const *env)
{
    const char *path = mioc_proc_getenv(env, "PALS_APINFO");
    int node = mioc_proc_getenv_number(env, "PALS_NODEID"), tasks;

    tasks = path != NULL && node >= 0 ? mioc_pals_count_on_node(path, node) : 0;
    return tasks > 0 && tasks <= MIOC_TASKS_MAX ? tasks : 0;
}

static int count_by_row(char *const *env)
{
    const struct mioc_launcher_row *row = mioc_launcher_find(env);
    int tasks = row != NULL ? mioc_launcher_on_node(row, env) : 0;

    return tasks > 0 && tasks <= MIOC_TASKS_MAX ? tasks : 0;
}

int mioc_task_count_on_node(const struct mioc_task *me, char *const *env)
{
    const char *list = mioc_proc_getenv(env, "SLURM_STEP_TASKS_PER_NODE"),
               *node = mioc_proc_getenv(env, "SLURM_NODEID");
    const char *local = mioc_proc_getenv(env, "MPI_LOCALNRANKS");

    if (me->launcher == MIOC_LAUNCHER_PALS)
        return count_by_pals(env);
    if (me->launcher == MIOC_LAUNCHER_OTHER)
        return count_by_row(env);
    if (me->launcher == MIOC_LAUNCHER_OPENMPI)
        local = mioc_proc_getenv(env, "OMPI_COMM_WORLD_LOCAL_SIZE");
    if (me->launcher != MIOC_LAUNCHER_SLURM)
        return local != NULL ? tasks_of_node(local, 0) : 0;
    return list != NULL && node != NULL ? tasks_of_node(list, strtol(node, NULL, 10)) : 0;
}
