/* SPDX-License-Identifier: BSD-3-Clause */
/* role_mpmd.c - early signs that a job has tasks that are no Python, so that nobody waits for them (rendezvous.h).
 *
 * What is not seen here costs a job its deadline, once, no more. What tells:
 *   the launcher itself   preloaded like all else, it leaves a word in the environment of all its tasks on all
 *                         nodes. Not with `srun env LD_PRELOAD=…`, nor with --export lists that leave it out
 *   mpiexec's arguments   of an ancestor: on the node that mpiexec runs on
 *   the tasks beside us   a program that is no interpreter and no wrapper of one, or has ended already; this
 *                         node's only */
#include "role.h"
#include "base/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_ANCESTORS 16
#define SLURM_WAIT_MS 300
#define HYDRA_WAIT_MS 600

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* --- Launchers --------------------------------------------------------------------------------------------------- */

static int is_mpiexec(const char *name) { return strncmp(name, "mpiexec", 7) == 0 || strncmp(name, "mpirun", 6) == 0; }

/* Whether these arguments of a launcher name several programs. Arguments of the program that look like it cost the
 * cache, no more. */
static int names_several(const char *argument)
{
    static const char *const signs[] = { ":", "-configfile", "--configfile", "--multi-prog" };

    for (unsigned i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strcmp(argument, signs[i]) == 0)
            return 1;
    return 0;
}

void mioc_role_mark_launch(int argc, char **argv)
{
    int is_several = 0;

    if (argc < 1 || (strcmp(base_name(argv[0]), "srun") != 0 && !is_mpiexec(base_name(argv[0]))))
        return;
    for (int i = 1; i < argc; i++)
        is_several |= names_several(argv[i]);
    if (is_several)
        (void)setenv(MIOC_ROLE_LAUNCH, "several", 1);
    else
        (void)unsetenv(MIOC_ROLE_LAUNCH); /* an outer launcher's word is not about this one */
}

/* 1: the mpiexec above us names several programs; 0: one; -1: there is none that we could read. */
static int judge_mpiexec(void)
{
    struct mioc_proc process;
    pid_t pid = getppid();
    char text[32768];

    for (int i = 0; i < MOST_ANCESTORS && pid > 1 && mioc_proc_stat(pid, &process) == 0; i++, pid = process.parent) {
        long size = is_mpiexec(process.comm) ? mioc_proc_cmdline(pid, text, sizeof text) : 0;

        for (long at = 0; at < size; at += (long)strlen(text + at) + 1)
            if (names_several(text + at))
                return 1;
        if (size > 0)
            return 0;
    }
    return -1;
}

/* --- The tasks beside us ----------------------------------------------------------------------------------------- */

enum task { TASK_ALIKE, TASK_STARTING, TASK_OTHER };

/* Programs that start another one with exec, as most wrappers do: what comes of them is not known yet. */
static int is_wrapper(const char *name)
{
    static const char names[][16] = {
        "bash",    "sh",       "dash",         "zsh",         "ksh",       "mksh",      "csh",          "tcsh",
        "fish",    "busybox",  "env",          "time",        "timeout",   "nice",      "ionice",       "nohup",
        "setsid",  "numactl",  "taskset",      "setarch",     "stdbuf",    "strace",    "ltrace",       "gdb",
        "perf",    "valgrind", "valgrind.bin", "singularity", "apptainer", "starter",   "starter-suid", "unshare",
        "nsenter", "chroot",   "sudo",         "perl",        "conda",     "micromamba"
    };

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static int is_python_name(const char *name)
{
    return strncmp(name, "python", 6) == 0 || strncmp(name, "pypy", 4) == 0 || strncmp(name, "ipython", 7) == 0;
}

/* A wrapper that we do not know names what it is going to run. */
static int names_python(pid_t pid)
{
    char text[4096];
    long size = mioc_proc_cmdline(pid, text, sizeof text);

    for (long at = 0; at < size; at += (long)strlen(text + at) + 1)
        if (is_python_name(base_name(text + at)))
            return 1;
    return 0;
}

/* The launcher's daemon may have children that are no tasks; those have none of a task's marks. */
static int is_task(pid_t pid)
{
    static char text[131072];
    char path[64], own[64];
    long size;

    snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
    snprintf(own, sizeof own, "SLURM_TASK_PID=%ld", (long)pid);
    size = mioc_proc_read(path, text, sizeof text);
    for (long at = 0; at < size; at += (long)strlen(text + at) + 1)
        if (strcmp(text + at, own) == 0 || strncmp(text + at, "PMI_RANK=", 9) == 0)
            return 1;
    return 0;
}

static enum task judge_task(pid_t pid, const char *own_exe, const char *launcher_exe)
{
    char exe[1024];
    const char *name;

    if (mioc_proc_exe(pid, exe, sizeof exe) != 0)
        return TASK_STARTING; /* ended, or not ours to see: it does not count as one that is with us */
    if (strcmp(exe, own_exe) == 0)
        return TASK_ALIKE;
    name = base_name(exe);
    if (strcmp(exe, launcher_exe) == 0 || strcmp(name, "hydra_pmi_proxy") == 0 || strcmp(name, "slurmstepd") == 0)
        return TASK_STARTING;
    if (is_python_name(name) || is_wrapper(name) || names_python(pid))
        return TASK_ALIKE;
    return is_task(pid) ? TASK_OTHER : TASK_STARTING;
}

/* Whether the launcher is known to have been given one program only: one that is no wrapper we know will exec Python
 * yet. */
static int is_one_program(const struct mioc_task *me)
{
    static int verdict = -2;

    if (verdict == -2)
        verdict = me->launcher == MIOC_LAUNCHER_HYDRA ? judge_mpiexec() : -1;
    return verdict == 0;
}

/* One look. The number of tasks that are, or may become, what we are; -1: one is not, by that name. */
static int count_alike(const pid_t *children, int n, const char *own_exe, char *other, size_t size, int *starting)
{
    char launcher_exe[1024];
    int alike = 0;

    *starting = 0;
    (void)mioc_proc_exe(getppid(), launcher_exe, sizeof launcher_exe);
    for (int i = 0; i < n; i++) {
        enum task what = children[i] == getpid() ? TASK_ALIKE : judge_task(children[i], own_exe, launcher_exe);

        if (what == TASK_OTHER) {
            (void)mioc_proc_exe(children[i], other, size);
            return -1;
        }
        alike += what == TASK_ALIKE;
        *starting += what == TASK_STARTING;
    }
    return alike;
}

/* Zombies: hydra buries some tasks at once and some at the end. */
static int count_zombies(const pid_t *children, int n)
{
    int zombies = 0;

    for (int i = 0; i < n; i++) {
        struct mioc_proc process;

        zombies += mioc_proc_stat(children[i], &process) == 0 && process.state == 'Z';
    }
    return zombies;
}

/* Whether tasks that are not there now have been. srun forks all tasks before any runs. hydra forks and runs one after
 * the other, and is through if there is none more for a while. */
static int has_started_all(const struct mioc_task *me, int tasks, int64_t waited_ms)
{
    static int most;
    static int64_t since;

    if (me->launcher == MIOC_LAUNCHER_SLURM)
        return waited_ms >= SLURM_WAIT_MS;
    if (tasks > most) {
        most = tasks;
        since = waited_ms;
    }
    return waited_ms - since >= HYDRA_WAIT_MS;
}

int mioc_role_look_beside(const struct mioc_task *me, char *const *env, int64_t waited_ms, char *reason, size_t size)
{
    static pid_t children[MIOC_TASKS_MAX];
    int tasks = mioc_task_count_on_node(me, env), n = mioc_proc_children(getppid(), children, MIOC_TASKS_MAX), starting,
        alike, ended;
    char own_exe[1024], other[512] = "";

    if (n < 0 || mioc_proc_exe(getpid(), own_exe, sizeof own_exe) != 0)
        return 0; /* a kernel that does not say */
    if (me->launcher == MIOC_LAUNCHER_OPENMPI)
        return 0; /* its mpiexec has other children, too: those that start daemons elsewhere */
    alike = count_alike(children, n, own_exe, other, sizeof other, &starting);
    if (alike < 0 && !is_one_program(me)) {
        snprintf(reason, size, "the job has tasks that are no Python (%s)", base_name(other));
        return -1;
    }
    ended = me->launcher == MIOC_LAUNCHER_HYDRA ? count_zombies(children, n) : 0;
    if (alike >= 0 && has_started_all(me, n, waited_ms) && alike + starting < tasks)
        ended = tasks - alike - starting;
    if (ended > 0)
        snprintf(reason, size, "of this node's %d tasks %d ended before it became a rank (no Python?)", tasks, ended);
    return ended > 0 ? -1 : 0;
}

int mioc_role_check_alone(const struct mioc_task *me, char *reason, size_t size)
{
    if (me->launcher == MIOC_LAUNCHER_SLURM || judge_mpiexec() <= 0)
        return 0;
    snprintf(reason, size, "mpiexec was given several programs (MPMD)");
    return -1;
}
