/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.h - which ranks share a node, from one number that each rank gives. */
#ifndef MIOC_TOPOLOGY_H
#define MIOC_TOPOLOGY_H

#include <stdint.h>

/* A number that is equal in ranks which one launcher's daemon has started on one machine, and differs in others. */
uint64_t mioc_topology_node_name(void);
/* From names[rank] (mioc_topology_node_name()) fills node_of[rank] and leader[node], the node's lowest rank. Nodes are
 * numbered by their lowest rank. All three have room for `size`. The number of nodes, or -1 (ENOMEM). */
int mioc_topology_number(const uint64_t *names, int size, int *leader, int *node_of);

#endif
