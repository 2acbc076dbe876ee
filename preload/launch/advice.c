/* SPDX-License-Identifier: BSD-3-Clause */
/* advice.c - a table from a part of a reason to what a person can do about it; the first row that fits counts. */
#include "advice.h"

#include <stddef.h>
#include <string.h>

/* Arrays, not pointers: the loader would relocate each pointer at the start of every process, of shells, too. Other
 * tables do the same. */
static const struct {
    char part[44], advice[108];
} table[] = {
    { "MPIIO_CACHE_DISABLE is set", "Unset it to use the cache" },
    { "the site's configuration", "Your site knows why" },
    { "nothing that this Python imports from", "MPIIO_CACHE_PATHS names prefixes to cache all the same" },
    { "the node's agent", "MPIIO_CACHE_TIMEOUT gives slow nodes more time; mpiio-cache check says what is missing" },
    { "could start the agent in time", "MPIIO_CACHE_TIMEOUT gives slow nodes more time" },
    /* the agents' connections */
    /* where the nodes are */
    { "this host (", "MPIIO_CACHE_HOSTS names all hosts as hostname prints them, or is an absolute path" },
    { "of such a job already",
      "Give each of the jobs that run at the same time a file of its own as MPIIO_CACHE_HOSTS" },
    { "this host cannot read", "All nodes must see that file; or set MPIIO_CACHE_HOSTS to the hosts' names" },
    { "nothing says where the nodes are", "Name the job's hosts by MPIIO_CACHE_HOSTS" },
    { "host too many", "65536 hosts are the most" },
    { "has an entry that", "A list is names with commas or blanks between, or n[1-4], or the absolute path of a file" },
    { "names no host", "A list is names with commas or blanks between, or n[1-4], or the absolute path of a file" },
    { "the key file", "It must be yours or root's, with mode 600; head -c 32 /dev/urandom makes one" },
    { "the launcher's secret", "Name a key file by MPIIO_CACHE_KEYFILE" },
    { "MUNGE", "munged must run on all nodes; or name a key file by MPIIO_CACHE_KEYFILE" },
    { "another key", "All nodes of a step need the same MPIIO_CACHE_KEYFILE" },
    { "libsodium", "Look for what forbids random numbers (a system call filter, no /dev/urandom)" },
    { "no such node", "Leave the launcher's variables as it sets them" },
    { "the step's name", "Leave the launcher's variables as it sets them" },
    { "no such range", "MPIIO_CACHE_PORTS is FIRST-LAST, from 1 to 65535" },
    { "no port to listen on", "Give MPIIO_CACHE_PORTS a larger range" },
    { "no descriptor for the network", "Raise the limit of open files (ulimit -n)" },
    { "network interface", "MPIIO_CACHE_INTERFACE names one that all nodes have; ip address lists them" },
    /* launchers */
    { "started neither by mpiexec nor by srun",
      "Start it by one of them, or set MPIIO_CACHE_HOSTS as libmpiio_cache.so(7) says" },
    { "one rank", "There is nobody to share with" },
    { "MPI_Comm_spawn", "Only ranks that the launcher starts are served" },
    { "by exec", "Let the launcher start it to have it served" },
    { "(MPMD)", "Start each program in a step of its own; over TCP (srun, MPICH's mpiexec) there is no need to" },
    { "no rank of this job step has a store",
      "Its ranks say why, with MPIIO_CACHE_LOG=info; a wrapper must exec Python" },
    { "but the launcher speaks", "Unset it, or start the job by that MPI's launcher" },
    { "mpiexec gave this task no", "Use the mpiexec of the MPI that the program is built for" },
    { "srun gave this task no", "Add that option, or leave MPIIO_CACHE_TRANSPORT at auto" },
    { "speaks neither", "Leave MPIIO_CACHE_TRANSPORT at auto" },
    { "srun's environment is incomplete", "Leave SLURM_* as srun sets it" },
    { "SLURM_", "Leave SLURM_* as srun sets it; a heterogeneous step is not served" },
    { "PALS_", "Leave PALS_* as the launcher sets it" },
    { "PMI speaks of", "Leave PMI_* and SLURM_* as srun sets them" },
    { "MPI speaks of", "Use the launcher of the MPI that the program is built for" },
    { "launcher", "Use srun or mpiexec, or set MPIIO_CACHE_HOSTS as libmpiio_cache.so(7) says" },
    { "another rank 0 has been here", "Start one Python a task" },
    /* plug-ins */
    { "and this MPI has no sessions", "Use MPICH 4, or load MPI by mpi4py only" },
    { "is linked with", "Use the plug-in, launcher and mpi4py of one MPI; mpiio-cache check says which are here" },
    { "plug-in", "mpiio-cache check says what is missing" },
    /* rendezvous */
    { "stays dormant", "Give all ranks the same environment; with MPIIO_CACHE_LOG=info that rank's node says more" },
    { "are no Python", "Start them in a step of their own" },
    { "(no Python?)", "Start Python in a step of its own" },
    { "ended before the ranks had agreed", "See why it ended" },
    { "different versions of", "Install one version on all nodes" },
    { "did not come within", "All tasks must be this Python; if some start slowly, raise MPIIO_CACHE_TIMEOUT" },
    { "not all ranks of", "All tasks must be this Python; if some start slowly, raise MPIIO_CACHE_TIMEOUT" },
    { "cannot meet the other ranks", "The ranks of a node must share its network namespace" },
    /* the agent */
    { "do not share MPIIO_CACHE_DIR", "Give all ranks of a node one /dev/shm, or name a directory that they share" },
    { "the agent program", "Install libexec/mpiio_cache/agent of the same version beside the library" },
    { "start the agent", "Raise the limits of processes, descriptors and memory (ulimit -u, -n, -v)" },
    { "Open MPI's mpiexec does not say", "Set MPIIO_CACHE_HOSTS; or leave MPIIO_CACHE_TRANSPORT at auto" },
    { "rights",
      "Start all ranks as the same user, with the same groups and capabilities; those of a node in one container" },
    { "above this one", "See why it is missing; MPIIO_CACHE_TIMEOUT gives slow nodes more time" },
    /* MPI and the node */
    { "cannot use MPIIO_CACHE_DIR", "Name a directory in memory, with room, that only you or root can replace" },
    { "cannot map", "Name an MPIIO_CACHE_DIR that all ranks of a node share, and leave it memory" },
    { "agent's threads", "Raise the limits of threads and memory (ulimit -u, ulimit -v)" },
    { "MPI_THREAD_MULTIPLE", "Use an MPI that is built with it" },
    { "out of memory", "Leave the nodes more memory" },
    { "MPI failed", "Look for what MPI said before this; a job without LD_PRELOAD tells whether it works here at all" },
    { " failed: ", "A job of plain MPI tells whether it works here at all" },
    { "MPI does not know this rank", "A job of plain MPI tells whether it works here at all" },
};

const char *mioc_advice(const char *reason)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strstr(reason, table[i].part) != NULL)
            return table[i].advice;
    return NULL;
}
