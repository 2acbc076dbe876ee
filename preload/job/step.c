/* SPDX-License-Identifier: BSD-3-Clause */
/* step.c - who is where in a job step, from Slurm's variables, PALS's file or a list of hosts. */
#include "step.h"
#include "hostlist.h"
#include "hosts.h"
#include "launcher.h"
#include "pals.h"
#include "base/config.h"
#include "base/hash.h"
#include "base/proc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Not from malloc(): the program may not find its heap changed. Returns NULL if there is no memory. */
static char *take_memory(struct mioc_step *step, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    step->hosts = memory;
    step->bytes = bytes;
    return step->hosts;
}

void mioc_step_free(struct mioc_step *step)
{
    int saved = errno;

    if (step->hosts != NULL)
        (void)munmap(step->hosts, step->bytes);
    step->hosts = NULL;
    errno = saved;
}

/* Whether a word of the launcher's can be a part of the name. A blank would make two different names equal. */
static int is_word(const char *text)
{
    size_t n = 0;

    while ((unsigned char)text[n] > ' ' && text[n] != 0x7f)
        n++;
    return n > 0 && n <= 64 && text[n] == '\0';
}

/* --- Slurm ------------------------------------------------------------------------------------------------------- */

static int name_slurm_step(struct mioc_step *step, char *const *env, char *reason, size_t size)
{
    const char *cluster = mioc_proc_getenv(env, "SLURM_CLUSTER_NAME"), *job = mioc_proc_getenv(env, "SLURM_JOB_ID"),
               *id = mioc_proc_getenv(env, "SLURM_STEP_ID");

    if (cluster == NULL || *cluster == '\0')
        cluster = "-";
    if (job == NULL || id == NULL || !is_word(job) || !is_word(id) || !is_word(cluster)) {
        snprintf(reason, size, "SLURM_CLUSTER_NAME, SLURM_JOB_ID and SLURM_STEP_ID do not name a job step");
        return -1;
    }
    snprintf(step->name, sizeof step->name, "slurm %s %s.%s %lu", cluster, job, id, (unsigned long)getuid());
    return 0;
}

/* Takes the host list. 0, or -1: it is missing, malformed or of another number of nodes. */
static int take_list(struct mioc_step *step, char *const *env, char *reason, size_t size)
{
    const char *list = mioc_proc_getenv(env, "SLURM_STEP_NODELIST");
    int count = list == NULL ? -1 : mioc_hostlist_count(list);

    if (count < 0)
        snprintf(reason, size, "SLURM_STEP_NODELIST is %s", list == NULL ? "missing" : "malformed");
    else if (count != step->nodes)
        snprintf(reason, size, "SLURM_STEP_NODELIST names %d hosts, but the step has %d nodes", count, step->nodes);
    else if (take_memory(step, strlen(list) + 1) == NULL)
        snprintf(reason, size, "out of memory for the host list");
    else
        memcpy(step->hosts, list, strlen(list) + 1);
    return step->hosts != NULL ? 0 : -1;
}

/* --- PALS -------------------------------------------------------------------------------------------------------- */

/* Takes the names of all nodes from the file. */
static int take_table(struct mioc_step *step, const struct mioc_pals_place *place, const char *path, char *reason,
                      size_t size)
{
    step->is_table = 1;
    if (take_memory(step, (size_t)place->nodes * MIOC_PALS_NAME_SIZE) == NULL) {
        snprintf(reason, size, "out of memory for the nodes' names");
        return -1;
    }
    if (mioc_pals_names(path, place->nodes, step->hosts, reason, size) == 0)
        return 0;
    mioc_step_free(step);
    return -1;
}

static int find_pals_step(struct mioc_step *step, const struct mioc_task *me, char *const *env, char *reason,
                          size_t size)
{
    const char *path = mioc_proc_getenv(env, "PALS_APINFO"), *apid = mioc_proc_getenv(env, "PALS_APID");
    struct mioc_pals_place place;

    if (path == NULL || apid == NULL || !is_word(apid)) {
        snprintf(reason, size, "PALS_APINFO and PALS_APID do not name a job step");
        return -1;
    }
    if (mioc_pals_place(path, me->rank, &place, reason, size) != 0)
        return -1;
    step->node = place.node;
    step->nodes = place.nodes;
    snprintf(step->name, sizeof step->name, "pals %s %lu", apid, (unsigned long)getuid());
    return take_table(step, &place, path, reason, size);
}

/* Takes PALS's names for a step of Slurm. The variables may be those of a job step around this one, so the file must be
 * of this step and say the same as Slurm. 0 or -1. */
static int take_table_of_slurm(struct mioc_step *step, const struct mioc_task *me, char *const *env)
{
    const char *path = mioc_proc_getenv(env, "PALS_APINFO"), *apid = mioc_proc_getenv(env, "PALS_APID");
    const char *job = mioc_proc_getenv(env, "SLURM_JOB_ID"), *id = mioc_proc_getenv(env, "SLURM_STEP_ID");
    struct mioc_pals_place place;
    char expected[160], unused[1];

    snprintf(expected, sizeof expected, "%s.%s", job, id);
    if (path == NULL || apid == NULL || strcmp(apid, expected) != 0 ||
        mioc_pals_place(path, me->rank, &place, unused, sizeof unused) != 0 || place.node != step->node ||
        place.nodes != step->nodes || place.size != me->size)
        return -1;
    return take_table(step, &place, path, unused, sizeof unused);
}

/* --- A list of hosts --------------------------------------------------------------------------------------------- */

/* IBM's LSF names the node that the job's script runs on first, and once; jsrun starts no task there. */
static void drop_launch_node(struct mioc_hosts *hosts, const char *variable)
{
    if (strncmp(variable, "LSB_", 4) == 0 && hosts->count > 1 && hosts->uses[0] == 1 && hosts->uses[1] > 1)
        mioc_hosts_drop_first(hosts);
}

/* The name: two jobs of the same hosts at a time differ in the launcher's ids, or in how their lists are given. */
static void name_hosts_step(struct mioc_step *step, const struct mioc_launcher_row *row,
                            const struct mioc_launcher_hosts *given, const struct mioc_hosts *hosts, char *const *env)
{
    const uint64_t pair[2] = { mioc_hash(given->list, strlen(given->list)),
                               mioc_hash(hosts->names, strlen(hosts->names)) };

    snprintf(step->name, sizeof step->name, "hosts %016llx %lu",
             mioc_launcher_hash(row, env, mioc_hash(pair, sizeof pair)), (unsigned long)getuid());
}

/* The node of rank 0, where a variable says it. */
static int find_first(const struct mioc_hosts *hosts, const struct mioc_launcher_row *row, char *const *env)
{
    const char *name = mioc_proc_getenv(env, "MASTER_ADDR");
    int k = row != NULL && strcmp(row->rank, "RANK") == 0 && name != NULL ? mioc_hosts_find(hosts, name) : 0;

    return k > 0 ? k : 0;
}

/* The list's place of a node, and the node of a place: the first and node 0's have changed places. */
static int swap_first(const struct mioc_step *step, int k) { return k == 0 ? step->first : k == step->first ? 0 : k; }

static int find_hosts_step(struct mioc_step *step, const struct mioc_task *me, char *const *env, char *reason,
                           size_t size)
{
    const struct mioc_launcher_row *row = me->launcher == MIOC_LAUNCHER_OTHER ? mioc_launcher_find(env) : NULL;
    const struct mioc_launcher_hosts given = mioc_launcher_hosts(row, mioc_config()->hosts, env);
    struct mioc_hosts hosts;
    int here;

    step->nodes = 1;
    if (me->size > 0 && mioc_task_count_on_node(me, env) == me->size) {
        snprintf(step->name, sizeof step->name, "one node %lu", (unsigned long)getuid());
        return 0;
    }
    if (given.list == NULL) {
        snprintf(reason, size, "nothing says where the nodes are");
        return -1;
    }
    if (mioc_hosts_read(&hosts, given.list, given.variable, reason, size) != 0)
        return -1;
    drop_launch_node(&hosts, given.variable);
    here = mioc_hosts_find_this(&hosts, given.variable, reason, size);
    if (here < 0) {
        mioc_hosts_free(&hosts);
        return -1;
    }
    name_hosts_step(step, row, &given, &hosts, env);
    step->nodes = hosts.count;
    step->first = find_first(&hosts, row, env);
    step->node = swap_first(step, here);
    step->hosts = hosts.names;
    step->bytes = hosts.bytes;
    return 0;
}

/* --- The step ---------------------------------------------------------------------------------------------------- */

static int find_slurm_step(struct mioc_step *step, const struct mioc_task *me, char *const *env, char *reason,
                           size_t size)
{
    step->node = mioc_proc_getenv_number(env, "SLURM_NODEID");
    step->nodes = mioc_proc_getenv_number(env, "SLURM_STEP_NUM_NODES");
    if (step->nodes < 1 || step->nodes > MIOC_HOSTS_MAX || step->node < 0 || step->node >= step->nodes) {
        /* In a heterogeneous step the node's number is that of all components, and the rest is one component's. */
        snprintf(reason, size, "SLURM_NODEID and SLURM_STEP_NUM_NODES are no node of a step (%d of %d)", step->node,
                 step->nodes);
        return -1;
    }
    if (name_slurm_step(step, env, reason, size) != 0)
        return -1;
    return take_list(step, env, reason, size) == 0 || take_table_of_slurm(step, me, env) == 0 ? 0 : -1;
}

int mioc_step_find(struct mioc_step *step, const struct mioc_task *me, char *const *env, char *reason, size_t size)
{
    int saved = errno, rc = -1;

    memset(step, 0, sizeof *step);
    if (me->launcher == MIOC_LAUNCHER_SLURM)
        rc = find_slurm_step(step, me, env, reason, size);
    else if (me->launcher == MIOC_LAUNCHER_PALS)
        rc = find_pals_step(step, me, env, reason, size);
    else if (me->launcher == MIOC_LAUNCHER_OTHER || me->has_hosts)
        rc = find_hosts_step(step, me, env, reason, size);
    else
        snprintf(reason, size, "the launcher's variables do not say which node this is");
    errno = saved;
    return rc;
}

int mioc_step_host(const struct mioc_step *step, int node, char *name, size_t size)
{
    const char *entry;

    if (step->hosts == NULL || node < 0 || node >= step->nodes)
        return -1;
    if (!step->is_table)
        return mioc_hostlist_name(step->hosts, swap_first(step, node), name, size);
    entry = step->hosts + (size_t)node * MIOC_PALS_NAME_SIZE;
    if (strlen(entry) >= size)
        return -1;
    memcpy(name, entry, strlen(entry) + 1);
    return 0;
}
