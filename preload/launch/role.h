/* SPDX-License-Identifier: BSD-3-Clause */
/* role.h - what this process is: rank, guest or dormant, and why; decided before any MPI call.
 *
 * The verdict of a rank must be the same on all ranks of a job, or those that start MPI wait for those that do not. It
 * rests on what most often is the same everywhere: environment, launcher, interpreter, policy. As that can differ, and
 * ranks may never come, all agree before any of them starts MPI (rendezvous.h). */
#ifndef MIOC_ROLE_H
#define MIOC_ROLE_H

#include "base/config.h"
#include "job/task.h"
#include "policy/policy.h"
#include <stdint.h>

/* Decides; builds *policy where it may matter (ranks and guests). Costs a non-interpreter no more than a symbol lookup.
 */
void mioc_role_decide(struct mioc_task *me, const struct mioc_config *config, struct mioc_policy *policy, int argc,
                      char **argv, char **envp);
/* First of all, in every process: takes the marks that mioc_role_mark_exec and mioc_role_mark_launch left out of env,
 * which the program is to see as it would be without us, and note of them. */
void mioc_role_note_marks(char **env);
/* Whether this program replaced a rank of ours, which left the launcher's process manager to it (pmi_relay.h). */
int mioc_role_is_heir(void);
/* In srun and mpiexec, which are preloaded too: leaves a word for all tasks if it starts several programs. */
#define MIOC_ROLE_LAUNCH "MPIIO_CACHE_LAUNCH"
void mioc_role_mark_launch(int argc, char **argv);

/* The mark that survives exec: the environment for a program that replaces this one, with MPIIO_CACHE_CLAIMED=pid in
 * it. is_heir: MPI was started in this process, and not taken leave of. Returns envp itself where no mark is needed.
 * `space` holds `entries` pointers, at least those of envp and 2 more; `text` is for the mark (MIOC_ROLE_MARK_SIZE
 * bytes). */
#define MIOC_ROLE_MARK "MPIIO_CACHE_CLAIMED="
#define MIOC_ROLE_MARK_SIZE 40
/* Whether it would be another one than envp. */
int mioc_role_is_marked(void);
char *const *mioc_role_mark_exec(char *const *envp, char **space, size_t entries, char *text, int is_heir);

/* --- pieces, for tests ------------------------------------------------------------------------------------------- */
int mioc_role_is_interpreter(void);
/* role_launcher.c: fills launcher, rank, size, local_rank, key from the environment and /proc. 1: this process is the
 * launcher's own task; 0: it is not, or its launcher did not give it what MPI needs (`reason` says it). */
int mioc_role_find_launcher(struct mioc_task *me, char *const *env);
/* role_mpmd.c: 0, or -1 and the reason: the launcher above us was given several programs. */
int mioc_role_check_alone(const struct mioc_task *me, char *reason, size_t size);
/* role_mpmd.c, a look at /proc: 0, or -1 and the reason: a task of this node will certainly not become a rank any more.
 * waited_ms: for how long this process has waited for it. Main thread. */
int mioc_role_look_beside(const struct mioc_task *me, char *const *env, int64_t waited_ms, char *reason, size_t size);
/* role_mpi4py.c: 0, or -1 and the reason: mpi4py of this environment is linked with another MPI than the plug-in. */
struct mioc_role_python {
    const char *version; /* "3.11" */
    const char *exec_fn; /* as started: a venv's bin/python */
    const char *exe;     /* the same, links resolved */
    char *const *env;
};
int mioc_role_check_mpi4py(const struct mioc_role_python *python, const char *plugin, char *reason, size_t size);
/* role_load.c: 0, or -1 and the reason: dlopen() of the plug-in would fail here, as its MPI is missing, too old or
 * damaged, or takes longer. Nothing is loaded into this process. 0 too where it cannot be found out. Main thread,
 * before main(); keeps errno. */
int mioc_role_check_load(const char *plugin, char *const *env, int64_t timeout_ms, char *reason, size_t size);

#endif
