/* SPDX-License-Identifier: BSD-3-Clause */
/* role.c - what this process is: rank, guest or dormant, and why. */
#include "role.h"
#include "base/decimal.h"
#include "rendezvous.h"
#include "loader/loader.h"
#include "base/proc.h"
#include "base/real.h"
#include "store/store.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

#define PLUGIN "libmpiio_cache_"
#define HEIR ":pmi"
/* MPIIO_CACHE_TIMEOUT is made for calls and may be shorter, but ranks do not start so close to each other. */
#define LEAST_DEADLINE_MS 4000

static pid_t marked;             /* this process has had its turn as a task: a program that replaces it is no rank */
static int is_heir;              /* the program before the exec left this one the launcher's process manager */
static int has_several_programs; /* the launcher's mark says so */

/* The loader binds these when it loads the library, for the price of a symbol lookup. A dlsym() that fails would
 * allocate, in every process. */
extern int Py_BytesMain(int argc, char **argv) __attribute__((weak));
extern int Py_Main(int argc, wchar_t **argv) __attribute__((weak));

int mioc_role_is_interpreter(void) { return Py_BytesMain != NULL || Py_Main != NULL; }

/* Fills in the path of the plug-in, which lies beside the library; MPIIO_CACHE_MPI or the launcher's process manager
 * says of which MPI. 0, or -1: there is none, and `path` is the MPI's name. */
static int find_plugin(const struct mioc_task *me, const struct mioc_config *config, char *path, size_t size)
{
    const char *mpi = strcmp(config->mpi, "auto") != 0 ? config->mpi : me->has_pmix ? "openmpi" : "mpich";
    Dl_info info;
    char real[1024];
    const char *slash;

    if (dladdr((void *)mioc_role_decide, &info) == 0 || info.dli_fname == NULL)
        return -1;
    slash = strrchr(info.dli_fname, '/');
    if ((size_t)snprintf(path, size, "%.*s" PLUGIN "%s.so", slash != NULL ? (int)(slash + 1 - info.dli_fname) : 0,
                         info.dli_fname, mpi) >= size)
        return -1;
    if (syscall(SYS_faccessat, AT_FDCWD, path, R_OK) == 0)
        return 0;
    /* The loader's path may be a symbolic link: look beside its target, too. */
    if (mioc_real(realpath)(info.dli_fname, real) == NULL || (slash = strrchr(real, '/')) == NULL ||
        (size_t)snprintf(path, size, "%.*s/" PLUGIN "%s.so", (int)(slash - real), real, mpi) >= size ||
        syscall(SYS_faccessat, AT_FDCWD, path, R_OK) != 0) {
        snprintf(path, size, "%s", mpi);
        return -1;
    }
    return 0;
}

/* --- What survives exec ------------------------------------------------------------------------------------------ */

/* Removes it in place, because main() and environ get this very vector. */
static void remove_variable(char **env, const char *assignment)
{
    char **to = env;

    for (; *env != NULL; env++)
        if (strncmp(*env, assignment, strlen(assignment)) != 0)
            *to++ = *env;
    *to = NULL;
}

/* A program that replaces a rank looks like a task to the launcher's variables, so a mark tells it apart; the next exec
 * puts the mark back. The launcher's mark stays in programs that are no interpreter, as a shell must pass it on. */
void mioc_role_note_marks(char **env)
{
    const char *mark = mioc_proc_getenv(env, "MPIIO_CACHE_CLAIMED"), *word = mioc_proc_getenv(env, MIOC_ROLE_LAUNCH);
    char *end;

    if (mark != NULL) {
        if (*mark != '\0' && strtol(mark, &end, 10) == (long)getpid() && (*end == '\0' || strcmp(end, HEIR) == 0)) {
            marked = getpid();
            is_heir = *end != '\0';
        }
        remove_variable(env, MIOC_ROLE_MARK);
    }
    if (word != NULL && mioc_role_is_interpreter()) {
        has_several_programs = strcmp(word, "several") == 0;
        remove_variable(env, MIOC_ROLE_LAUNCH "=");
    }
}

int mioc_role_is_heir(void) { return is_heir && marked == getpid(); }

int mioc_role_is_marked(void)
{
    return marked != 0 && marked == getpid(); /* a forked child is no task, and needs no mark */
}

char *const *mioc_role_mark_exec(char *const *envp, char **space, size_t entries, char *text, int has_heir)
{
    size_t k = 0;

    if (!mioc_role_is_marked())
        return envp;
    for (size_t i = 0; envp != NULL && envp[i] != NULL; i++)
        if (strncmp(envp[i], MIOC_ROLE_MARK, sizeof MIOC_ROLE_MARK - 1) != 0) {
            if (k + 2 >= entries)
                return envp;
            space[k++] = envp[i];
        }
    memcpy(text, MIOC_ROLE_MARK, sizeof MIOC_ROLE_MARK - 1);
    strcpy(mioc_decimal(text + sizeof MIOC_ROLE_MARK - 1, (uint64_t)getpid()), has_heir ? HEIR : "");
    space[k++] = text;
    space[k] = NULL;
    return space;
}

/* --- The decision ------------------------------------------------------------------------------------------------ */

struct context {
    const struct mioc_task *me;
    char *const *env;
    int64_t timeout_ms;
};

static int check_mpi4py(const struct context *context, char *reason, size_t size)
{
    char exe[1024], version[16];
    struct mioc_role_python python = {
        .version = version, .exe = exe, .env = context->env, .exec_fn = (const char *)getauxval(AT_EXECFN)
    };

    if (mioc_policy_python_version(version, sizeof version) != 0 || mioc_proc_exe(getpid(), exe, sizeof exe) != 0)
        return 0; /* an embedded interpreter: nobody can tell which mpi4py it imports */
    if (python.exec_fn == NULL)
        python.exec_fn = exe;
    return mioc_role_check_mpi4py(&python, context->me->plugin, reason, size);
}

/* These checks may read the shared filesystem, so only the node's leader makes them. */
static int look(void *ctx, char *reason, size_t size)
{
    const struct context *context = ctx;

    if (check_mpi4py(context, reason, size) != 0)
        return -1;
    return mioc_role_check_load(context->me->plugin, context->env, context->timeout_ms, reason, size);
}

static void be_dormant(struct mioc_task *me, const char *reason)
{
    me->role = MIOC_DORMANT;
    if (reason != me->reason)
        snprintf(me->reason, sizeof me->reason, "%s", reason);
}

/* Builds the policy. Whether it has a prefix; if not, this process is dormant. */
static int has_paths(struct mioc_task *me, const struct mioc_config *config, struct mioc_policy *policy, int argc,
                     char **argv)
{
    if (mioc_policy_build_self(policy, argc, argv, config) == 0 && policy->count > 0)
        return 1;
    be_dormant(me, "nothing that this Python imports from is on a shared filesystem");
    return 0;
}

/* Checks all that can differ between tasks and would hang MPI's start; the other tasks learn the result. 0, or -1 and
 * the reason in me->reason. */
static int agree(struct mioc_task *me, const struct mioc_config *config, char **envp)
{
    int64_t timeout_ms = config->timeout_ms < LEAST_DEADLINE_MS ? LEAST_DEADLINE_MS : (int64_t)config->timeout_ms;
    struct context context = { me, envp, timeout_ms };
    const struct mioc_rendezvous rendezvous = {
        .me = me, .env = envp, .look = look, .ctx = &context, .timeout_ms = timeout_ms
    };

    /* Below another MPI's launcher each rank would be a world of its own, or crash (seen: MPICH below Open MPI's
     * mpiexec). */
    if (strncmp(config->mpi, me->has_pmix ? "mpich" : "openmpi", me->has_pmix ? 5 : 7) == 0)
        snprintf(me->reason, sizeof me->reason, "MPIIO_CACHE_MPI=%s, but the launcher speaks %s", config->mpi,
                 me->has_pmix ? "PMIx" : "PMI");
    else if (find_plugin(me, config, me->plugin, sizeof me->plugin) != 0)
        snprintf(me->reason, sizeof me->reason, "the MPI plug-in " PLUGIN "%.64s.so is not beside libmpiio_cache.so",
                 me->plugin);
    else if (mioc_role_check_alone(me, me->reason, sizeof me->reason) == 0) {
        mioc_loader_patch(config); /* it needs a process with one thread; the rendezvous and MPI start more */
        return mioc_rendezvous(&rendezvous, me->reason, sizeof me->reason);
    }
    mioc_rendezvous_decline(&rendezvous, me->reason);
    return -1;
}

/* The lower 16 bits of a job's name number the jobs of one mpiexec: 1 is the job that it was called for. */
static int is_spawned_by_openmpi(const struct mioc_task *me, char *const *env)
{
    const char *name = mioc_proc_getenv(env, "OMPI_MCA_ess_base_jobid");

    return me->launcher == MIOC_LAUNCHER_OPENMPI && name != NULL && (strtoul(name, NULL, 10) & 0xffff) > 1;
}

/* Whether TCP is to be used. Open MPI's mpiexec does not say where the other nodes are, so there `auto` is MPI, unless
 * the user says it. */
static int takes_tcp(const struct mioc_task *me, const struct mioc_config *config)
{
    return config->transport == MIOC_TRANSPORT_TCP ||
           (config->transport == MIOC_TRANSPORT_AUTO && (me->launcher != MIOC_LAUNCHER_OPENMPI || me->has_hosts));
}

/* By MPI all tasks must come to the same decision. 0, or -1 and the reason in me->reason. */
static int join_by_mpi(struct mioc_task *me, const struct mioc_config *config, char **envp)
{
    if (has_several_programs) /* all tasks have that mark: tell nobody */
        snprintf(me->reason, sizeof me->reason, "the launcher was given several programs (MPMD)");
    else if (mioc_role_can_start_mpi(me, me->reason, sizeof me->reason))
        return agree(me, config, envp);
    return -1;
}

/* By TCP each node comes by itself. */
static int join_by_tcp(struct mioc_task *me)
{
    me->transport = MIOC_BY_TCP;
    if (me->launcher != MIOC_LAUNCHER_OPENMPI || me->has_hosts)
        return 0;
    snprintf(me->reason, sizeof me->reason, "Open MPI's mpiexec does not say where the nodes are");
    return -1;
}

static void decide_task(struct mioc_task *me, const struct mioc_config *config, struct mioc_policy *policy, int argc,
                        char **argv, char **envp)
{
    int is_second = marked != 0, is_tcp = takes_tcp(me, config);

    /* A task that stays dormant has had its turn, too: if it alone execs another Python, that one must not start an MPI
     * that no other task starts. */
    marked = getpid();
    if (is_second && !is_tcp)
        be_dormant(me, "this program replaced a rank by exec");
    else if (mioc_proc_getenv(envp, "PMI_SPAWNED") != NULL ||
             mioc_proc_getenv(envp, "SLURM_PMI2_SPAWNER_JOBID") != NULL || is_spawned_by_openmpi(me, envp))
        be_dormant(me, "started by MPI_Comm_spawn"); /* a world of its own, on its parents' nodes */
    else if (me->size == 1)
        be_dormant(me, "one rank");
    else if (!has_paths(me, config, policy, argc, argv))
        return;
    else if ((is_tcp ? join_by_tcp(me) : join_by_mpi(me, config, envp)) != 0)
        be_dormant(me, me->reason);
    else
        me->role = MIOC_RANK;
}

static void decide_other(struct mioc_task *me, const struct mioc_config *config, struct mioc_policy *policy, int argc,
                         char **argv)
{
    if (me->launcher == MIOC_LAUNCHER_NONE)
        be_dormant(me, "started neither by mpiexec nor by srun");
    else if (mioc_store_find(config->dir, me->key, me->store, sizeof me->store) != 0)
        be_dormant(me, "no rank of this job step has a store on this node");
    else if (has_paths(me, config, policy, argc, argv))
        me->role = MIOC_GUEST;
}

static int is_forbidden(struct mioc_task *me, const struct mioc_config *config, char **argv, char **envp)
{
    char exe[1024];

    if (mioc_proc_exe(getpid(), exe, sizeof exe) != 0)
        exe[0] = '\0';
    return mioc_site_forbids(&config->site, exe, mioc_policy_script(argv, envp), me->reason, sizeof me->reason);
}

void mioc_role_decide(struct mioc_task *me, const struct mioc_config *config, struct mioc_policy *policy, int argc,
                      char **argv, char **envp)
{
    int saved = errno, is_task;

    memset(me, 0, sizeof *me);
    me->role = MIOC_DORMANT;
    me->rank = me->size = me->local_rank = -1;
    policy->count = policy->excludes = 0;
    if (!mioc_role_is_interpreter())
        return;
    is_task = mioc_role_find_launcher(me, envp);
    if (config->disable)
        be_dormant(me, "MPIIO_CACHE_DISABLE is set");
    else if (is_forbidden(me, config, argv, envp))
        return;
    else if (is_task)
        decide_task(me, config, policy, argc, argv, envp);
    else if (me->reason[0] == '\0')
        decide_other(me, config, policy, argc, argv);
    errno = saved;
}
