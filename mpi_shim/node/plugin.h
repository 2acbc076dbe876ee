/* SPDX-License-Identifier: BSD-3-Clause */
/* plugin.h - loads an MPI plug-in and starts it inside somebody else's process without a trace that the program could
 * trip over.
 *
 * From mioc_plugin_start() to mioc_plugin_settle() the low descriptor numbers are occupied, so that MPI's descriptors
 * (and the store's) land above MIOC_PLUGIN_FIRST_FD and the program still gets its lowest free one first; and all
 * signals are blocked, so that threads made in between inherit that. UCX_ERROR_SIGNALS is empty while MPI starts. Where
 * /dev/shm has no room for it MPI is kept out of there: it would end the process (Bus error, Abort), and a program
 * without MPI needs none. Afterwards signal actions, signal mask and environment are as before, and the descriptors
 * that appeared are known. */
#ifndef MIOC_PLUGIN_H
#define MIOC_PLUGIN_H

#include "transport/transport.h"

#define MIOC_PLUGIN_FIRST_FD 200

/* Main thread, before main(). 0 with *ops, *instance, *world, or -1 with a reason; *ops and *instance may be set then
 * too: MPI got as far as needing depart(). The plug-in stays loaded for ever. */
int mioc_plugin_start(const char *path, const struct mioc_transport_ops **ops, struct mioc_transport **instance,
                      struct mioc_world *world, char *reason, size_t reason_size);
/* Whether MPI is starting here and must not make this file: it is told that there is no room, and takes /tmp. */
int mioc_plugin_is_without_room(const char *path);
/* Frees the low descriptors and the signal mask. Once all is started, whatever came of it; does nothing without a
 * start. */
void mioc_plugin_settle(void);
/* Takes another look at which descriptors MPI holds (after connections were made). Main thread, before settle: later
 * ones could be the program's. */
void mioc_plugin_note_descriptors(void);
/* The program that follows by exec takes over the launcher's process manager (pmi_relay.h): depart() does nothing any
 * more. */
void mioc_plugin_hand_over(void);
/* exit() goes on: what came with MPI has no destructors any more. A program that has none of it would not run them, and
 * they free memory, which never returns where exit() was called by a signal's handler that interrupted malloc(). Not
 * where the program uses MPI, too. */
void mioc_plugin_skip_destructors(void);
/* Adds one descriptor of our own (the store's lock). */
void mioc_plugin_protect_fd(int fd);
/* Whether it is one of those, and still the same file: an fstat. Keeps errno. */
int mioc_plugin_is_protected_fd(int fd);
/* The same without the fstat: whether it could be one. For each close() of the program. */
#define MIOC_PLUGIN_MOST_FDS 65536
extern unsigned char mioc_plugin_protected_bits[MIOC_PLUGIN_MOST_FDS / 8]; /* atomic bytes; plugin.c writes them */
static inline int mioc_plugin_may_be_protected_fd(int fd)
{
    return (unsigned)fd < MIOC_PLUGIN_MOST_FDS &&
           (__atomic_load_n(&mioc_plugin_protected_bits[(unsigned)fd / 8], __ATOMIC_RELAXED) >> ((unsigned)fd % 8) & 1);
}
/* The next protected number from `fd` on, or -1: to close around them. */
int mioc_plugin_next_protected_fd(int fd);
/* MPI's own code (return address) closes a descriptor: it is nobody's from now on. */
int mioc_plugin_is_own_code(const void *address);
void mioc_plugin_release_fd(int fd);

#endif
