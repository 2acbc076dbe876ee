/* SPDX-License-Identifier: BSD-3-Clause */
/* check_tcp.c - mpiio-cache check: whether TCP could carry it here: the agent's program, a port, a secret, the
 * job step. */
#include "transport/secret.h"
#include "check_internal.h"
#include "command.h"
#include "base/config.h"
#include "job/hostlist.h"
#include "job/hosts.h"
#include "job/step.h"
#include "launch/advice.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* How many names are looked up, and the seconds after which no further one is. */
#define NAMES_MAX 1024
#define NAMES_SECONDS 5

static int check_agent(struct mioc_check *c)
{
    char path[PATH_MAX];
    struct statvfs options;

    if (mioc_command_find_helper("agent", path, sizeof path) != 0)
        return mioc_check_fail(c, "build and install it with libsodium",
                               "the agent's program libexec/mpiio_cache/agent is not there");
    /* The kernel says no more than "permission denied". */
    if (statvfs(path, &options) == 0 && (options.f_flag & ST_NOEXEC) != 0)
        return mioc_check_fail(c, "install it on a filesystem that is not mounted noexec",
                               "the agent's program %s is on a filesystem that is mounted noexec", path);
    if (access(path, X_OK) != 0)
        return mioc_check_fail(c, "make it executable", "the agent's program %s cannot be executed: %s", path,
                               strerror(errno));
    return mioc_check_say(c, "agent", "%s", path);
}

/* In the child. What the loader says is read, too: libsodium may be missing. */
static void run_network(const char *path, int out)
{
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl(path, path, (char *)NULL);
    dprintf(out, "%s: %s", path, strerror(errno));
    _exit(127);
}

/* Whether hydra's name service says where the nodes are. */
static int has_hydra(const struct mioc_check *c) { return c->me.launcher == MIOC_LAUNCHER_HYDRA && !c->me.has_hosts; }

/* Whether tasks of this launcher find a secret by themselves: hydra has names for its job, and PALS's and Cray's word
 * is in the environment. Outside of a job nobody can tell. */
static int needs_secret(const struct mioc_check *c)
{
    const char *word = getenv("PMI_SHARED_SECRET");

    return c->is_task && !has_hydra(c) && (word == NULL || strlen(word) < MIOC_SECRET_WORD_MIN);
}

/* What network.c says of the secret, behind "+" or "-". */
static int judge_secret(struct mioc_check *c, const char *word)
{
    static const char remedy[] =
        "have MUNGE started on all nodes; or make a file of 32 random bytes, mode 0600, and name it by "
        "MPIIO_CACHE_KEYFILE";

    if (word[0] == '+') {
        snprintf(c->secret, sizeof c->secret, "%.1090s", word + 1);
        return mioc_check_say(c, "secret", "%s", c->secret);
    }
    if (needs_secret(c) || mioc_config()->keyfile[0] != '\0')
        return mioc_check_fail(c, remedy, "%s", word + 1);
    snprintf(c->secret, sizeof c->secret, "the launcher's secret");
    mioc_check_note(c, "note: only launchers that bring a secret (MPICH's mpiexec, Cray's PMI) can be used: %s",
                    word + 1);
    return mioc_check_say(c, "secret", "none: %s", word + 1);
}

static int check_network(struct mioc_check *c)
{
    char path[PATH_MAX], text[4096], *secret;
    int ends[2], rc;
    pid_t child;

    if (mioc_command_find_helper("network", path, sizeof path) != 0)
        return mioc_check_fail(c, "build and install it with libsodium",
                               "the program libexec/mpiio_cache/network is not there");
    if (pipe(ends) != 0 || (child = fork()) < 0)
        return mioc_check_fail(c, "free some memory", "%s", strerror(errno));
    if (child == 0)
        run_network(path, ends[1]);
    close(ends[1]);
    rc = mioc_check_read_child(child, ends[0], text, sizeof text);
    secret = text + strcspn(text, "\n");
    if (*secret != '\0')
        *secret++ = '\0';
    secret[strcspn(secret, "\n")] = '\0';
    if (rc != 0 && text[0] != '+' && text[0] != '-')
        return mioc_check_fail(c, "install libsodium (Debian: libsodium23)", "%s", text);
    if (text[0] == '-')
        return mioc_check_fail(c, "set MPIIO_CACHE_INTERFACE and MPIIO_CACHE_PORTS to what this node has", "%s",
                               text + 1);
    mioc_check_say(c, "network", "%s", text + 1);
    return judge_secret(c, rc == 0 ? secret : "-MUNGE: munged does not answer");
}

/* --- The nodes --------------------------------------------------------------------------------------------------- */

/* Looks names up, as the agents do. Returns the first that leads nowhere, in name[size], or NULL. */
static const char *find_lost_name(int count, int (*name_of)(const void *hosts, int k, char *name, size_t size),
                                  const void *hosts, char *name, size_t size)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    time_t until = time(NULL) + NAMES_SECONDS;
    struct addrinfo *found;

    for (int k = 0; k < count && k < NAMES_MAX && time(NULL) < until; k++) {
        if (name_of(hosts, k, name, size) != 0 || getaddrinfo(name, NULL, &hints, &found) != 0)
            return name;
        freeaddrinfo(found);
    }
    return NULL;
}

static int name_in_step(const void *step, int k, char *name, size_t size)
{
    return mioc_step_host(step, k, name, size);
}

static int name_in_list(const void *hosts, int k, char *name, size_t size)
{
    return mioc_hostlist_name(((const struct mioc_hosts *)hosts)->names, k, name, size);
}

static void note_lost(struct mioc_check *c, const char *name)
{
    if (name != NULL)
        mioc_check_note(c, "note: the host %s cannot be looked up here (getent hosts): nodes below it are uncached",
                        name);
}

/* Only a task can look at its step. hydra says it over PMI, to the agent. */
static int check_step(struct mioc_check *c)
{
    struct mioc_step step;
    char reason[256], name[256];

    if (mioc_step_find(&step, &c->me, environ, reason, sizeof reason) != 0)
        return mioc_check_fail(c, mioc_advice(reason), "%s", reason);
    if (step.nodes > 1 && mioc_step_host(&step, step.node, name, sizeof name) == 0)
        mioc_check_say(c, "step", "%s, node %d of %d (%s)", step.name, step.node, step.nodes, name);
    else
        mioc_check_say(c, "step", "%s, node %d of %d", step.name, step.node, step.nodes);
    if (step.nodes > 1)
        note_lost(c, find_lost_name(step.nodes, name_in_step, &step, name, sizeof name));
    mioc_step_free(&step);
    return 0;
}

/* Outside of a job: what the list would make of this host, which may be none of the job's. */
static int check_hosts(struct mioc_check *c)
{
    struct mioc_hosts hosts;
    char reason[256], name[256];
    int k;

    if (mioc_hosts_read(&hosts, mioc_config()->hosts, "MPIIO_CACHE_HOSTS", reason, sizeof reason) != 0)
        return mioc_check_fail(c, mioc_advice(reason), "%s", reason);
    k = mioc_hosts_find_this(&hosts, "MPIIO_CACHE_HOSTS", reason, sizeof reason);
    if (k < 0) {
        mioc_check_note(c, "note: %s: a task here would be uncached", reason);
        mioc_check_say(c, "hosts", "%d, and %s", hosts.count, reason);
    } else if (mioc_hostlist_name(hosts.names, k, name, sizeof name) == 0) {
        mioc_check_say(c, "hosts", "%d, and this one is node %d (%s)", hosts.count, k, name);
    }
    note_lost(c, find_lost_name(hosts.count, name_in_list, &hosts, name, sizeof name));
    mioc_hosts_free(&hosts);
    return 0;
}

static int check_nodes(struct mioc_check *c)
{
    if (c->is_task)
        return has_hydra(c) ? 0 : check_step(c);
    return mioc_config()->hosts[0] != '\0' ? check_hosts(c) : 0;
}

int mioc_check_tcp(struct mioc_check *c)
{
    return check_agent(c) != 0 || check_network(c) != 0 || check_nodes(c) != 0 ? -1 : 0;
}
