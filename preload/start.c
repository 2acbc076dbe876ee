/* SPDX-License-Identifier: BSD-3-Clause */
/* start.c - runs between the loader and main(): decides what this process is, and starts that. */
#include "launch/rendezvous.h"
#include "launch/writer_join.h"
#include "client/client.h"
#include "launch/agent_start.h"
#include "launch/agent_twin.h"
#include "base/config.h"
#include "launch/pmi_relay.h"
#include "observe/job.h"
#include "interpose/wrap_loader.h"
#include "base/log.h"
#include "launch/process.h"
#include "launch/advice.h"
#include "store/ring.h"
#include "launch/role.h"
#include "interpose/serve.h"
#include "start.h"
#include "launch/end.h"
#include "base/stats.h"
#include "observe/trace.h"
#include "base/credentials.h"
#include "node/node.h"
#include "node/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

typedef int (*main_function)(int argc, char **argv, char **envp);
typedef int (*start_function)(main_function main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                              void (*rtld_fini)(void), void *stack_end);

#define INACTIVE "inactive: "

static main_function program_main;
static struct mioc_task me;
static struct mioc_policy policy;
static char line[384];       /* mioc_start_line(), for the log and the statistics too */
static int has_other_rights; /* than the node's agent: this rank's own trouble, and it says so */

/* --- Starts ------------------------------------------------------------------------------------------------------ */

static void complain(const struct mioc_config *config)
{
    if (config->complaints == 1)
        mioc_log(MIOC_LOG_WARN, "%s", config->complaint);
    else if (config->complaints > 1)
        mioc_log(MIOC_LOG_WARN, "%s (and %u more)", config->complaint, config->complaints - 1);
}

/* Prints cause, consequence and advice. */
static void say_inactive(enum mioc_log_level level)
{
    const char *advice = mioc_advice(line);

    mioc_log(level, "%s; running uncached%s%s", line, advice != NULL ? ". " : "", advice != NULL ? advice : "");
}

static void start_dormant(const struct mioc_config *config, char **argv)
{
    mioc_loader_unpatch();
    if (mioc_rendezvous_open_relay())
        mioc_end_as_heir();
    if (me.reason[0] != '\0')
        snprintf(line, sizeof line, INACTIVE "%s", me.reason);
    if (me.rank > 0)
        return; /* rank 0 speaks for all */
    if (me.rank == 0 || me.launcher == MIOC_LAUNCHER_NONE)
        complain(config);
    if (line[0] != '\0')
        say_inactive(MIOC_LOG_INFO);
    if (!config->stats || (me.rank != 0 && !config->disable))
        return;
    mioc_job_note(argv, environ);
    mioc_stats_use(NULL, 1);
    mioc_end_with_report();
}

static void serve(struct mioc_store *store, const struct mioc_config *config, int rank)
{
    struct mioc_stats *block = mioc_ring_stats_claim(mioc_store_ring(store), getpid(), rank);

    mioc_stats_use(block, config->stats || mioc_trace_is_on());
    mioc_loader_set_answer(mioc_answer_loader);
    mioc_client_start(store, &policy, rank);
}

static void serve_guest(struct mioc_store *store, const struct mioc_config *config)
{
    mioc_loader_start(store, 0);
    snprintf(line, sizeof line, "active: served beside the ranks of its node, loader %s", mioc_loader_text());
    serve(store, config, -1);
}

static void start_guest(const struct mioc_config *config)
{
    struct mioc_store *store = mioc_store_attach(me.store);

    /* Its rank has printed all that there is to say. */
    if (config->log < MIOC_LOG_DEBUG)
        mioc_log_set_level(MIOC_LOG_WARN);
    /* With other credentials, in a chroot or a container, the same names mean other files. Its writes are told. */
    if (store == NULL || mioc_store_credentials(store) != mioc_credentials()) {
        if (store != NULL)
            (void)mioc_client_start_telling(store, &policy);
        mioc_writer_join_allow();
        return;
    }
    mioc_loader_patch(config);
    serve_guest(store, config);
}

/* For a rank that does not become active: no other thread uses the trace. */
static void end_trace(int fd)
{
    mioc_trace_end();
    if (fd >= 0)
        (void)mioc_real(close)(fd);
}

/* Rank 0 speaks for all. */
static void begin_rank(const struct mioc_config *config, char **argv)
{
    if (me.rank == 0) {
        complain(config);
        mioc_job_note(argv, environ);
    } else if (config->log == MIOC_LOG_INFO) {
        mioc_log_set_level(MIOC_LOG_WARN);
    }
}

/* Attaches to the node's store, whose agent is a process of its own. Returns NULL with the reason. The loader is
 * patched while there is one thread, and while the agent's program is loaded. */
static struct mioc_store *join_agent(const struct mioc_config *config, int *is_guest, char *reason, size_t size)
{
    struct mioc_store *store;
    enum mioc_twin twin;

    mioc_agent_begin(&me, config, &policy, reason, size);
    mioc_loader_patch(config);
    store = mioc_agent_await();
    if (store == NULL)
        return NULL;
    if (mioc_store_credentials(store) != mioc_credentials()) {
        snprintf(reason, size, "the ranks of a node were started with different rights");
        has_other_rights = 1;
    } else if ((twin = mioc_agent_twin(&me, store, reason, size)) != MIOC_TWIN_OTHER) {
        *is_guest = twin == MIOC_TWIN_ABOVE;
        return store;
    }
    mioc_store_detach(store);
    return NULL;
}

/* Whether this host's place in the list of hosts is what is wrong: rank 0 elsewhere cannot know. One rank says it. */
static int is_own_trouble(void)
{
    return (me.has_hosts || me.launcher == MIOC_LAUNCHER_OTHER) && me.local_rank <= 0 &&
           strncmp(line + strlen(INACTIVE), "this host", 9) == 0;
}

static void start_rank_beside_agent(const struct mioc_config *config, char **argv)
{
    struct mioc_store *store;
    char count[16] = ""; /* where the launcher says how many */
    unsigned nodes;
    int trace_fd, is_guest = 0;

    begin_rank(config, argv);
    store = join_agent(config, &is_guest, line + strlen(INACTIVE), sizeof line - strlen(INACTIVE));
    if (store == NULL) {
        memcpy(line, INACTIVE, strlen(INACTIVE));
        mioc_loader_unpatch();
        mioc_writer_join_allow(); /* other ranks may be served, and must hear of its writes */
        mioc_end_as_heir();       /* it may have spoken with the launcher */
        if (me.rank == 0 || has_other_rights || is_own_trouble())
            say_inactive(strstr(line, "of such a job already") != NULL && mioc_agent_is_orphan() ? MIOC_LOG_INFO
                                                                                                 : MIOC_LOG_WARN);
        return;
    }
    if (is_guest) {
        serve_guest(store, config);
        return;
    }
    trace_fd = mioc_trace_start(config, MIOC_TRACE_RANK, me.rank);
    if (trace_fd >= 0)
        mioc_plugin_protect_fd(trace_fd);
    mioc_loader_start(store, 0);
    serve(store, config, me.rank);
    mioc_pmi_relay_share(mioc_store_ring(store));
    mioc_ring_wake(mioc_store_ring(store)); /* the agent watches this process from now on */
    mioc_end_as_rank_beside_agent(me.rank);
    mioc_process_set_end(mioc_end_quickly_beside_agent);
    nodes = mioc_ring_nodes(mioc_store_ring(store));
    if (me.size > 0)
        snprintf(count, sizeof count, "%d ", me.size);
    snprintf(line, sizeof line, "active: %sranks on %u node%s, TCP, loader %s", count, nodes, nodes == 1 ? "" : "s",
             mioc_loader_text());
    if (me.rank == 0)
        mioc_log(MIOC_LOG_INFO, "%s", line);
}

static void start_rank(const struct mioc_config *config, char **argv)
{
    struct mioc_store *store = NULL;
    int rc, trace_fd = mioc_trace_start(config, MIOC_TRACE_RANK, me.rank); /* while there is one thread */

    begin_rank(config, argv);
    mioc_rendezvous_before_mpi(&me);
    rc = mioc_node_start(&me, config, &policy, &store, line, sizeof line);
    if (trace_fd >= 0 && rc == 0)
        mioc_plugin_protect_fd(trace_fd);
    if (rc == 0)
        serve(store, config, me.rank);
    else
        end_trace(trace_fd);
    if (rc != 0)
        mioc_writer_join_allow(); /* other ranks may be served, and must hear of its writes */
    mioc_plugin_settle();
    mioc_rendezvous_after_mpi();
    mioc_process_guard();
    mioc_end_as_rank();
    if (rc != 0) {
        memmove(line + strlen(INACTIVE), line, sizeof line - strlen(INACTIVE));
        memcpy(line, INACTIVE, strlen(INACTIVE));
        line[sizeof line - 1] = '\0';
    }
    if (me.rank == 0 && rc == 0)
        mioc_log(MIOC_LOG_INFO, "%s", line);
    else if (me.rank == 0)
        say_inactive(MIOC_LOG_WARN);
}

static void start(int argc, char **argv, char **envp)
{
    const struct mioc_config *config;
    int saved = errno;

    /* The program has more rights than the user who started it. Only an administrator can have preloaded us there. The
     * user's environment must not say what such a program writes, and where. */
    if (getauxval(AT_SECURE) != 0)
        return;
    mioc_end_set_line(line);
    mioc_role_note_marks(envp);
    if (mioc_role_is_heir() && mioc_pmi_relay_take(envp) == 0)
        mioc_end_as_heir();
    if (!mioc_role_is_interpreter()) {
        mioc_role_mark_launch(argc, argv);
        mioc_writer_join_allow();
        return;
    }
    mioc_real_bind();
    config = mioc_config();
    mioc_role_decide(&me, config, &policy, argc, argv, envp);
    switch (me.role) {
    case MIOC_RANK:
        if (me.transport == MIOC_BY_TCP)
            start_rank_beside_agent(config, argv);
        else
            start_rank(config, argv);
        break;
    case MIOC_GUEST: start_guest(config); break;
    case MIOC_DORMANT:
        start_dormant(config, argv);
        mioc_writer_join_allow();
        break;
    }
    errno = saved;
}

const char *mioc_start_line(void) { return line; }

static int our_main(int argc, char **argv, char **envp)
{
    start(argc, argv, envp);
    return program_main(argc, argv, envp);
}

/* The program's start code calls this with its main. `init` and `fini` are NULL unless the program was linked before
 * glibc 2.34. glibc's own function takes both in every version. */
int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);

MIOC_EXPORT int __libc_start_main(main_function main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                                  void (*rtld_fini)(void), void *stack_end)
{
    start_function real = (start_function)dlsym(RTLD_NEXT, "__libc_start_main");

    program_main = main;
    return real(our_main, argc, argv, init, fini, rtld_fini, stack_end);
}
