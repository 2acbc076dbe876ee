/* SPDX-License-Identifier: BSD-3-Clause */
/* task.h - what a process is to its launcher, and to the cache. launch/role.c fills this in once, before main(). */
#ifndef MIOC_TASK_H
#define MIOC_TASK_H

#include <stdint.h>

enum mioc_role { MIOC_DORMANT, MIOC_GUEST, MIOC_RANK };
/* How a rank's node reaches the others: by MPI in the rank's process, or by TCP from an agent process. */
enum mioc_transport_kind { MIOC_BY_MPI, MIOC_BY_TCP };
enum mioc_launcher {
    MIOC_LAUNCHER_NONE,
    MIOC_LAUNCHER_HYDRA,
    MIOC_LAUNCHER_SLURM,
    MIOC_LAUNCHER_OPENMPI,
    MIOC_LAUNCHER_PALS,
    MIOC_LAUNCHER_OTHER /* a row of the table in launcher.h */
};

struct mioc_task {
    enum mioc_role role;
    enum mioc_launcher launcher;
    enum mioc_transport_kind transport; /* of a rank */
    int has_pmi;        /* MPI could be started: the launcher gave this task a process manager, which is of this step */
    int has_pmix;       /* the process manager speaks PMIx, not PMI; that is Open MPI's */
    int has_hosts;      /* a list of hosts says where the nodes are, and not the launcher (launcher.h) */
    int rank, size;     /* in the step; -1: the launcher does not say */
    int local_rank;     /* on this node; -1: not known */
    int is_pmi_foreign; /* there is a PMI, but it speaks of another rank or size: */
    int pmi_rank, pmi_size;
    uint64_t key;      /* of the job step on this node (store.h), the same in all its ranks and guests; 0: none */
    char reason[256];  /* why it is dormant, for people; "" where nobody wants to know (bash, gcc, …) */
    char plugin[1024]; /* of a rank: the path of the plug-in */
    char store[1024];  /* of a guest: the node's store */
};

/* The most tasks that a node can have; the environment is not believed beyond that. */
#define MIOC_TASKS_MAX 1024
/* How many tasks this node has; 0: the environment does not say. Any thread. */
int mioc_task_count_on_node(const struct mioc_task *me, char *const *env);

#endif
