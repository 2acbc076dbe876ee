/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_process.c - the ends that exit() does not see, and exec: a rank takes its leave before it goes.
 *
 * exec: a rank that replaces itself by another program leaves the cache and hands the launcher's process manager over
 * to that program (pmi_relay.h) or, where nothing is preloaded in it, takes its leave there too, so that the job goes
 * on as without us; a static program cannot start MPI then. The mark in the new environment keeps the new program from
 * joining again. What would fail anyway (os.execvp tries a directory after the other) is told before, so that a rank
 * does not leave for nothing. A child between fork or vfork and exec is nobody's rank: it has another process id. */
#include "launch/pmi_relay.h"
#include "launch/process.h"
#include "launch/role.h"
#include "serve.h"
#include "base/stack.h"
#include "node/node.h"
#include "node/plugin.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- Ends -------------------------------------------------------------------------------------------------------- */

static int quick_status;

static void end_quickly(void) { mioc_node_end(quick_status); }

void mioc_process_guard(void)
{
    (void)at_quick_exit(end_quickly); /* the first to be registered is the last to be called */
}

/* Whether this process has business with the launcher that its next program must know of. */
static int has_business(void) { return mioc_node_is_owner() || mioc_pmi_relay_is_owner(); }

MIOC_EXPORT void _exit(int status)
{
    mioc_node_end(status & 0377);
    mioc_pmi_relay_end();
    mioc_real(_exit)(status);
    __builtin_unreachable();
}

MIOC_EXPORT void _Exit(int status) __attribute__((alias("_exit")));

MIOC_EXPORT void abort(void)
{
    mioc_node_abort();
    mioc_real(abort)();
    __builtin_unreachable();
}

MIOC_EXPORT void quick_exit(int status)
{
    if (mioc_node_is_owner())
        quick_status = status & 0377;
    else
        mioc_pmi_relay_end();
    mioc_real(quick_exit)(status);
    __builtin_unreachable();
}

/* --- exec -------------------------------------------------------------------------------------------------------- */

/* As far as a look can tell: a regular file that we may execute. */
static int can_execute(int dirfd, const char *path, int flags)
{
    struct stat st;

    if (mioc_is_null(path))
        return 0;
    if (mioc_real(fstatat)(dirfd, path, &st, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0 ||
        !S_ISREG(st.st_mode))
        return 0;
    return (flags & AT_EMPTY_PATH) != 0 || syscall(SYS_faccessat, dirfd, path, X_OK) == 0;
}

/* The same for execvp's search: fills `found`. */
static int find_by_name(const char *file, char *found, size_t size)
{
    const char *path = getenv("PATH");
    size_t name;

    if (mioc_is_null(file) || *file == '\0')
        return 0;
    name = strlen(file);
    if (strchr(file, '/') != NULL)
        path = "";
    for (path = path != NULL ? path : "/bin:/usr/bin";; path++) {
        size_t length = strcspn(path, ":");

        if (length + name + 2 <= size) {
            memcpy(found, path, length);
            found[length] = '/';
            memcpy(found + length + (length > 0), file, name + 1);
            if (can_execute(AT_FDCWD, found, 0))
                return 1;
        }
        path += length;
        if (*path == '\0')
            return 0;
    }
}

/* --- exec: going ------------------------------------------------------------------------------------------------- */

/* Before the real exec, if it looks as if it could succeed: leaves. Returns whether the next program takes over the
 * launcher's process manager. `path` is NULL where it is not known. */
static int leave(const char *path, char *const *envp)
{
    int has_heir = mioc_pmi_relay_is_possible(path, envp);

    if (has_heir && mioc_node_is_owner())
        mioc_plugin_hand_over();
    mioc_node_end(-1);
    if (has_heir)
        mioc_pmi_relay_give();
    else
        mioc_pmi_relay_end();
    return has_heir;
}

static size_t count(char *const *vector)
{
    size_t n = 0;

    while (vector != NULL && vector[n] != NULL)
        n++;
    return n;
}

/* The marked environment of who execs on a small stack. Of two that do at once one does not come back. */
#define FAR_ENTRIES 1024u
static char *far_space[FAR_ENTRIES];

/* In a child of vfork the stack is the only memory that is its own, so the marked environment lies there. */
#define MARK(envp, has_heir) \
    size_t entries = mioc_role_is_marked() ? count(envp) + 2 : 2; \
    int is_far = entries <= FAR_ENTRIES && !mioc_stack_has_room(MIOC_STACK_SERVED); \
    char *near_space[is_far ? 1 : entries], text[MIOC_ROLE_MARK_SIZE]; \
    char *const *marked = mioc_role_mark_exec(envp, is_far ? far_space : near_space, entries, text, has_heir)

/* A program that is about to be executed. */
struct heir {
    int dirfd;
    const char *path;
    int flags;
    char *const *envp;
    const char *known_path;
};

static __attribute__((noinline)) int leave_if_possible(void *arg)
{
    const struct heir *heir = arg;

    return can_execute(heir->dirfd, heir->path, heir->flags) && leave(heir->known_path, heir->envp);
}

/* Whether the next program takes over; 0 too where there is no memory for what is to be done before. */
static int leave_for(struct heir *heir)
{
    return has_business() && mioc_stack_run(MIOC_STACK_TOLD, leave_if_possible, heir) == 1;
}

static int do_execve(const char *path, char *const argv[], char *const envp[])
{
    const char *original = mioc_serve_original(path);
    int saved = errno, has_heir = leave_for(&(struct heir){ AT_FDCWD, original, 0, envp, original });
    MARK(envp, has_heir);

    errno = saved;
    return mioc_real(execve)(original, argv, marked);
}

static __attribute__((noinline)) int leave_if_found(void *arg)
{
    const struct heir *heir = arg;
    char path[PATH_MAX];

    return find_by_name(heir->path, path, sizeof path) && leave(path, heir->envp);
}

static int do_execvpe(const char *file, char *const argv[], char *const envp[])
{
    struct heir heir = { .path = file, .envp = envp };
    int saved = errno, has_heir = has_business() && mioc_stack_run(MIOC_STACK_TOLD, leave_if_found, &heir) == 1;
    MARK(envp, has_heir);

    errno = saved;
    return mioc_real(execvpe)(file, argv, marked);
}

MIOC_EXPORT int execve(const char *path, char *const argv[], char *const envp[]) { return do_execve(path, argv, envp); }
MIOC_EXPORT int execv(const char *path, char *const argv[]) { return do_execve(path, argv, environ); }
MIOC_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    return do_execvpe(file, argv, envp);
}
MIOC_EXPORT int execvp(const char *file, char *const argv[]) { return do_execvpe(file, argv, environ); }

/* A copy may not be executed, its original perhaps. */
MIOC_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    int saved = errno, has_heir;

    mioc_serve_try_detach(fd);
    has_heir = leave_for(&(struct heir){ fd, "", AT_EMPTY_PATH, envp, NULL });
    MARK(envp, has_heir);
    errno = saved;
    return mioc_real(fexecve)(fd, argv, marked);
}

MIOC_EXPORT int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    int saved = errno, has_heir;

    if (mioc_serve_is_fd_itself(dirfd, path, flags))
        mioc_serve_try_detach(dirfd);
    has_heir = leave_for(&(struct heir){ dirfd, path, flags, envp, NULL });
    MARK(envp, has_heir);
    errno = saved;
    if (mioc_real(execveat) != NULL)
        return mioc_real(execveat)(dirfd, path, argv, marked, flags);
    return (int)syscall(SYS_execveat, dirfd, path, argv, marked, flags);
}

/* The arguments of execl and its like, the NULL included; then *rest stands behind it. */
static size_t count_arguments(const char *first, va_list *rest)
{
    size_t n = 1;

    for (const char *argument = first; argument != NULL; argument = va_arg(*rest, const char *))
        n++;
    return n;
}

static void fill_arguments(char **argv, size_t n, const char *first, va_list *rest)
{
    argv[0] = (char *)(uintptr_t)first;
    for (size_t i = 1; i < n; i++)
        argv[i] = va_arg(*rest, char *);
}

#define ARGUMENTS(first) \
    va_list rest; \
    va_start(rest, first); \
    size_t n = count_arguments(first, &rest); \
    va_end(rest); \
    char *argv[n]; \
    va_start(rest, first); \
    fill_arguments(argv, n, first, &rest)

MIOC_EXPORT int execl(const char *path, const char *arg, ...)
{
    ARGUMENTS(arg);
    va_end(rest);
    return do_execve(path, argv, environ);
}

MIOC_EXPORT int execlp(const char *file, const char *arg, ...)
{
    ARGUMENTS(arg);
    va_end(rest);
    return do_execvpe(file, argv, environ);
}

MIOC_EXPORT int execle(const char *path, const char *arg, ...)
{
    ARGUMENTS(arg);
    char *const *envp = va_arg(rest, char *const *); /* behind the NULL */
    va_end(rest);
    return do_execve(path, argv, envp);
}
