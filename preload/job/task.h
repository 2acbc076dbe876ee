/* SPDX-License-Identifier: BSD-3-Clause */
/* task.h - what a process is to its launcher and to us. launch/role.h fills it in; from then on it does not change. */
#ifndef MIOC_TASK_H
#define MIOC_TASK_H

#include <stdint.h>

enum mioc_role { MIOC_DORMANT, MIOC_GUEST, MIOC_RANK };
enum mioc_launcher { MIOC_LAUNCHER_NONE, MIOC_LAUNCHER_HYDRA, MIOC_LAUNCHER_SLURM, MIOC_LAUNCHER_OPENMPI };

struct mioc_task {
    enum mioc_role role;
    enum mioc_launcher launcher;
    int has_pmix;      /* its process manager speaks PMIx, not PMI: for Open MPI */
    int rank, size;    /* of the step; -1 unless the launcher told them */
    int local_rank;    /* on this node, -1 if unknown */
    uint64_t key;      /* names this job step on this node, the same in all its ranks and guests (store.h); 0: none */
    char reason[256];  /* of a dormant process, for people; "" where there is nothing to say (bash, gcc, …) */
    char plugin[1024]; /* rank: path of the plug-in */
    char store[1024];  /* guest: the node's store */
};

#define MIOC_TASKS_MAX 1024 /* of one node; more are not believed */
/* How many tasks this node has, 0 if the environment does not say. */
int mioc_task_count_on_node(const struct mioc_task *me, char *const *env);

#endif
