/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi_relay.h - lets a program use the launcher's process manager (PMI-1) after this library has spoken with it.
 *
 * The relay is a thread between the program, behind PMI_FD, and the launcher. MPI.md says why it is needed.
 *
 * Only the main thread may call these functions, before main(), unless a comment says otherwise. */
#ifndef MIOC_PMI_RELAY_H
#define MIOC_PMI_RELAY_H

#include "store/ring.h"

/* Whether a program that is started with `env` from `path` (NULL: not known) will have a relay of its own: it preloads
 * this library, has PMI_FD and is not static. Any thread. Keeps errno. */
int mioc_pmi_relay_is_possible(const char *path, char *const *env);

/* Starts a relay behind PMI_FD, in the program that replaced a rank by exec. 0, or -1: PMI_FD is as it was. */
int mioc_pmi_relay_take(char *const *env);

/* The same in two steps. mioc_pmi_relay_prepare() does all that can fail: 0, or -1 and PMI_FD is as it was. Until
 * mioc_pmi_relay_open() nothing is relayed, and the library itself may speak with the launcher by the descriptor that
 * mioc_pmi_relay_up() returns; the relay owns the descriptor. is_answer_due: the library did not wait for its last
 * answer; the relay drops that answer. */
int mioc_pmi_relay_prepare(char *const *env);
int mioc_pmi_relay_up(void);
void mioc_pmi_relay_open(int is_answer_due);

/* For hydra, which answers a second "init": this library has spoken by `pmi_fd` itself, and no relay is needed. Only
 * mioc_pmi_relay_end() is due at the program's end, and before an exec. */
void mioc_pmi_relay_note_spoken(int pmi_fd);
/* The agent of this ring holds the same connection, and says "finalize" for a process whose program has closed its own.
 * Main thread, before main(). */
void mioc_pmi_relay_share(struct mioc_ring *ring);

/* Ends the relay; PMI_FD is the launcher's own connection again. Call it while neither side speaks. Does nothing where
 * there is no relay. Keeps errno. */
void mioc_pmi_relay_release(void);

/* Says "finalize" to hydra if the program did not start MPI; waits up to 1 s for the answer. Call it at the program's
 * end, and before exec of a program that cannot have a relay. Only the first call does something, and none in a forked
 * child. Any thread. Keeps errno. */
void mioc_pmi_relay_end(void);

/* Makes PMI_FD the launcher's own connection again, before exec of a program that will have a relay of its own. Does
 * nothing in a forked child. Any thread. Keeps errno. */
void mioc_pmi_relay_give(void);

/* Whether this process has a relay, and is no forked child of the process that has it. Any thread. */
int mioc_pmi_relay_is_owner(void);

#endif
