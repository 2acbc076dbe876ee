/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.h - which ranks share a node, worked out from one number that each rank gives. */
#ifndef MIOC_TOPOLOGY_H
#define MIOC_TOPOLOGY_H

#include <stdint.h>

/* Equal in ranks that the same launcher's daemon started on the same machine, different otherwise. */
uint64_t mioc_topology_node_name(void);
/* From names[rank] fills node_of[rank] and leader[node], the node's lowest rank; nodes are numbered by that rank. Both
 * have room for `size`. The number of nodes, or -1 (ENOMEM). */
int mioc_topology_number(const uint64_t *names, int size, int *leader, int *node_of);

#endif
