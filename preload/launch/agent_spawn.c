/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_spawn.c - starts the agent program as nobody's child.
 *
 * Two clones: the first child ends once the second executes, whose parent is then init or the launcher's daemon.
 * Neither raises SIGCHLD here: the first has no exit signal. Both work in this process's memory, as to copy its page
 * tables takes six times as long, and this process goes on meanwhile, as on a busy node it would wait for each child's
 * turn on a processor. So what runs between clone and exec makes raw system calls only, with data that is made before:
 * no errno, no function that ld.so would have to bind, whose text this process may just be changing (loader/patch.c).
 */
#include "agent_spawn.h"
#include "base/clock.h"
#include "loader/loader.h"
#include "loader/raw.h"
#include "node/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK (16u * 1024u)
#define MOST_FDS 65536
#define KERNEL_SIGSET_SIZE 8
#define PAUSE_NS 200000l

/* Without variables that would load something into the agent. */
static char **make_environment(void)
{
    static const char *const left_out[] = { "LD_PRELOAD=", "LD_AUDIT=", "LD_DEBUG=", "LD_PROFILE=" };
    size_t n = 0, k = 0;
    char **env;

    while (environ != NULL && environ[n] != NULL)
        n++;
    env = mmap(NULL, (n + 1) * sizeof *env, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (env == MAP_FAILED)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        int is_left_out = 0;

        for (unsigned j = 0; j < sizeof left_out / sizeof left_out[0]; j++)
            is_left_out |= strncmp(environ[i], left_out[j], strlen(left_out[j])) == 0;
        if (!is_left_out)
            env[k++] = environ[i];
    }
    return env;
}

static void free_environment(char **env)
{
    size_t n = 0;

    while (environ != NULL && environ[n] != NULL)
        n++;
    (void)munmap(env, (n + 1) * sizeof *env);
}

/* --- The children: raw system calls ------------------------------------------------------------------------------ */

static char *const arguments[] = { (char *)"mpiio_cache", NULL };
static const char null_device[] = "/dev/null", root[] = "/";
static const uint64_t no_signals;
static const uint64_t default_action[4]; /* the kernel's struct: handler, flags, restorer, mask */
static cpu_set_t all_processors;

static void arrange_descriptors(int starter)
{
    long above = mioc_raw(SYS_fcntl, starter, F_DUPFD, MIOC_AGENT_FD + 1, 0), null;

    (void)mioc_raw(SYS_dup3, above, MIOC_AGENT_FD, 0, 0);
    null = mioc_raw(SYS_openat, AT_FDCWD, (long)null_device, O_RDWR, 0);
    for (int fd = 0; fd < 3; fd++)
        if (null != fd)
            (void)mioc_raw(SYS_dup3, null, fd, 0, 0);
    if (mioc_raw(SYS_close_range, MIOC_AGENT_FD + 1, (long)~0u, 0, 0) != 0)
        for (long fd = MIOC_AGENT_FD + 1; fd < MOST_FDS; fd++)
            (void)mioc_raw(SYS_close, fd, 0, 0, 0);
}

static void reset_signals(void)
{
    for (long number = 1; number < NSIG; number++)
        (void)mioc_raw(SYS_rt_sigaction, number, (long)default_action, 0, KERNEL_SIGSET_SIZE);
    (void)mioc_raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&no_signals, 0, KERNEL_SIGSET_SIZE);
}

/* The second child. */
static int run_agent(void *arg)
{
    struct mioc_agent_spawn *spawn = arg;
    long rc;

    reset_signals();
    arrange_descriptors(spawn->starter);
    (void)mioc_raw(SYS_chdir, (long)root, 0, 0, 0);
    /* The kernel takes those of the cpuset. */
    (void)mioc_raw(SYS_sched_setaffinity, 0, sizeof all_processors, (long)&all_processors, 0);
    rc = mioc_raw(SYS_execve, (long)spawn->path, (long)arguments, (long)spawn->env, 0);
    __atomic_store_n(&spawn->error, (int)-rc, __ATOMIC_RELEASE);
    return 1;
}

/* fork() would run the handlers of other libraries. Returns the process id, or -1 with errno. */
static pid_t clone_copy(int (*run)(void *arg), int exit_signal, struct mioc_agent_spawn *spawn)
{
    long rc = mioc_raw(SYS_clone, exit_signal, 0, 0, 0);

    if (rc == 0)
        (void)mioc_raw(SYS_exit_group, run(spawn), 0, 0, 0);
    if (rc < 0)
        errno = (int)-rc;
    return rc < 0 ? -1 : (pid_t)rc;
}

/* The first child; it sleeps until the second one executes or ends. Its exit status is an errno, or 0. */
static int run_parent(void *arg)
{
    struct mioc_agent_spawn *spawn = arg;
    pid_t child;

    (void)mioc_raw(SYS_setsid, 0, 0, 0, 0);
    child = spawn->is_copying ? clone_copy(run_agent, SIGCHLD, spawn)
                              : clone(run_agent, spawn->stacks + 2 * STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, spawn);
    return child < 0 ? errno : 0;
}

/* Emulators know fork and vfork only. */
static pid_t start_parent(struct mioc_agent_spawn *spawn)
{
    pid_t child = -1;

    spawn->is_copying = mioc_loader_is_translated();
    if (!spawn->is_copying)
        child = clone(run_parent, spawn->stacks + STACK, CLONE_VM, spawn);
    if (child > 0)
        return child;
    spawn->is_copying = 1;
    return clone_copy(run_parent, 0, spawn);
}

/* --- Here -------------------------------------------------------------------------------------------------------- */

static void free_all(struct mioc_agent_spawn *spawn)
{
    int saved = errno;

    if (spawn->is_subreaper)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (spawn->stacks != MAP_FAILED)
        (void)munmap(spawn->stacks, 2 * STACK);
    if (spawn->env != NULL)
        free_environment(spawn->env);
    errno = saved;
}

int mioc_agent_spawn_begin(struct mioc_agent_spawn *spawn, const char *path, int starter)
{
    uint64_t all = ~0ull, old;

    memset(&all_processors, 0xff, sizeof all_processors);
    snprintf(spawn->path, sizeof spawn->path, "%s", path);
    spawn->starter = starter;
    spawn->child = -1;
    spawn->error = 0;
    /* The program may be one that its orphans come back to. This orphan must not. */
    if (prctl(PR_GET_CHILD_SUBREAPER, &spawn->is_subreaper) != 0)
        spawn->is_subreaper = 0;
    if (spawn->is_subreaper)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
    spawn->stacks = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    spawn->env = make_environment();
    if (spawn->stacks != MAP_FAILED && spawn->env != NULL) {
        /* No handler of the program runs in a child. */
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, KERNEL_SIGSET_SIZE);
        spawn->child = start_parent(spawn);
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_SIGSET_SIZE);
    }
    if (spawn->child > 0)
        return 0;
    free_all(spawn);
    return -1;
}

int mioc_agent_spawn_end(struct mioc_agent_spawn *spawn, uint64_t until)
{
    int result = 0, error;
    pid_t rc;

    while ((rc = waitpid(spawn->child, &result, __WALL | WNOHANG)) == 0 && mioc_clock_ns() < until)
        (void)nanosleep(&(struct timespec){ 0, PAUSE_NS }, NULL);
    if (rc == 0) { /* the filesystem of the program hangs; the child still uses its memory */
        if (spawn->is_subreaper)
            (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        errno = ETIMEDOUT;
        return -1;
    }
    error = __atomic_load_n(&spawn->error, __ATOMIC_ACQUIRE);
    if (error == 0 && rc > 0 && WIFEXITED(result))
        error = WEXITSTATUS(result);
    else if (error == 0 && rc > 0)
        error = EAGAIN;
    free_all(spawn);
    errno = error;
    return error == 0 ? 0 : -1;
}
