/* SPDX-License-Identifier: BSD-3-Clause */
/* step.c - a task says what the library finds out of its job step: one line of NAME=VALUE, the step's name last. */
#include "job/step.h"
#include "launch/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    static struct mioc_task me;
    struct mioc_step step;
    char reason[256], name[256], line[4096];
    size_t used;

    if (!mioc_role_find_launcher(&me, environ) || mioc_step_find(&step, &me, environ, reason, sizeof reason) != 0) {
        printf("none: %s\n", me.reason[0] != '\0' ? me.reason : reason);
        return 1;
    }
    used = (size_t)snprintf(line, sizeof line,
                            "rank=%d size=%d local=%d on_node=%d node=%d nodes=%d pmi=%d hosts=", me.rank, me.size,
                            me.local_rank, mioc_task_count_on_node(&me, environ), step.node, step.nodes,
                            mioc_role_can_start_mpi(&me, reason, sizeof reason));
    for (int k = 0; k < step.nodes; k++) {
        if (mioc_step_host(&step, k, name, sizeof name) != 0 || used > sizeof line - 2 * sizeof name)
            return 1;
        used += (size_t)snprintf(line + used, sizeof line - used, "%s,", name);
    }
    (void)mioc_step_host(&step, step.node, name, sizeof name);
    printf("%s here=%s slurm=%s name=%s\n", line, name, getenv("SLURMD_NODENAME"), step.name);
    mioc_step_free(&step);
    return 0;
}
