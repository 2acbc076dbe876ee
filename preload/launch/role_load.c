/* SPDX-License-Identifier: BSD-3-Clause */
/* role_load.c - whether the plug-in could be loaded here; the loader says so, in a process of its own.
 *
 * The loader runs in its tracing mode: it maps and binds what dlopen() would load, says what is missing, and runs none
 * of it. It runs alone first, because it is a file on the node's own disk. If it does not find all by itself, an rpath
 * of this program may be needed. Then the process is this program again, with the plug-in preloaded, and may be read
 * from the shared filesystem. This takes 1 to 5 ms, which the program could see in getrusage(RUSAGE_CHILDREN). */
#include "role.h"
#include "job/pmi.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How much of the loader's output is looked at; it has some 80 bytes a library. */
#define SAYS 65536

/* The variables that change what the loader does or says. Those that change its search, like LD_LIBRARY_PATH, stay. */
static const char *const dropped[] = {
    "LD_PRELOAD=",   "LD_DEBUG=",   "LD_DEBUG_OUTPUT=",         "LD_PROFILE=",
    "LD_SHOW_AUXV=", "LD_VERBOSE=", "LD_TRACE_LOADED_OBJECTS=", "LD_TRACE_PRELINKING=",
    "LD_WARN=",      "LD_BIND_NOW="
};
static char *const added[] = { "LD_TRACE_LOADED_OBJECTS=1", "LD_WARN=yes", "LD_BIND_NOW=1" };
#define ADDED (sizeof added / sizeof *added)

static int is_dropped(const char *assignment)
{
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++)
        if (strncmp(assignment, dropped[i], strlen(dropped[i])) == 0)
            return 1;
    return 0;
}

/* Returns the environment for the loader, with the plug-in behind all other preloads. One block of memory, which the
 * caller frees. NULL: no memory. */
static char **make_environment(char *const *env, const char *plugin)
{
    const char *preload = mioc_proc_getenv(env, "LD_PRELOAD");
    size_t n = 0, k = 0, text = sizeof "LD_PRELOAD=:" + strlen(plugin) + (preload != NULL ? strlen(preload) : 0);
    char **made;

    while (env[n] != NULL)
        n++;
    made = malloc((n + ADDED + 2) * sizeof *made + text);
    if (made == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (!is_dropped(env[i]))
            made[k++] = env[i];
    for (size_t i = 0; i < ADDED; i++)
        made[k++] = added[i];
    made[k] = (char *)(made + n + ADDED + 2);
    snprintf(made[k], text, "LD_PRELOAD=%s:%s", preload != NULL ? preload : "", plugin);
    made[k + 1] = NULL;
    return made;
}

/* --- The process ------------------------------------------------------------------------------------------------- */

static int is_child_signal_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGCHLD) == 1;
}

/* Starts the process. 0 and *out, which reads what it says; or -1. */
static int start(const char *program, char *const *arguments, char *const *env, pid_t *pid, int *out)
{
    posix_spawn_file_actions_t actions;
    int pipe_of[2], rc;

    if (pipe2(pipe_of, O_CLOEXEC) != 0)
        return -1;
    rc = posix_spawn_file_actions_init(&actions);
    if (rc == 0) {
        rc = posix_spawn_file_actions_adddup2(&actions, pipe_of[1], STDOUT_FILENO);
        rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
        rc = rc != 0 ? rc : posix_spawn(pid, program, &actions, NULL, arguments, env);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    syscall(SYS_close, pipe_of[1]);
    if (rc != 0)
        syscall(SYS_close, pipe_of[0]);
    *out = pipe_of[0];
    return rc == 0 ? 0 : -1;
}

/* Reads all that the process says, NUL-terminated; what does not fit is lost. 0, or -1: it has not ended in time. */
static int listen_to(int out, char *says, size_t size, int64_t timeout_ms)
{
    int64_t until = mioc_pmi_now_ms() + timeout_ms;
    size_t filled = 0;

    for (;;) {
        struct pollfd ready = { .fd = out, .events = POLLIN };
        int64_t left = until - mioc_pmi_now_ms();
        char rest[512];
        long n;

        says[filled] = '\0';
        if (left <= 0)
            return -1;
        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        if (filled + 1 < size)
            n = syscall(SYS_read, out, says + filled, size - 1 - filled);
        else
            n = syscall(SYS_read, out, rest, sizeof rest);
        if (n == 0 || (n < 0 && errno != EINTR))
            return 0;
        if (n > 0 && filled + 1 < size)
            filled += (size_t)n;
    }
}

/* Waits for the process's end. The program must not see that: it ignores SIGCHLD by default, but a blocked SIGCHLD
 * would stay pending, so it is taken. Returns the status. */
static int wait_for(pid_t pid, int was_pending)
{
    int status = 0;
    pid_t rc;

    while ((rc = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (!was_pending && is_child_signal_pending()) {
        sigset_t only;

        sigemptyset(&only);
        sigaddset(&only, SIGCHLD);
        (void)sigtimedwait(&only, NULL, &(struct timespec){ 0, 0 });
    }
    return rc == pid ? status : 0; /* the kernel gives no status to a process that has SIGCHLD set to SIG_IGN */
}

/* Runs such a process from start to end. 0: what it said, and its status; 1: it did not end in time; -1: it could not
 * be started. */
static int run(const char *program, char *const *arguments, char *const *env, int64_t timeout_ms, char *says,
               int *status)
{
    int was_pending = is_child_signal_pending(), out, is_over;
    pid_t pid;

    if (start(program, arguments, env, &pid, &out) != 0)
        return -1;
    is_over = listen_to(out, says, SAYS, timeout_ms) == 0;
    if (!is_over)
        (void)kill(pid, SIGKILL);
    syscall(SYS_close, out);
    *status = wait_for(pid, was_pending);
    return is_over ? 0 : 1;
}

/* --- What it says ------------------------------------------------------------------------------------------------ */

/* Whether the line says that the plug-in cannot be loaded. Whatever library is missing, the plug-in needs it, as the
 * program itself has been loaded. A symbol that is not found counts only if the plug-in needs it: other libraries may
 * never call theirs. */
static int is_complaint(const char *line, const char *plugin)
{
    static const char undefined[] = "undefined symbol: ", fatal[] = "ld.so: error while loading shared libraries: ";
    const char *at = strstr(line, plugin);

    if (strncmp(line, undefined, sizeof undefined - 1) == 0 || strncmp(line, "symbol ", 7) == 0)
        return at != NULL && at[-1] == '(';
    return strncmp(line, fatal, sizeof fatal - 1) == 0 || strstr(line, "=> not found") != NULL ||
           strstr(line, "not found (required by ") != NULL ||
           (at != NULL && strstr(line, "cannot be preloaded") != NULL);
}

/* 0, or -1 and the first complaint as the reason. */
static int judge(char *says, int status, const char *plugin, char *reason, size_t size)
{
    char *next = says, *line;
    const char *missing;

    while ((line = strsep(&next, "\n")) != NULL) {
        if (!is_complaint(line, plugin))
            continue;
        line += strncmp(line, "ld.so: ", 7) == 0 ? 7 : 0;
        line += strspn(line, " \t");
        missing = strstr(line, " => not found");
        if (missing != NULL)
            snprintf(reason, size, "the MPI plug-in cannot be loaded: %.*s is not found", (int)(missing - line), line);
        else
            snprintf(reason, size, "the MPI plug-in cannot be loaded: %.*s", (int)strcspn(line, "\t"), line);
        return -1;
    }
    if (WIFSIGNALED(status)) { /* SIGBUS if a library's file is cut off */
        snprintf(reason, size, "the MPI plug-in cannot be loaded: the loader dies of signal %d", WTERMSIG(status));
        return -1;
    }
    return 0;
}

static int find_loader(struct dl_phdr_info *info, size_t size, void *name)
{
    (void)size;
    if (info->dlpi_addr != _r_debug.r_ldbase)
        return 0;
    *(const char **)name = info->dlpi_name;
    return 1;
}

/* Whether the loader by itself finds all that the plug-in needs. It does without LD_LIBRARY_PATH, whose folders may be
 * on the shared filesystem. */
static int is_found_alone(const char *plugin, char *const *all, int64_t timeout_ms, char *says)
{
    char *const arguments[] = { "ld.so", (char *)plugin, NULL };
    const char *loader = NULL;
    char **environment;
    size_t n = 0, k = 0;
    int status, rc;

    if (!dl_iterate_phdr(find_loader, &loader) || loader == NULL || loader[0] != '/')
        return 0;
    while (all[n] != NULL)
        n++;
    environment = malloc((n + 1) * sizeof *environment);
    if (environment == NULL)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(all[i], "LD_LIBRARY_PATH=", 16) != 0 && strncmp(all[i], "LD_PRELOAD=", 11) != 0)
            environment[k++] = all[i];
    environment[k] = NULL;
    rc = run(loader, arguments, environment, timeout_ms, says, &status);
    free(environment);
    return rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && strstr(says, " => /") != NULL &&
           strstr(says, "not found") == NULL && strstr(says, "undefined symbol") == NULL &&
           strstr(says, "error while loading") == NULL;
}

int mioc_role_check_load(const char *plugin, char *const *env, int64_t timeout_ms, char *reason, size_t size)
{
    char *const arguments[] = { "ld.so", "--version", NULL }; /* harmless, should the program run after all */
    int saved = errno, rc = 0, outcome, status;
    char **environment = NULL, *says = NULL;

    /* LD_PRELOAD cannot hold such a path. A library in LD_AUDIT takes part in the search, and may do more. */
    if (strpbrk(plugin, ": ") != NULL || mioc_proc_getenv(env, "LD_AUDIT") != NULL)
        goto done;
    environment = make_environment(env, plugin);
    says = malloc(SAYS);
    if (environment == NULL || says == NULL || is_found_alone(plugin, environment, timeout_ms, says))
        goto done;
    outcome = run("/proc/self/exe", arguments, environment, timeout_ms, says, &status);
    if (outcome == 0)
        rc = judge(says, status, plugin, reason, size);
    else if (outcome > 0) {
        snprintf(reason, size, "the MPI plug-in cannot be loaded within %lld ms", (long long)timeout_ms);
        rc = -1;
    }
done:
    free(environment);
    free(says);
    errno = saved;
    return rc;
}
