/* SPDX-License-Identifier: BSD-3-Clause */
/* store_turn.h - processes of a node take turns to start its agent, and sleep until its store is there.
 *
 *     mioc_store_turn_begin(); repeat: mioc_store_turn_note(), look for the store, mioc_store_turn_take(),
 *     and if somebody else has the turn mioc_store_turn_wait(); mioc_store_turn_end().
 *
 * The turn is a lock on a file beside the stores, whose name ends with MIOC_STORE_TURN. A process that dies in its turn
 * loses it. One thread; before main(). All functions change errno. */
#ifndef MIOC_STORE_TURN_H
#define MIOC_STORE_TURN_H

#include <limits.h>
#include <stdint.h>

struct mioc_store_turn {
    char path[PATH_MAX]; /* of the file that is locked */
    int fd;              /* -1: it is not open */
    int is_taken;        /* this process has the turn */
    uint32_t *news;      /* (atomic, futex) in the file: counts what has happened; NULL: not mapped */
    int has_noted;
    uint32_t noted;
    uint64_t pause; /* the next nap, where there is no futex */
};

/* The turn of this key's step in the directory `dir`. 0, or -1 with errno. */
int mioc_store_turn_begin(struct mioc_store_turn *turn, const char *dir, uint64_t key);
/* What happens from here on ends the next wait. */
void mioc_store_turn_note(struct mioc_store_turn *turn);
/* Takes the turn. 0; or -1 with errno (EAGAIN: somebody else has it). */
int mioc_store_turn_take(struct mioc_store_turn *turn);
/* Sleeps until something has happened; for some ms at most, as a process that dies in its turn tells nobody. */
void mioc_store_turn_wait(struct mioc_store_turn *turn);
/* For the agent: wakes all that wait. Any thread. */
void mioc_store_turn_tell(const char *dir, uint64_t key);
/* Gives the turn up, if this process has it, and wakes all that wait. Leaves no descriptor. */
void mioc_store_turn_end(struct mioc_store_turn *turn);

#endif
