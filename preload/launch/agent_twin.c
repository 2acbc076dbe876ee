/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_twin.c - looks for another process of this rank's number in a store.
 *
 * Where no launcher names the job, two jobs of the same hosts have one name for their store. The later one must not get
 * what the other took earlier. Two that start at once are not told apart, and have read nothing yet. A program that
 * writes its title over its environment cannot be seen to be a task by those below it, which are its guests. */
#include "agent_twin.h"
#include "base/proc.h"
#include "store/ring.h"

#include <stdio.h>
#include <unistd.h>

#define MOST_ANCESTORS 32

struct look {
    int rank, is_above;
    pid_t pid; /* 0: there is none */
};

static int is_above(pid_t pid)
{
    struct mioc_proc process = { .parent = getppid() };

    for (int i = 0; i < MOST_ANCESTORS && process.parent != pid; i++)
        if (process.parent <= 1 || mioc_proc_stat(process.parent, &process) != 0)
            return 0;
    return process.parent == pid;
}

static void see_rank(void *ctx, pid_t pid, int rank, const struct mioc_stats *stats)
{
    struct look *look = ctx;
    struct mioc_proc process;

    (void)stats;
    if (rank != look->rank || pid == getpid() || mioc_proc_stat(pid, &process) != 0 || process.state == 'Z')
        return;
    look->pid = pid;
    look->is_above |= is_above(pid);
}

enum mioc_twin mioc_agent_twin(const struct mioc_task *me, const struct mioc_store *store, char *reason, size_t size)
{
    struct look look = { .rank = me->rank };

    if (me->launcher == MIOC_LAUNCHER_OTHER)
        mioc_ring_stats_visit(mioc_store_ring(store), see_rank, &look);
    if (look.pid == 0)
        return MIOC_TWIN_NONE;
    if (look.is_above)
        return MIOC_TWIN_ABOVE;
    snprintf(reason, size, "this host runs rank %d of such a job already (pid %d)", look.rank, (int)look.pid);
    return MIOC_TWIN_OTHER;
}

int mioc_agent_is_orphan(void)
{
    pid_t parent = getppid(), session = getsid(0);

    return parent == 1 || (session != getpid() && session != getsid(parent));
}
