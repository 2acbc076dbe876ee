/* SPDX-License-Identifier: BSD-3-Clause */
/* plugin.h - loads an MPI plug-in, starts it inside the program's process, and knows which code and descriptors are
 * MPI's.
 *
 * From mioc_plugin_start() to mioc_plugin_settle() the low descriptors are occupied and signals blocked (guard.h). So
 * the descriptors of MPI and of the store are above MIOC_PLUGIN_FIRST_FD, and threads that start meanwhile take no
 * signal of the program's. Where /dev/shm has no room for MPI it is kept out of there: it would end the process, and a
 * program without MPI needs none.
 *
 * start, settle, note_descriptors and protect_fd: main thread, before main(). All others: any thread and
 * signal handlers, without a lock. */
#ifndef MIOC_PLUGIN_H
#define MIOC_PLUGIN_H

#include "transport/transport.h"

#define MIOC_PLUGIN_FIRST_FD 200

/* 0 with *ops, *instance and *world; or -1 with a reason. If *instance is set then, MPI got so far that depart() is due
 * at the end. The plug-in stays loaded for ever. */
int mioc_plugin_start(const char *path, const struct mioc_transport_ops **ops, struct mioc_transport **instance,
                      struct mioc_world *world, char *reason, size_t reason_size);
/* Whether MPI is starting and must not make this file in /dev/shm. The caller says ENOSPC, and MPI takes /tmp. */
int mioc_plugin_is_without_room(const char *path);
/* Frees the low descriptors and puts the signal mask back. Call it when all is started, or when that failed. Does
 * nothing without a start. */
void mioc_plugin_settle(void);
/* Looks again which descriptors MPI holds, after it has made connections. Before settle: later ones could be the
 * program's. */
void mioc_plugin_note_descriptors(void);
/* The program that follows by exec talks to the launcher from now on (pmi_relay.h): depart() does nothing any more. */
void mioc_plugin_hand_over(void);
/* exit() goes on: takes the destructors from the objects that came with MPI. They free memory, which would hang where a
 * signal's handler has interrupted malloc() and calls exit(). Not to be called where the program uses MPI, too. */
void mioc_plugin_skip_destructors(void);
/* Makes `fd` a protected descriptor, like MPI's: the store's lock. */
void mioc_plugin_protect_fd(int fd);
/* Whether this very process has protected a descriptor. */
int mioc_plugin_is_protector(void);
/* Whether `fd` is protected, and still the same file: costs an fstat. Keeps errno. */
int mioc_plugin_is_protected_fd(int fd);
/* Whether `fd` may be protected: the same without the fstat, for each close() of the program. */
#define MIOC_PLUGIN_MOST_FDS 65536
extern unsigned char mioc_plugin_protected_bits[MIOC_PLUGIN_MOST_FDS / 8]; /* atomic bytes; plugin.c writes them */
static inline int mioc_plugin_may_be_protected_fd(int fd)
{
    return (unsigned)fd < MIOC_PLUGIN_MOST_FDS &&
           (__atomic_load_n(&mioc_plugin_protected_bits[(unsigned)fd / 8], __ATOMIC_RELAXED) >> ((unsigned)fd % 8) & 1);
}
/* The first protected descriptor from `fd` on, or -1. For callers that close ranges around them. */
int mioc_plugin_next_protected_fd(int fd);
/* Whether `address`, a return address, is in code that came with MPI. */
int mioc_plugin_is_own_code(const void *address);
/* MPI itself closes `fd`: it is protected no more. */
void mioc_plugin_release_fd(int fd);

#endif
