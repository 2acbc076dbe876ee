/* SPDX-License-Identifier: BSD-3-Clause */
/* launcher.h - the table of launchers: by which variables each is known, who says which rank is where, what proves to
 * others that a node is of the job. README.md has the same table; test_launcher.c compares them. */
#ifndef MIOC_LAUNCHER_H
#define MIOC_LAUNCHER_H

/* Each row: kind, the launcher for people, mark, rank, size, local rank, ranks of this node, nodes, three ids, two
 * lists of hosts; then, as in README.md, who says where the nodes are, and the secret.
 *
 * kind   OWN: launch/role_launcher.c has code for it. SURE: only this launcher sets its variables. OPEN: they may be
 *        set by anybody. TOLD: launchers that are OWN set them, too, so they count with a list of hosts only.
 * mark   a task has it, and the process that starts tasks has not the same
 * ids    name the job, the same in all its tasks
 * hosts  a file or a list; MPIIO_CACHE_HOSTS counts first
 *
 * Of the rows that are not OWN the first whose rank is set counts. So a launcher that others start on each node, like
 * torchrun, stands behind those. A * in README.md: never run on the real thing, but written from its documentation. */
/* clang-format off */
#define MIOC_LAUNCHERS(X) \
    X(OWN, "Slurm's `srun`, with any `--mpi`, or none", "SLURM_PROCID", "SLURM_PROCID", "", "", "", "", \
      "", "", "", "", "", "`SLURM_STEP_NODELIST`", "MUNGE or key file") \
    X(OWN, "`srun --mpi=cray_shasta`; PALS's `mpiexec`*; Flux with cray-pals*", "PALS_RANKID", "PALS_RANKID", \
      "", "", "", "", "", "", "", "", "", "the file `PALS_APINFO`", "`PMI_SHARED_SECRET`, MUNGE or key file") \
    X(OWN, "`mpiexec` (hydra) of MPICH, and of Intel MPI*", "PMI_RANK", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", \
      "MPI_LOCALNRANKS", "", "", "", "", "", "", \
      "its name service; each node's first rank waits for it, 2 s at most", "none is needed") \
    X(OWN, "Open MPI's `mpiexec`", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", \
      "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "", "PMIX_NAMESPACE", "", "", "", "", \
      "`MPIIO_CACHE_HOSTS`; without it MPI carries it (\"Over MPI\")", "MUNGE or key file") \
    X(OPEN, "`ssh` in a loop, and what else is told by hand", "MPIIO_CACHE_RANK", "MPIIO_CACHE_RANK", "", "", "", "", \
      "", "", "", "", "", "`MPIIO_CACHE_HOSTS`", "MUNGE or key file") \
    X(SURE, "Flux*", "FLUX_TASK_RANK", "FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID", "", \
      "FLUX_JOB_NNODES", "FLUX_JOB_ID", "", "", "", "", \
      "`MPIIO_CACHE_HOSTS`, as from `flux hostlist local`", "MUNGE or key file") \
    X(SURE, "LSF's `jsrun`*", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", \
      "JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_LOCAL_SIZE", "", "LSB_JOBID", "PMIX_NAMESPACE", "", \
      "LSB_DJOB_HOSTFILE", "LSB_MCPU_HOSTS", \
      "`MPIIO_CACHE_HOSTS`, `LSB_DJOB_HOSTFILE` or `LSB_MCPU_HOSTS`", "MUNGE or key file") \
    X(SURE, "`mpirun_rsh` of MVAPICH2*", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", \
      "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE", "", "", "", "", "", "", \
      "`MPIIO_CACHE_HOSTS`", "MUNGE or key file") \
    X(TOLD, "", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", \
      "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "", "PMIX_NAMESPACE", "", "", "", "", "", "") \
    X(TOLD, "", "PMIX_RANK", "PMIX_RANK", "", "", "", "", "PMIX_NAMESPACE", "", "", "", "", "", "") \
    X(TOLD, "", "PALS_RANKID", "PALS_RANKID", "", "PALS_LOCAL_RANKID", "", "", "PALS_APID", "", "", "", "", "", "") \
    X(TOLD, "", "PMI_RANK", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "", "", "", "", "", "", \
      "", "") \
    X(OPEN, "`torchrun`, started on each node by hand*", "RANK", "RANK", "WORLD_SIZE", "LOCAL_RANK", \
      "LOCAL_WORLD_SIZE", "", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "", "", \
      "`MPIIO_CACHE_HOSTS`", "MUNGE or key file") \
    X(SURE, "`pbsdsh` of PBS*", "PBS_TASKNUM", "PBS_VNODENUM", "", "", "", "", "PBS_JOBID", "", "", "PBS_NODEFILE", \
      "", "`MPIIO_CACHE_HOSTS` or `PBS_NODEFILE`", "MUNGE or key file")
/* clang-format on */

enum mioc_launcher_kind { MIOC_LAUNCHER_OWN, MIOC_LAUNCHER_SURE, MIOC_LAUNCHER_OPEN, MIOC_LAUNCHER_TOLD };

/* A row. Names of variables; "": the launcher has none. Arrays, as pointers would be relocated in every process. */
struct mioc_launcher_row {
    enum mioc_launcher_kind kind;
    char mark[24], rank[24], size[24], local_rank[28], on_node[28], nodes[20];
    char id[3][24];
    char hosts[2][20];
};

/* Returns the row, not an OWN one, by which a process with this environment may be a task, or NULL. */
const struct mioc_launcher_row *mioc_launcher_find(char *const *env);
/* Whether the environment has any launcher's rank. */
int mioc_launcher_is_any(char *const *env);

/* Where a list of hosts is. */
struct mioc_launcher_hosts {
    const char *list, *variable; /* NULL: there is none */
};
/* `all` is MPIIO_CACHE_HOSTS or "". `row` may be NULL. */
struct mioc_launcher_hosts mioc_launcher_hosts(const struct mioc_launcher_row *row, const char *all, char *const *env);
/* Returns how many ranks the job has, or -1; and how many of them this node has, or -1. */
int mioc_launcher_size(const struct mioc_launcher_row *row, char *const *env);
int mioc_launcher_on_node(const struct mioc_launcher_row *row, char *const *env);
/* Mixes the values of the row's ids into a hash. `row` may be NULL. */
unsigned long long mioc_launcher_hash(const struct mioc_launcher_row *row, char *const *env, unsigned long long hash);

#endif
