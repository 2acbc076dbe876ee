/* SPDX-License-Identifier: BSD-3-Clause */
/* task.c - how many tasks this node has, from the launcher's environment. */
#include "task.h"
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

int mioc_task_count_on_node(const struct mioc_task *me, char *const *env)
{
    const char *list = mioc_proc_getenv(env, "SLURM_STEP_TASKS_PER_NODE"),
               *node = mioc_proc_getenv(env, "SLURM_NODEID");
    const char *local = mioc_proc_getenv(env, "MPI_LOCALNRANKS");

    if (me->launcher == MIOC_LAUNCHER_OPENMPI)
        local = mioc_proc_getenv(env, "OMPI_COMM_WORLD_LOCAL_SIZE");
    if (me->launcher != MIOC_LAUNCHER_SLURM)
        return local != NULL ? tasks_of_node(local, 0) : 0;
    return list != NULL && node != NULL ? tasks_of_node(list, strtol(node, NULL, 10)) : 0;
}
