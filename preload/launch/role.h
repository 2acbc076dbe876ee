/* SPDX-License-Identifier: BSD-3-Clause */
/* role.h - decides what this process is: a rank, a guest or dormant, and why.
 *
 * The decision comes before main() and before any call into MPI. README.md has the roles.
 *
 * Only the main thread may call these functions, before main(), unless a comment says otherwise. */
#ifndef MIOC_ROLE_H
#define MIOC_ROLE_H

#include "base/config.h"
#include "job/task.h"
#include "policy/policy.h"
#include <stdint.h>

/* Fills *me. Builds *policy for ranks and guests; that of other processes may stay empty. A rank has agreed with all
 * other ranks (rendezvous.h) when this returns. Costs next to nothing in a program
 * that is no interpreter. Keeps errno. */
void mioc_role_decide(struct mioc_task *me, const struct mioc_config *config, struct mioc_policy *policy, int argc,
                      char **argv, char **envp);
/* Whether this program is a Python interpreter. Any thread. */
int mioc_role_is_interpreter(void);

/* --- Marks in the environment ------------------------------------------------------------------------------------ */

/* Reads the marks below and removes them from env, in place: the program sees its environment as it would be without
 * this library. Every process calls this before all else. */
void mioc_role_note_marks(char **env);

/* The launcher's mark: its value is "several" if the launcher starts several programs. */
#define MIOC_ROLE_LAUNCH "MPIIO_CACHE_LAUNCH"
/* Leaves or removes that mark in this process's environment if it is srun or mpiexec, which are preloaded, too. */
void mioc_role_mark_launch(int argc, char **argv);

/* The mark that survives exec: MPIIO_CACHE_CLAIMED=PID, with ":pmi" behind it for an heir. The process PID has had its
 * turn as a task, so the program that replaces it must not become a rank. */
#define MIOC_ROLE_MARK "MPIIO_CACHE_CLAIMED="
#define MIOC_ROLE_MARK_SIZE 40
/* Whether this process must leave the mark at exec. Async-signal-safe. */
int mioc_role_is_marked(void);
/* Returns the environment for a program that replaces this one: envp itself where no mark is needed, else `space`,
 * filled with envp's pointers and `text`, the mark. The caller owns both. `space` has room for `entries` pointers; with
 * less than those of envp and 2 more, envp is returned. `text` has MIOC_ROLE_MARK_SIZE bytes. is_heir: the new program
 * must take over the launcher's process manager (pmi_relay.h). Any thread, a child of vfork, too. */
char *const *mioc_role_mark_exec(char *const *envp, char **space, size_t entries, char *text, int is_heir);
/* Whether this program replaced a rank by exec and must take over the launcher's process manager. */
int mioc_role_is_heir(void);

/* --- Parts of the decision: for role.c, rendezvous.c, writer_join.c, and for tests ------------------------------- */

/* role_launcher.c: fills what the launcher says, from launcher to key, from the environment, /proc and PALS's file. 1:
 * this process is a task of the launcher. 0: it is none, or the launcher's word is incomplete (`reason` says what is
 * missing). Async-signal-safe where /proc can be opened. */
int mioc_role_find_launcher(struct mioc_task *me, char *const *env);
/* role_launcher.c: whether MPI could be started in a task of the launcher; if not, `reason` says why. */
int mioc_role_can_start_mpi(const struct mioc_task *me, char *reason, size_t size);
/* role_mpmd.c: 0, or -1 and the reason: an mpiexec above this process was given several programs. */
int mioc_role_check_alone(const struct mioc_task *me, char *reason, size_t size);
/* role_mpmd.c: looks once at this node's other tasks in /proc. 0, or -1 and the reason: one of them will certainly not
 * become a rank. waited_ms: how long this process has waited for them. */
int mioc_role_look_beside(const struct mioc_task *me, char *const *env, int64_t waited_ms, char *reason, size_t size);

struct mioc_role_python {
    const char *version; /* "3.11" */
    const char *exec_fn; /* as started: a venv's bin/python */
    const char *exe;     /* the same, links resolved */
    char *const *env;
};
/* role_mpi4py.c: 0, or -1 and the reason: the program, or the mpi4py that it would import, is linked with another MPI
 * than `plugin`; or `plugin` is none. Keeps errno. */
int mioc_role_check_mpi4py(const struct mioc_role_python *python, const char *plugin, char *reason, size_t size);
/* role_load.c: 0, or -1 and the reason: dlopen() of the plug-in would fail here, because its MPI is missing, too old or
 * damaged, or the loader takes longer than timeout_ms. Also 0 where this cannot be found out. Loads nothing into this
 * process. Keeps errno. */
int mioc_role_check_load(const char *plugin, char *const *env, int64_t timeout_ms, char *reason, size_t size);

#endif
