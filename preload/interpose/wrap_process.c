/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_process.c - a rank leaves the cache before an end that exit() does not see, and before exec (README.md,
 * "exec"). */
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
static void (*process_end)(int status);

void mioc_process_set_end(void (*end)(int status)) { process_end = end; }

static void end_quickly(void) { mioc_node_end(quick_status); }

/* What is registered first is called last. */
void mioc_process_guard(void) { (void)at_quick_exit(end_quickly); }

/* Whether this process speaks with the launcher, as a rank or in a rank's place. */
static int is_known_to_launcher(void) { return mioc_node_is_owner() || mioc_pmi_relay_is_owner(); }

MIOC_EXPORT void _exit(int status)
{
    if (process_end != NULL)
        process_end(status & 0377);
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
    if (process_end != NULL)
        process_end(status & 0377);
    if (mioc_node_is_owner())
        quick_status = status & 0377;
    else
        mioc_pmi_relay_end();
    mioc_real(quick_exit)(status);
    __builtin_unreachable();
}

/* --- exec -------------------------------------------------------------------------------------------------------- */

/* Whether exec may succeed: it is a regular file that this process may execute. */
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

/* The same for a program that execvp searches for. Fills `found` with its path. */
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

/* --- exec: leaving ----------------------------------------------------------------------------------------------- */

/* Leaves the cache, before an exec that may succeed. Returns whether the next program takes over the launcher's process
 * manager. `path` is NULL if it is not known. */
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

/* Room for the marked environment of an exec on a small stack. Two threads may exec at once: only one of them can
 * succeed, and then the other is gone. */
#define FAR_ENTRIES 1024u
static char *far_space[FAR_ENTRIES];

/* Defines `marked`, the environment with our mark. It lies on the stack: a child of vfork has no other memory of its
 * own. */
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

/* Leaves the cache if the exec may succeed. Returns whether the next program takes over; 0 too if there is no memory
 * for the work. */
static int leave_for(struct heir *heir)
{
    return is_known_to_launcher() && mioc_stack_run(MIOC_STACK_TOLD, leave_if_possible, heir) == 1;
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
    int saved = errno, has_heir = is_known_to_launcher() && mioc_stack_run(MIOC_STACK_TOLD, leave_if_found, &heir) == 1;
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

/* A copy is never executable. Its original may be. */
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

/* The number of arguments of execl and its kin, with the NULL. Afterwards *rest is behind the NULL. */
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
    char *const *envp = va_arg(rest, char *const *);
    va_end(rest);
    return do_execve(path, argv, envp);
}
