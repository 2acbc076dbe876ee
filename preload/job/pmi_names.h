/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi_names.h - names at the launcher's name service (PMI-1): published by one task, found by any other, at any time.
 *
 * hydra and srun serve it. Before the program starts MPI only (pmi.h). One thread. All functions change errno. */
#ifndef MIOC_PMI_NAMES_H
#define MIOC_PMI_NAMES_H

#include <stddef.h>

/* One conversation. The caller fills in the first four; `reason` gets why a function returned -1. */
struct mioc_pmi_names {
    int fd, timeout_ms;
    char *reason;
    size_t size;
    int is_answer_due; /* out: the launcher did not answer in time, and is asked no more */
    char kvs[256];     /* out: the name of this job at the launcher */
    char suffix[320];  /* of all names: they are this library's, in this job */
};

/* Where a rank is. `index` numbers the nodes in the order of their lowest ranks; 0 is the root. */
struct mioc_pmi_place {
    int nodes, index, is_leader;
};

/* Begins: learns the job's name, and the place of `rank` of `size`. With needs_init it says PMI's "init" first, as
 * Slurm needs it. 0, or -1 and the reason. */
int mioc_pmi_names_begin(struct mioc_pmi_names *names, int needs_init, int size, int rank,
                         struct mioc_pmi_place *place);
/* 1: published; 0: the name is taken; -1 and the reason. The value has at most 299 bytes; '=', ';' and what is no
 * printable character become '?'. */
int mioc_pmi_publish(struct mioc_pmi_names *names, const char *name, const char *value);
/* 1: found; 0: nobody has published it; -1 and the reason. */
int mioc_pmi_lookup(struct mioc_pmi_names *names, const char *name, char *value, size_t size);

/* Reads PMI_process_mapping: "(vector,(first node,nodes,ranks on each),…)". The blocks count again from the first until
 * each of `size` ranks has a node. 0, or -1: the text is malformed, or there is no memory. */
int mioc_pmi_parse_mapping(const char *text, int size, int rank, struct mioc_pmi_place *place);

#endif
