/* SPDX-License-Identifier: BSD-3-Clause */
/* step.h - who is where in a job step, from the launcher's variables and files.
 *
 * Nobody is asked who could make us wait: no name service, no other node, no process manager. Slurm's variables say it
 * for its tasks. PALS's file says it for tasks of PALS, and for Slurm's where the host list is unusable: Slurm writes
 * the same names into the file. For all others a list of hosts says it (MPIIO_CACHE_HOSTS, launcher.h), in which this
 * host finds itself. The first of the list is node 0; but where MASTER_ADDR names another one, as torchrun does, that
 * is, as rank 0 is there. */
#ifndef MIOC_STEP_H
#define MIOC_STEP_H

#include "task.h"
#include <stddef.h>

struct mioc_step {
    int node, nodes; /* of this process */
    char name[256];  /* the same in all tasks of the step; another step of this cluster or user has another */
    /* Private: a Slurm host list, or names of MIOC_PALS_NAME_SIZE bytes, in memory of its own. */
    char *hosts;
    size_t bytes;
    int is_table;
    int first; /* this host of the list is node 0, and the list's first host is this node */
};

/* Finds this process's step. `me` is a task (mioc_role_find_launcher()). Returns 0; or -1: it cannot be told, and
 * `reason` says why. Only a list of hosts needs malloc(), and may be a file to wait for. Keeps errno. */
int mioc_step_find(struct mioc_step *step, const struct mioc_task *me, char *const *env, char *reason, size_t size);
/* Writes the host name or address of a node into name[size]. Returns 0 or -1. Any thread; async-signal-safe. */
int mioc_step_host(const struct mioc_step *step, int node, char *name, size_t size);
/* Gives the memory back. *step may also be all zeros. */
void mioc_step_free(struct mioc_step *step);

#endif
