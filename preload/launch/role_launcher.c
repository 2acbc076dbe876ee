/* SPDX-License-Identifier: BSD-3-Clause */
/* role_launcher.c - which launcher started this process, as which task, and the key of its job step on this node. */
#include "role.h"
#include "base/hash.h"
#include "job/launcher.h"
#include "job/pals.h"
#include "job/pmi.h"
#include "base/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How far above a process its launcher's daemon is looked for; a guest further below is not served. */
#define MOST_ANCESTORS 32

static uint64_t hash_of(const char *text) { return mioc_hash(text, strlen(text)); }

/* Each mpiexec has one daemon on each node: hydra's proxy, or Open MPI's daemon, which may be mpiexec itself. So the
 * daemon's process names the step. */
static uint64_t daemon_key(pid_t daemon, uint64_t start)
{
    char boot[64], text[160];

    (void)mioc_proc_read("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    snprintf(text, sizeof text, "hydra %lu %s %ld %llu", (unsigned long)getuid(), boot, (long)daemon,
             (unsigned long long)start);
    return hash_of(text);
}

static uint64_t slurm_key(char *const *env)
{
    const char *cluster = mioc_proc_getenv(env, "SLURM_CLUSTER_NAME"), *job = mioc_proc_getenv(env, "SLURM_JOB_ID");
    const char *step = mioc_proc_getenv(env, "SLURM_STEP_ID"), *node = mioc_proc_getenv(env, "SLURM_NODEID");
    char text[512];

    if (job == NULL || step == NULL || node == NULL)
        return 0;
    snprintf(text, sizeof text, "slurm %lu %s %s %s %s", (unsigned long)getuid(), cluster != NULL ? cluster : "", job,
             step, node);
    return hash_of(text);
}

static int find_hydra_task(struct mioc_task *me, char *const *env)
{
    struct mioc_proc proxy;

    me->launcher = MIOC_LAUNCHER_HYDRA;
    me->rank = mioc_proc_getenv_number(env, "PMI_RANK");
    me->size = mioc_proc_getenv_number(env, "PMI_SIZE");
    me->local_rank = mioc_proc_getenv_number(env, "MPI_LOCALRANKID");
    if (mioc_proc_stat(getppid(), &proxy) == 0)
        me->key = daemon_key(getppid(), proxy.start);
    me->has_pmi = mioc_pmi_fd(env) >= 0;
    me->has_hosts = mioc_config()->hosts[0] != '\0';
    if ((me->has_pmi || me->has_hosts) && me->rank >= 0 && me->rank < me->size && me->key != 0)
        return 1;
    snprintf(me->reason, sizeof me->reason, "mpiexec gave this task no PMI_FD, PMI_RANK and PMI_SIZE");
    return 0;
}

/* orted, or orterun by one of its names; in Open MPI 5 prted and prterun. Not MVAPICH2's launcher. */
static int is_openmpi_daemon(const char *comm)
{
    static const char *const names[] = { "orted", "orterun", "mpirun", "mpiexec", "prted", "prterun" };

    if (strcmp(comm, "mpirun_rsh") == 0)
        return 0;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(comm, names[i], strlen(names[i])) == 0)
            return 1;
    return 0;
}

static int is_openmpi_task(char *const *env)
{
    struct mioc_proc daemon;

    return mioc_proc_getenv(env, "OMPI_COMM_WORLD_RANK") != NULL && mioc_proc_stat(getppid(), &daemon) == 0 &&
           is_openmpi_daemon(daemon.comm);
}

static int find_openmpi_task(struct mioc_task *me, char *const *env)
{
    struct mioc_proc daemon;

    me->launcher = MIOC_LAUNCHER_OPENMPI;
    me->has_pmi = me->has_pmix = 1;
    me->has_hosts = mioc_config()->hosts[0] != '\0';
    me->rank = mioc_proc_getenv_number(env, "OMPI_COMM_WORLD_RANK");
    me->size = mioc_proc_getenv_number(env, "OMPI_COMM_WORLD_SIZE");
    me->local_rank = mioc_proc_getenv_number(env, "OMPI_COMM_WORLD_LOCAL_RANK");
    if (mioc_proc_stat(getppid(), &daemon) == 0)
        me->key = daemon_key(getppid(), daemon.start);
    if (mioc_proc_getenv(env, "PMIX_RANK") != NULL && me->rank >= 0 && me->rank < me->size && me->key != 0)
        return 1;
    snprintf(me->reason, sizeof me->reason, "mpiexec gave this task no PMIX_RANK, OMPI_COMM_WORLD_RANK and _SIZE");
    return 0;
}

static int find_slurm_task(struct mioc_task *me, char *const *env)
{
    int tasks = mioc_proc_getenv_number(env, "SLURM_STEP_NUM_TASKS");

    me->launcher = MIOC_LAUNCHER_SLURM;
    me->rank = mioc_proc_getenv_number(env, "SLURM_PROCID");
    me->size = tasks >= 0 ? tasks : mioc_proc_getenv_number(env, "SLURM_NTASKS");
    me->local_rank = mioc_proc_getenv_number(env, "SLURM_LOCALID");
    me->key = slurm_key(env);
    if (me->key == 0 || me->rank < 0 || me->size < 1) {
        snprintf(me->reason, sizeof me->reason, "srun's environment is incomplete");
        return 0;
    }
    me->has_pmix = mioc_pmi_fd(env) < 0 && mioc_proc_getenv_number(env, "PMIX_RANK") == me->rank;
    me->pmi_rank = mioc_proc_getenv_number(env, "PMI_RANK");
    me->pmi_size = mioc_proc_getenv_number(env, "PMI_SIZE");
    me->is_pmi_foreign = mioc_pmi_fd(env) >= 0 && (me->pmi_rank != me->rank || me->pmi_size != me->size);
    me->has_pmi = me->has_pmix || (mioc_pmi_fd(env) >= 0 && !me->is_pmi_foreign);
    return 1;
}

int mioc_role_can_start_mpi(const struct mioc_task *me, char *reason, size_t size)
{
    if (me->has_pmi)
        return 1;
    if (me->is_pmi_foreign)
        snprintf(reason, size, "PMI speaks of rank %d of %d, Slurm of %d of %d", me->pmi_rank, me->pmi_size, me->rank,
                 me->size);
    else if (me->launcher == MIOC_LAUNCHER_PALS)
        snprintf(reason, size, "this launcher (PALS) speaks neither MPICH's PMI nor PMIx");
    else if (me->launcher == MIOC_LAUNCHER_OTHER || me->launcher == MIOC_LAUNCHER_HYDRA)
        snprintf(reason, size, "this launcher speaks neither MPICH's PMI nor PMIx with us");
    else
        snprintf(reason, size, "srun gave this task no PMI_FD (MPICH needs --mpi=pmi2, Open MPI --mpi=pmix)");
    return 0;
}

/* --- PALS -------------------------------------------------------------------------------------------------------- */

/* Whether PALS's variables are there and of no step of Slurm: srun --mpi=cray_shasta sets them, too, and its tasks are
 * Slurm's. */
static int has_pals(char *const *env)
{
    const char *apid = mioc_proc_getenv(env, "PALS_APID"), *job = mioc_proc_getenv(env, "SLURM_JOB_ID"),
               *step = mioc_proc_getenv(env, "SLURM_STEP_ID");
    size_t job_len = job != NULL ? strlen(job) : 0;

    if (apid == NULL || mioc_proc_getenv(env, "PALS_RANKID") == NULL || mioc_proc_getenv(env, "PALS_APINFO") == NULL)
        return 0;
    return job == NULL || step == NULL || strncmp(apid, job, job_len) != 0 || apid[job_len] != '.' ||
           strcmp(apid + job_len + 1, step) != 0;
}

/* Whether a process, which is above this one, is a task of PALS or below one: it has the same of PALS's variables. */
static int is_below_pals(pid_t pid, char *const *env)
{
    return mioc_proc_was_given(pid, "PALS_RANKID", mioc_proc_getenv(env, "PALS_RANKID")) &&
           mioc_proc_was_given(pid, "PALS_APINFO", mioc_proc_getenv(env, "PALS_APINFO"));
}

static uint64_t pals_key(char *const *env)
{
    int node = mioc_proc_getenv_number(env, "PALS_NODEID");
    char text[512];

    if (node < 0)
        return 0;
    snprintf(text, sizeof text, "pals %lu %s %d", (unsigned long)getuid(), mioc_proc_getenv(env, "PALS_APID"), node);
    return hash_of(text);
}

static int find_pals_task(struct mioc_task *me, char *const *env)
{
    struct mioc_pals_place place;

    me->rank = mioc_proc_getenv_number(env, "PALS_RANKID");
    if (me->rank < 0 || me->key == 0) {
        snprintf(me->reason, sizeof me->reason, "PALS_RANKID and PALS_NODEID name no rank");
        return 0;
    }
    if (mioc_pals_place(mioc_proc_getenv(env, "PALS_APINFO"), me->rank, &place, me->reason, sizeof me->reason) != 0)
        return 0;
    if (place.node != mioc_proc_getenv_number(env, "PALS_NODEID")) {
        snprintf(me->reason, sizeof me->reason, "PALS_APINFO says that rank %d is on node %d, but PALS_NODEID %d",
                 me->rank, place.node, mioc_proc_getenv_number(env, "PALS_NODEID"));
        return 0;
    }
    me->size = place.size;
    me->local_rank = place.local_rank;
    return 1;
}

/* --- Others, by the table ---------------------------------------------------------------------------------------- */

/* The step on this host. Hosts may share a /dev/shm in tests only, but their names are at hand. */
static uint64_t other_key(const struct mioc_launcher_row *row, const struct mioc_launcher_hosts *hosts,
                          char *const *env)
{
    char host[256] = "", text[512];

    (void)gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, "other %lu %s %s %016llx", (unsigned long)getuid(), row->mark, host,
             (unsigned long long)(hosts->list != NULL ? hash_of(hosts->list) : 0));
    return mioc_launcher_hash(row, env, hash_of(text));
}

/* Fills in launcher, size and key of a task with this environment. Returns its row; or NULL: nothing says where the
 * nodes are. `all` is its MPIIO_CACHE_HOSTS. */
static const struct mioc_launcher_row *describe_other(struct mioc_task *me, const char *all, char *const *env)
{
    const struct mioc_launcher_row *row = mioc_launcher_find(env);
    struct mioc_launcher_hosts hosts = mioc_launcher_hosts(row, all, env);

    if (row == NULL)
        return NULL;
    me->size = mioc_launcher_size(row, env);
    if (hosts.list == NULL &&
        (row->kind == MIOC_LAUNCHER_TOLD || me->size < 0 || mioc_launcher_on_node(row, env) != me->size))
        return NULL;
    me->has_hosts = hosts.list != NULL;
    me->launcher = MIOC_LAUNCHER_OTHER;
    me->key = other_key(row, &hosts, env);
    return row;
}

/* Returns the process of the task that this one is below: the uppermost that was started with the mark, whatever its
 * value. 0: this process is the task. */
static pid_t find_other_above(const struct mioc_launcher_row *row)
{
    struct mioc_proc process;
    pid_t pid = getppid(), task = 0;

    for (int i = 0; i < MOST_ANCESTORS && pid > 0 && mioc_proc_was_given(pid, row->mark, NULL); i++) {
        task = pid;
        if (mioc_proc_stat(pid, &process) != 0)
            break;
        pid = process.parent;
    }
    return task;
}

/* For a process below a task: a program may give those that it starts another rank, port or list, but they are served
 * beside the task all the same. */
static void find_other_guest(struct mioc_task *me, pid_t task, char *const *env)
{
    const char *own = mioc_proc_getenv(env, "MPIIO_CACHE_HOSTS"), *all;
    size_t bytes;
    char **above = mioc_proc_read_env(task, &bytes);

    if (above == NULL)
        return;
    all = mioc_proc_getenv(above, "MPIIO_CACHE_HOSTS");
    if (all == NULL)
        all = own == NULL ? mioc_config()->hosts : ""; /* the site's */
    (void)describe_other(me, all, above);
    me->size = -1;
    me->has_hosts = 0;
    mioc_proc_free_env(above, bytes);
}

/* Whether this process is a task of a launcher without code of its own. */
static int find_other_task(struct mioc_task *me, char *const *env)
{
    const struct mioc_launcher_row *row = mioc_launcher_find(env);
    pid_t task = row != NULL ? find_other_above(row) : 0;

    if (row != NULL && task != 0)
        find_other_guest(me, task, env);
    /* In a PID namespace the daemon above a task of hydra, say, is not seen; its other tasks have another store. */
    if (row == NULL || task != 0 || (row->kind == MIOC_LAUNCHER_TOLD && getppid() == 0))
        return 0;
    me->rank = mioc_proc_getenv_number(env, row->rank);
    me->local_rank = row->local_rank[0] != '\0' ? mioc_proc_getenv_number(env, row->local_rank) : -1;
    if (describe_other(me, mioc_config()->hosts, env) != NULL)
        return 1;
    if (row->kind == MIOC_LAUNCHER_SURE)
        snprintf(me->reason, sizeof me->reason, "%s is set, but nothing says where the nodes are", row->rank);
    else
        me->rank = me->size = me->local_rank = -1;
    return 0;
}

/* --- Any launcher ------------------------------------------------------------------------------------------------ */

/* For a process that is no task of the others, but may be below one, or PALS's: looks for the launcher's daemon above
 * it. The daemon tells the launcher better than the environment, in which two launchers may have left their variables.
 * PALS's daemon may have any name, but not its tasks' variables. Whether this process is PALS's task. */
static int find_ancestor(struct mioc_task *me, char *const *env)
{
    int is_pals = has_pals(env), is_task = 0;
    struct mioc_proc process;
    pid_t pid = getppid();

    for (int i = 0; i < MOST_ANCESTORS && pid > 1 && mioc_proc_stat(pid, &process) == 0; i++) {
        if (strcmp(process.comm, "hydra_pmi_proxy") == 0) {
            me->launcher = MIOC_LAUNCHER_HYDRA;
            me->key = daemon_key(pid, process.start);
            return 0;
        }
        if (is_openmpi_daemon(process.comm)) {
            me->launcher = MIOC_LAUNCHER_OPENMPI;
            me->key = daemon_key(pid, process.start);
            return 0;
        }
        if (strcmp(process.comm, "slurmstepd") == 0) {
            is_pals = 0;
            break;
        }
        if (is_pals && !is_below_pals(pid, env)) {
            is_task = i == 0;
            break;
        }
        pid = process.parent;
    }
    me->key = is_pals ? pals_key(env) : slurm_key(env);
    if (is_task || me->key != 0)
        me->launcher = is_pals ? MIOC_LAUNCHER_PALS : MIOC_LAUNCHER_SLURM;
    return is_task;
}

int mioc_role_find_launcher(struct mioc_task *me, char *const *env)
{
    me->launcher = MIOC_LAUNCHER_NONE;
    me->rank = me->size = me->local_rank = -1;
    me->pmi_rank = me->pmi_size = -1;
    me->has_hosts = 0;
    me->key = 0;
    /* Without a launcher's variable nothing of /proc is read. */
    if (!mioc_launcher_is_any(env))
        return 0;
    if (mioc_proc_getenv(env, "PMI_RANK") != NULL && mioc_pmi_is_hydra_task())
        return find_hydra_task(me, env);
    if (is_openmpi_task(env))
        return find_openmpi_task(me, env);
    if (mioc_proc_getenv_number(env, "SLURM_TASK_PID") == (int)getpid())
        return find_slurm_task(me, env);
    if (find_ancestor(me, env))
        return find_pals_task(me, env);
    return me->launcher == MIOC_LAUNCHER_NONE ? find_other_task(me, env) : 0;
}
