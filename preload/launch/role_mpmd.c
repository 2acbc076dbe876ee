/* SPDX-License-Identifier: BSD-3-Clause */
/* role_mpmd.c - early signs that a job has tasks that are no Python, so that no rank waits for them (MPI.md).
 *
 * A sign that is missed costs a job one deadline, no more. */
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

/* Whether this argument of a launcher says that there are several programs. If it is the program's own argument, the
 * job loses the cache, no more. */
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
        (void)unsetenv(MIOC_ROLE_LAUNCH); /* an outer launcher's mark says nothing about this one */
}

/* 1: the mpiexec above this process was given several programs; 0: one; -1: no mpiexec can be found or read. */
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

/* --- The tasks beside this one ----------------------------------------------------------------------------------- */

/* A Python or what may become one; not known yet; certainly no Python. */
enum task { TASK_ALIKE, TASK_STARTING, TASK_OTHER };

/* Whether it is a program that starts another one by exec, as most wrappers do: what it becomes is not known yet. */
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

/* Whether the process has an argument that is a Python's name: a wrapper that is not in the list above has it. */
static int names_python(pid_t pid)
{
    char text[4096];
    long size = mioc_proc_cmdline(pid, text, sizeof text);

    for (long at = 0; at < size; at += (long)strlen(text + at) + 1)
        if (is_python_name(base_name(text + at)))
            return 1;
    return 0;
}

/* Whether the process has a task's variables: the launcher's daemon may have other children, too. */
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
        return TASK_STARTING; /* it has ended, or is hidden from this process */
    if (strcmp(exe, own_exe) == 0)
        return TASK_ALIKE;
    name = base_name(exe);
    if (strcmp(exe, launcher_exe) == 0 || strcmp(name, "hydra_pmi_proxy") == 0 || strcmp(name, "slurmstepd") == 0)
        return TASK_STARTING;
    if (is_python_name(name) || is_wrapper(name) || names_python(pid))
        return TASK_ALIKE;
    return is_task(pid) ? TASK_OTHER : TASK_STARTING;
}

/* Whether the launcher certainly has one program only; then an unknown program is a wrapper that will exec Python. */
static int is_one_program(const struct mioc_task *me)
{
    static int verdict = -2;

    if (verdict == -2)
        verdict = me->launcher == MIOC_LAUNCHER_HYDRA ? judge_mpiexec() : -1;
    return verdict == 0;
}

/* Looks at the launcher's children once. Returns how many are, or may become, a Python like this one; -1: one certainly
 * will not, and `other` is its program. *starting: how many are not known yet. */
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

/* Counts tasks that have ended: hydra waits for some at once, and for some at the end of the job. */
static int count_zombies(const pid_t *children, int n)
{
    int zombies = 0;

    for (int i = 0; i < n; i++) {
        struct mioc_proc process;

        zombies += mioc_proc_stat(children[i], &process) == 0 && process.state == 'Z';
    }
    return zombies;
}

/* Whether the launcher has started all tasks, so that a task that is missing has ended. Srun forks all tasks before any
 * runs. Hydra starts one after the other, and has started all if no more come for a while. */
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
        return 0; /* this kernel does not say */
    if (me->launcher == MIOC_LAUNCHER_OPENMPI)
        return 0; /* its mpiexec has other children, too, which start daemons on other nodes */
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
