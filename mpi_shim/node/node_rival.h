/* SPDX-License-Identifier: BSD-3-Clause */
/* node_rival.h - one agent process a node: where ranks of a node do not share a store, none of them is served.
 *
 * Such ranks have a /dev/shm of their own, as in containers. Each would start an agent, and no agent would hear of the
 * writes of the other one's ranks. So each agent listens on an abstract socket, which no mount hides.
 * An agent that finds the name taken does not start, and the one that holds it stops to serve. Ranks with a network
 * namespace of their own, too, are not found.
 *
 * Main thread, then agent's thread. */
#ifndef MIOC_NODE_RIVAL_H
#define MIOC_NODE_RIVAL_H

#include <stddef.h>
#include <stdint.h>

/* Takes the name of this step's agent on this node. 0; or -1 and the reason: another agent has it. That one has stopped
 * to serve by now, or does not answer within a second. Without a socket it is 0, too. */
int mioc_rival_claim(uint64_t key, char *reason, size_t size);
/* The descriptor that is readable when another agent has come; -1: this agent has no name. */
int mioc_rival_fd(void);
/* Returns a connection of another agent, or -1: none has come. */
int mioc_rival_accept(void);
/* Tells it what it waits for, and closes the connection. has_left: this agent served nobody even before. */
void mioc_rival_answer(int connection, int has_left);
/* Gives the name up, for the next agent of this node. */
void mioc_rival_release(void);

#endif
