/* SPDX-License-Identifier: BSD-3-Clause */
/* check.c - mpiio-cache check: what must hold for the cache to work here, looked at in the order in which it would
 * fail. */
#include "check_internal.h"
#include "command.h"
#include "launch/advice.h"
#include "node/limits.h"
#include "base/config.h"
#include "loader/loader.h"
#include "policy/policy.h"
#include "launch/role.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIBRARY "libmpiio_cache.so"
#define TMPFS 0x01021994
#define RAMFS 0x858458f6
#define LITTLE (64ull << 20)
#define LOAD_SECONDS 30

int mioc_check_say(struct mioc_check *c, const char *what, const char *format, ...)
{
    va_list arguments;

    if (!c->is_verbose)
        return 0;
    printf("  %-12s ", what);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    return 0;
}

int mioc_check_fail(struct mioc_check *c, const char *remedy, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(c->verdict, sizeof c->verdict, format, arguments);
    va_end(arguments);
    snprintf(c->note, sizeof c->note, "remedy: %s", remedy != NULL ? remedy : "see libmpiio_cache.so(7)");
    return -1;
}

void mioc_check_note(struct mioc_check *c, const char *format, ...)
{
    va_list arguments;

    if (c->note[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(c->note, sizeof c->note, format, arguments);
    va_end(arguments);
}

/* --- The site and the machine ------------------------------------------------------------------------------------ */

static int check_configuration(struct mioc_check *c)
{
    const struct mioc_config *config = mioc_config();
    char reason[256];

    if (config->complaints > 0)
        mioc_check_note(c, "note: %s", config->complaint);
    if (mioc_site_forbids(&config->site, c->real, NULL, reason, sizeof reason))
        return mioc_check_fail(c, "ask those who run this machine", "%s (%s)", reason, MIOC_SITE_FILE);
    if (config->disable)
        return mioc_check_fail(c, "unset MPIIO_CACHE_DISABLE", "MPIIO_CACHE_DISABLE is set");
    return mioc_check_say(c, "site", "%s", access(MIOC_SITE_FILE, F_OK) == 0 ? MIOC_SITE_FILE : "no " MIOC_SITE_FILE);
}

/* Of this very process: ranks have the same loader, if they do not bring their own. */
static int check_loader(struct mioc_check *c)
{
    struct utsname system;
    const char *why = mioc_config()->loader_plain ? "MPIIO_CACHE_LOADER" : mioc_loader_check();

    uname(&system);
    if (why == NULL)
        return mioc_check_say(c, "loader", "patch (Linux %s %s, glibc %s)", system.release, system.machine,
                              gnu_get_libc_version());
    mioc_check_note(c, "note: shared objects that the dynamic loader opens are not cached: %s (Linux %s %s, glibc %s)",
                    why, system.release, system.machine, gnu_get_libc_version());
    return mioc_check_say(c, "loader", "plain: %s (Linux %s %s, glibc %s)", why, system.release, system.machine,
                          gnu_get_libc_version());
}

static int check_store(struct mioc_check *c)
{
    const char *dir = mioc_config()->dir;
    uint64_t room = mioc_config()->max_bytes > 0 ? mioc_config()->max_bytes : mioc_limits_default("", dir);
    struct statvfs options;
    struct statfs type;
    int is_noexec;

    if (access(dir, R_OK | W_OK | X_OK) != 0 || statvfs(dir, &options) != 0 || statfs(dir, &type) != 0)
        return mioc_check_fail(c, "set MPIIO_CACHE_DIR to a folder in memory that users may write",
                               "%s cannot be used for a node's store: %s", dir, strerror(errno));
    is_noexec = (options.f_flag & ST_NOEXEC) != 0;
    if (room < LITTLE)
        mioc_check_note(
            c,
            "note: only %llu MiB are left for a node's store (memory cgroup, size of %s): what does not fit is not "
            "cached",
            (unsigned long long)(room >> 20), dir);
    if (type.f_type != TMPFS && type.f_type != RAMFS)
        mioc_check_note(c, "note: %s is not in memory: a node's copies are as slow as what it is on", dir);
    if (is_noexec)
        mioc_check_note(
            c, "note: %s is mounted noexec: contents of shared objects come from the filesystem, for every rank", dir);
    return mioc_check_say(c, "store", "%s, %s, up to %llu MiB%s", dir,
                          type.f_type == TMPFS || type.f_type == RAMFS ? "in memory" : "on disk",
                          (unsigned long long)(room >> 20), is_noexec ? ", noexec" : "");
}

int mioc_check_read_child(pid_t child, int from, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n;
    int status;

    while (used + 1 < size && (n = read(from, text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    close(from);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* --- MPI --------------------------------------------------------------------------------------------------------- */

/* In a process of its own, as MPI libraries change theirs: "+" and the version, or "-" and what is missing. */
static void load_plugin(const char *path, int out)
{
    char version[8192] = "+an MPI without a version";
    int (*get)(char *, int *), length = 0;
    void *plugin;

    alarm(LOAD_SECONDS);
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        dprintf(out, "-%s", dlerror());
    } else {
        *(void **)&get = dlsym(plugin, "MPI_Get_library_version");
        if (get != NULL)
            (void)get(version + 1, &length);
        dprintf(out, "%s", version);
    }
    _exit(0);
}

/* "MPICH Version:      4.0.3\nMPICH Release…" in one line: its first two words of sense. */
static void shorten_version(struct mioc_check *c, const char *text)
{
    char name[32] = "", number[64] = "";

    if (sscanf(text, "Open MPI v%63[^, ]", number) == 1)
        snprintf(c->mpi, sizeof c->mpi, "Open MPI %s", number);
    else if (sscanf(text, "%31s Version:%63s", name, number) == 2)
        snprintf(c->mpi, sizeof c->mpi, "%s %s", name, number);
    else
        snprintf(c->mpi, sizeof c->mpi, "%.*s", (int)strcspn(text, "\n"), text);
}

static int check_mpi(struct mioc_check *c, const char *name)
{
    char text[8192], file[64];
    int ends[2];
    pid_t child;

    snprintf(file, sizeof file, "libmpiio_cache_%s.so", name);
    if (mioc_command_find_library(file, c->plugin, sizeof c->plugin) != 0)
        return mioc_check_fail(c, "build and install it", "the MPI plug-in %s is not beside %s", file, LIBRARY);
    if (pipe(ends) != 0 || (child = fork()) < 0)
        return mioc_check_fail(c, "free some memory", "%s", strerror(errno));
    if (child == 0)
        load_plugin(c->plugin, ends[1]);
    close(ends[1]);
    if (mioc_check_read_child(child, ends[0], text, sizeof text) != 0)
        return mioc_check_fail(c, "look at the installation of MPI",
                               "the MPI plug-in %s dies, or hangs, when it is loaded", c->plugin);
    if (text[0] != '+')
        return mioc_check_fail(c,
                               strcmp(name, "mpich") == 0 ? "install MPICH 4 (Debian: libmpich12), or load its module"
                                                          : "load the module of its MPI",
                               "the MPI plug-in cannot be loaded: %s", text + 1);
    shorten_version(c, text + 1);
    return mioc_check_say(c, "MPI", "%s, by %s", c->mpi, c->plugin);
}

/* --- Python ------------------------------------------------------------------------------------------------------ */

static int ask_python(struct mioc_check *c)
{
    static const char script[] =
        "import os, sys; print(sys.executable, os.path.realpath(sys.executable), '%d.%d' % sys.version_info[:2], "
        "sep='\\n')";
    char text[3 * PATH_MAX], *line[3], *save = NULL;
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0 || (child = fork()) < 0)
        return mioc_check_fail(c, "free some memory", "%s", strerror(errno));
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execlp(c->python, c->python, "-I", "-S", "-c", script, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (mioc_check_read_child(child, ends[0], text, sizeof text) != 0)
        return mioc_check_fail(c, "load a module or activate an environment with Python, or name one by --python",
                               "%s does not run", c->python);
    for (int i = 0; i < 3; i++)
        if ((line[i] = strtok_r(i == 0 ? text : NULL, "\n", &save)) == NULL)
            return mioc_check_fail(c, "name another by --python", "%s is no Python 3", c->python);
    snprintf(c->executable, sizeof c->executable, "%s", line[0]);
    snprintf(c->real, sizeof c->real, "%s", line[1]);
    snprintf(c->version, sizeof c->version, "%s", line[2]);
    return mioc_check_say(c, "Python", "%s %s", c->executable, c->version);
}

static int check_mpi4py(struct mioc_check *c)
{
    const struct mioc_role_python python = {
        .version = c->version, .exec_fn = c->executable, .exe = c->real, .env = environ
    };
    char reason[512];

    if (mioc_role_check_mpi4py(&python, c->plugin, reason, sizeof reason) != 0)
        return mioc_check_fail(c, "use an mpi4py that is built for an MPI with a plug-in, or none",
                               "in the environment of %s %s", c->executable, reason);
    return mioc_check_say(c, "mpi4py", "none, or of the same MPI");
}

/* The plug-in that is asked for, or one that can be loaded and is of the environment's MPI; the first one's failure
 * counts. */
static int check_plugins(struct mioc_check *c)
{
    static const char *const known[] = { "mpich", "openmpi" };
    static struct mioc_check first;

    if (strcmp(mioc_config()->mpi, "auto") != 0)
        return check_mpi(c, mioc_config()->mpi) != 0 || check_mpi4py(c) != 0 ? -1 : 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char note_before[sizeof c->note];

        memcpy(note_before, c->note, sizeof note_before);
        if (check_mpi(c, known[i]) == 0 && check_mpi4py(c) == 0)
            return 0;
        if (i == 0)
            first = *c;
        memcpy(c->note, note_before, sizeof note_before);
    }
    *c = first;
    return -1;
}

/* --- What carries it --------------------------------------------------------------------------------------------- */

static int check_mpi_transport(struct mioc_check *c)
{
    char reason[256];

    if (c->is_task && !mioc_role_can_start_mpi(&c->me, reason, sizeof reason))
        return mioc_check_fail(c, mioc_advice(reason), "%s", reason);
    return check_plugins(c);
}

/* Whether TCP carries it: what MPIIO_CACHE_TRANSPORT says; auto is TCP where that can be had. 1, 0, or -1: neither can,
 * and MPI's failure counts. --verbose looks at both all the same. */
static int choose_transport(struct mioc_check *c)
{
    static struct mioc_check tcp;
    int can_mpi, can_tcp;

    if (mioc_config()->transport == MIOC_TRANSPORT_TCP)
        return mioc_check_tcp(c) == 0 ? 1 : -1;
    if (mioc_config()->transport == MIOC_TRANSPORT_MPI)
        return check_mpi_transport(c);
    tcp = *c;
    can_tcp = mioc_check_tcp(&tcp) == 0;
    mioc_check_say(c, "TCP", can_tcp ? "yes, with %s" : "no: %s", can_tcp ? tcp.secret : tcp.verdict);
    can_mpi = (!can_tcp || c->is_verbose) && check_mpi_transport(c) == 0;
    if (!can_mpi && (!can_tcp || c->is_verbose))
        mioc_check_say(c, "MPI", "no: %s", c->verdict);
    if (can_tcp)
        *c = tcp;
    return can_tcp ? 1 : can_mpi ? 0 : -1;
}

static int check_paths(struct mioc_check *c)
{
    static struct mioc_policy policy;
    char *argv[] = { c->executable, NULL }, cwd[PATH_MAX];
    const struct mioc_policy_source source = { .exec_fn = c->executable,
                                               .exe = c->real,
                                               .cwd = getcwd(cwd, sizeof cwd) != NULL ? cwd : "/",
                                               .argv = argv,
                                               .env = environ,
                                               .mountinfo = "/proc/self/mountinfo" };

    if (mioc_policy_build(&policy, &source, mioc_config()) != 0 || policy.count == 0) {
        mioc_check_note(
            c,
            "note: nothing that %s imports from is on a shared filesystem: its jobs stay inactive (MPIIO_CACHE_PATHS "
            "adds more)",
            c->executable);
        return mioc_check_say(c, "cached", "nothing: not on a shared filesystem");
    }
    for (unsigned i = 0; i < policy.count; i++)
        mioc_check_say(c, i == 0 ? "cached" : "", "%s%s", policy.prefix[i].path,
                       policy.prefix[i].kind == MIOC_POLICY_LIBRARY ? "" : " (imports only)");
    return 0;
}

/* --- All --------------------------------------------------------------------------------------------------------- */

static int check_all(struct mioc_check *c)
{
    int has_tcp;

    if (mioc_command_find_library(LIBRARY, c->library, sizeof c->library) != 0)
        return mioc_check_fail(c, "install it", "%s is not installed beside this program", LIBRARY);
    mioc_check_say(c, "library", "%s", c->library);
    if (ask_python(c) != 0 || check_configuration(c) != 0 || check_loader(c) != 0 || check_store(c) != 0 ||
        (has_tcp = choose_transport(c)) < 0 || check_paths(c) != 0)
        return -1;
    mioc_check_say(c, "transport", has_tcp ? "TCP" : "MPI");
    snprintf(c->verdict, sizeof c->verdict, "%s%s, a store in %s, %s %s", has_tcp ? "TCP with " : "",
             has_tcp ? c->secret : c->mpi, mioc_config()->dir, c->executable, c->version);
    mioc_check_note(c, "note: start jobs with %s, and LD_PRELOAD=%s",
                    has_tcp                                ? "srun or MPICH's mpiexec"
                    : strstr(c->plugin, "openmpi") != NULL ? "srun --mpi=pmix or Open MPI's mpiexec"
                                                           : "srun --mpi=pmi2 or MPICH's mpiexec",
                    c->library);
    return 0;
}

int mioc_command_check(int argc, char **argv)
{
    static struct mioc_check c;
    int rc;

    snprintf(c.python, sizeof c.python, "python3");
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--verbose") == 0 || strcmp(argv[i], "-v") == 0)
            c.is_verbose = 1;
        else if (strcmp(argv[i], "--python") == 0 && i + 1 < argc)
            snprintf(c.python, sizeof c.python, "%s", argv[++i]);
        else
            return mioc_command_usage("check: expected --verbose or --python PROGRAM, not %s", argv[i]);
    }
    unsetenv("LD_PRELOAD"); /* of what runs below */
    c.is_task = mioc_role_find_launcher(&c.me, environ);
    setvbuf(stdout, NULL, _IOLBF, 0);
    rc = check_all(&c);
    printf("%s: %s\n%s\n", rc == 0 ? "yes" : "no", c.verdict, c.note);
    return rc == 0 ? 0 : 1;
}
