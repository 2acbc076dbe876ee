/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_spawn.c - starts the agent program as nobody's child.
 *
 * Two clones: the first child ends at once, so that the second one's parent is init or the launcher's daemon. Neither
 * raises SIGCHLD here: the first has no exit signal. What runs between clone and exec makes raw system calls only. */
#include "agent_spawn.h"
#include "base/log.h"
#include "base/proc.h"
#include "node/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_FDS 65536u
#define KERNEL_SIGSET_SIZE 8

/* What the second child needs, made before the first clone. */
struct spawn {
    const char *path;
    char **env;
    int starter;
};

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

/* --- The children ------------------------------------------------------------------------------------------------ */

static void arrange_descriptors(const struct spawn *spawn)
{
    int above = (int)syscall(SYS_fcntl, spawn->starter, F_DUPFD, MIOC_AGENT_FD + 1), null;

    (void)syscall(SYS_dup3, above, MIOC_AGENT_FD, 0);
    null = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        if (null != fd)
            (void)syscall(SYS_dup3, null, fd, 0);
    if (syscall(SYS_close_range, MIOC_AGENT_FD + 1, ~0u, 0) != 0)
        for (unsigned fd = MIOC_AGENT_FD + 1; fd < MOST_FDS; fd++)
            (void)syscall(SYS_close, fd);
}

static void reset_signals(void)
{
    const uint64_t none = 0;
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET_SIZE);
}

static _Noreturn void run_agent(const struct spawn *spawn)
{
    char *const argv[] = { (char *)"mpiio_cache", NULL };
    cpu_set_t all;
    const char *why;

    reset_signals();
    arrange_descriptors(spawn);
    (void)syscall(SYS_chdir, "/");
    memset(&all, 0xff, sizeof all);
    (void)syscall(SYS_sched_setaffinity, 0, sizeof all, &all); /* the kernel takes those of the cpuset */
    (void)syscall(SYS_execve, spawn->path, argv, spawn->env);
    why = mioc_log_error(errno);
    (void)!syscall(SYS_write, MIOC_AGENT_FD, "cannot execute the agent program: ", 34);
    (void)!syscall(SYS_write, MIOC_AGENT_FD, why, strlen(why));
    (void)!syscall(SYS_write, MIOC_AGENT_FD, "\n", 1);
    syscall(SYS_exit_group, 1);
    __builtin_unreachable();
}

/* A clone that shares nothing. fork() would run the handlers of other libraries. Returns like fork(). */
static pid_t clone_process(int exit_signal) { return (pid_t)syscall(SYS_clone, exit_signal, 0, 0, 0, 0); }

int mioc_agent_spawn(const char *path, int starter)
{
    struct spawn spawn = { path, make_environment(), starter };
    int is_subreaper = 0, result = 0, error = 0;
    pid_t child;

    if (spawn.env == NULL)
        return -1;
    /* The program may be one that its orphans come back to. This orphan must not. */
    if (prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper) == 0 && is_subreaper)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
    child = clone_process(0);
    if (child == 0) {
        (void)syscall(SYS_setsid);
        child = clone_process(SIGCHLD);
        if (child == 0)
            run_agent(&spawn);
        syscall(SYS_exit_group, child < 0 ? errno : 0);
    }
    error = errno;
    while (child > 0 && waitpid(child, &result, __WALL) < 0 && errno == EINTR) {}
    if (is_subreaper)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    free_environment(spawn.env);
    if (child > 0 && WIFEXITED(result) && WEXITSTATUS(result) == 0)
        return 0;
    errno = child < 0 ? error : WIFEXITED(result) ? WEXITSTATUS(result) : EAGAIN;
    return -1;
}
