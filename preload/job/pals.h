/* SPDX-License-Identifier: BSD-3-Clause */
/* pals.h - which rank is on which node, and the nodes' names, from the application file of HPE's PALS.
 *
 * PALS_APINFO names it in tasks of PALS's mpiexec, of srun --mpi=cray_shasta and of Flux with cray-pals. It has a
 * header, then tables of entries: profiles, commands, ranks, nodes, NICs. The header says each table's entry size,
 * offset and number; later versions have more tables and longer entries.
 *
 * The file may hold any bytes: it counts only if it is this user's (the effective one) or root's and nobody else may
 * write it, and every number is checked against its size. By raw system calls, without allocation; any thread;
 * async-signal-safe; keeps errno. */
#ifndef MIOC_PALS_H
#define MIOC_PALS_H

#include <stddef.h>

/* The size of a node's name in the file, its NUL included. */
#define MIOC_PALS_NAME_SIZE 64u
/* The most ranks that a file may have. */
#define MIOC_PALS_RANKS_MAX (1 << 24)

/* What the file says of one rank. */
struct mioc_pals_place {
    int size, nodes;      /* of the step: ranks, nodes */
    int node, local_rank; /* of the rank: which node, and which of the node's ranks */
};

/* Fills *place for a rank. Returns 0; or -1, and `reason` says why. */
int mioc_pals_place(const char *path, int rank, struct mioc_pals_place *place, char *reason, size_t size);
/* Returns how many ranks a node has, or -1. */
int mioc_pals_count_on_node(const char *path, int node);
/* Writes the names of all nodes into names[nodes][MIOC_PALS_NAME_SIZE]; `nodes` is the number that mioc_pals_place()
 * gave. Returns 0; or -1, and `reason` says why. */
int mioc_pals_names(const char *path, int nodes, char *names, char *reason, size_t size);

#endif
