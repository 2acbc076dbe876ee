/* SPDX-License-Identifier: BSD-3-Clause */
/* test_rendezvous.c - ranks as processes, on several nodes of this machine, and a name service as hydra's and as
 * srun's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "job/pmi_names.h"
#include "launch/rendezvous.h"
#include "launch/pmi_relay.h"
#include "job/pmi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_RANKS 64
#define MOST_NAMES 256
#define TIMEOUT_MS 600 /* where it is to run out, */
#define LONG_MS 30000  /* is not, whatever the load, */
#define MEDIUM_MS 2500 /* or may */
#define LATE_MS 800
/* A loaded machine is slow; nothing here may take as long as a hang. */
#define HANG_MS 60000

/* What a rank does instead of agreeing at once. */
enum conduct { AGREES, NEVER_COMES, COMES_LATE, COMES_TOO_LATE, DECLINES, DIES_AGREEING };

/* Whose words the process manager's are: MPICH 4.0's hydra, Slurm's, MPICH 4.2's hydra. */
enum manager { HYDRA, SLURM, NEW_HYDRA, MANAGERS };

struct job {
    int nodes, per_node;
    enum manager manager;
    int timeout_ms;
    enum conduct conduct[MOST_RANKS];
};

struct name {
    char name[160], value[300];
};

static uint64_t
    own_key; /* of the step on its first node: names of sockets are the machine's, process ids a namespace's */
static struct name names[MOST_NAMES];
static int names_count;
static int pmi[MOST_RANKS], out[MOST_RANKS];
static pid_t pid[MOST_RANKS];

/* --- A rank ------------------------------------------------------------------------------------------------------ */

static int look(void *ctx, char *reason, size_t size)
{
    (void)ctx;
    (void)reason;
    (void)size;
    return 0;
}

static void sleep_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000l }, NULL); }

/* Exit codes. */
enum { GO, STAY, NOT_HERE, STAY_LATE /* the deadline said so */ };

static int live(const struct job *job, int rank, int pmi_fd)
{
    struct mioc_task me = { .launcher = job->manager == SLURM ? MIOC_LAUNCHER_SLURM : MIOC_LAUNCHER_HYDRA,
                            .rank = rank,
                            .size = job->nodes * job->per_node,
                            .local_rank = rank % job->per_node,
                            .key = own_key + (uint64_t)(rank / job->per_node) };
    char fd[32], local[32], tasks[64], node[32], reason[256] = "";
    char *env[] = { fd, local, tasks, node, NULL };
    struct mioc_rendezvous rendezvous = { .me = &me, .env = env, .timeout_ms = job->timeout_ms, .look = look };
    pid_t self;
    int rc;

    snprintf(fd, sizeof fd, "PMI_FD=%d", pmi_fd);
    snprintf(local, sizeof local, "MPI_LOCALNRANKS=%d", job->per_node);
    snprintf(tasks, sizeof tasks, "SLURM_STEP_TASKS_PER_NODE=%d(x%d)", job->per_node, job->nodes);
    snprintf(node, sizeof node, "SLURM_NODEID=%d", rank / job->per_node);
    switch (job->conduct[rank]) {
    case NEVER_COMES: pause(); return NOT_HERE;
    case COMES_TOO_LATE: sleep_ms(TIMEOUT_MS * 13 / 10); break;
    case COMES_LATE: sleep_ms(LATE_MS); break;
    case DECLINES:
        mioc_rendezvous_decline(&rendezvous, "declined");
        (void)mioc_rendezvous_open_relay();
        pause();
        return NOT_HERE;
    case DIES_AGREEING:
        self = getpid();
        if (fork() == 0) {
            sleep_ms(LATE_MS / 4);
            (void)kill(self, SIGKILL);
            _exit(0);
        }
        break;
    case AGREES: break;
    }
    rc = mioc_rendezvous(&rendezvous, reason, sizeof reason);
    if (rc == 0) {
        mioc_rendezvous_before_mpi(&me);
        mioc_rendezvous_after_mpi();
    } else if (mioc_rendezvous_open_relay()) {
        mioc_pmi_relay_end();
    }
    if (rc != 0 && reason[0] == '\0')
        return 9;
    return rc == 0 ? GO : strstr(reason, "did not come within") != NULL ? STAY_LATE : STAY;
}

/* --- The name service -------------------------------------------------------------------------------------------- */

static struct name *find(const char *name)
{
    for (int i = 0; i < names_count; i++)
        if (strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

static void publish(const struct job *job, const char *name, const char *value, char *answer, size_t size)
{
    static const char *const taken[MANAGERS] = { "info=ok rc=1 msg=key_already_present", NULL, "rc=1" };
    static const char *const done[MANAGERS] = { "info=ok rc=0 msg=success", "info=ok", "rc=0" };
    struct name *known = find(name);

    if (known != NULL && taken[job->manager] != NULL) {
        snprintf(answer, size, "cmd=publish_result %s\n", taken[job->manager]);
        return;
    }
    if (known == NULL)
        known = &names[names_count++];
    snprintf(known->name, sizeof known->name, "%s", name);
    snprintf(known->value, sizeof known->value, "%s", value);
    snprintf(answer, size, "cmd=publish_result %s\n", done[job->manager]);
}

static void lookup(const struct job *job, const char *name, char *answer, size_t size)
{
    static const char *const missing[MANAGERS] = { "rc=1 msg=service_not_found", "info=fail", "rc=1" };
    static const char *const before[MANAGERS] = { "", "info=ok ", "rc=0 " };
    const struct name *known = find(name);

    if (known == NULL)
        snprintf(answer, size, "cmd=lookup_result %s\n", missing[job->manager]);
    else
        snprintf(answer, size, "cmd=lookup_result %sport=%s%s\n", before[job->manager], known->value,
                 job->manager == HYDRA ? " info=ok rc=0 msg=success" : "");
}

static void answer_one(const struct job *job, int rank)
{
    char line[1024], answer[1024] = "", name[160], value[300];
    ssize_t n = recv(pmi[rank], line, sizeof line - 1, 0);

    if (n <= 0) {
        close(pmi[rank]);
        pmi[rank] = -1;
        return;
    }
    line[n] = '\0';
    assert_true(names_count < MOST_NAMES && strchr(line, '\n') == line + n - 1);
    if (sscanf(line, "cmd=publish_name service=%159s port=%299s", name, value) == 2)
        publish(job, name, value, answer, sizeof answer);
    else if (sscanf(line, "cmd=lookup_name service=%159s", name) == 1)
        lookup(job, name, answer, sizeof answer);
    else if (strncmp(line, "cmd=get ", 8) == 0)
        snprintf(answer, sizeof answer, "cmd=get_result rc=0 value=(vector,(0,%d,%d))\n", job->nodes, job->per_node);
    else if (strcmp(line, "cmd=get_my_kvsname\n") == 0)
        snprintf(answer, sizeof answer, "cmd=my_kvsname kvsname=kvs_1_0\n");
    else if (strncmp(line, "cmd=init ", 9) == 0)
        snprintf(answer, sizeof answer, "cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n");
    else if (strcmp(line, "cmd=finalize\n") == 0)
        snprintf(answer, sizeof answer, "cmd=finalize_ack\n");
    else
        fail_msg("not understood: %s", line);
    (void)!send(pmi[rank], answer, strlen(answer), MSG_NOSIGNAL);
}

/* --- A job ------------------------------------------------------------------------------------------------------- */

/* No task runs before all are there, as with srun: who were missing then would count as ended. */
static void start(const struct job *job, int rank, const int gate[2])
{
    int pair[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fflush(stdout);
    pid[rank] = fork();
    if (pid[rank] == 0) {
        for (int i = 0; i < rank; i++)
            close(pmi[i]);
        close(pair[0]);
        close(gate[1]);
        (void)!read(gate[0], &byte, 1);
        _exit(live(job, rank, pair[1]));
    }
    close(pair[1]);
    pmi[rank] = pair[0];
}

/* Serves until all that were to come have ended; out[] becomes their exit codes, -signal. */
static void run(const struct job *job)
{
    int ranks = job->nodes * job->per_node, left = ranks;
    int64_t since = mioc_pmi_now_ms();
    int gate[2];

    names_count = 0;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < ranks; i++)
        start(job, i, gate);
    close(gate[0]);
    close(gate[1]);
    while (left > 0) {
        struct pollfd ready[MOST_RANKS];
        int status, are_waited_for = 0;

        assert_true(mioc_pmi_now_ms() < since + HANG_MS);
        for (int i = 0; i < ranks; i++)
            ready[i] = (struct pollfd){ .fd = pmi[i], .events = POLLIN };
        (void)poll(ready, (nfds_t)ranks, 5);
        for (int i = 0; i < ranks; i++)
            if (pmi[i] >= 0 && ready[i].revents != 0)
                answer_one(job, i);
        for (int i = 0; i < ranks; i++) {
            are_waited_for |= pid[i] != 0 && job->conduct[i] != NEVER_COMES && job->conduct[i] != DECLINES;
            if (pid[i] == 0 || waitpid(pid[i], &status, WNOHANG) != pid[i])
                continue;
            out[i] = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
            pid[i] = 0;
            left--;
        }
        for (int i = 0; i < ranks && !are_waited_for; i++)
            if (pid[i] != 0)
                (void)kill(pid[i], SIGKILL);
    }
    for (int i = 0; i < ranks; i++)
        if (pmi[i] >= 0)
            close(pmi[i]);
}

/* All that came to agree said `expected`, or where that is STAY_LATE, STAY. */
static void assert_all(const struct job *job, int expected)
{
    for (int i = 0; i < job->nodes * job->per_node; i++)
        if (out[i] >= 0 && !(expected == STAY_LATE && out[i] == STAY))
            assert_int_equal(out[i], expected);
}

static const struct {
    int nodes, per_node;
} shape[] = { { 1, 1 }, { 1, 6 }, { 2, 1 }, { 3, 2 }, { 20, 1 }, { 12, 3 } };

static void all_come_all_go(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof shape / sizeof *shape; i++)
        for (enum manager manager = HYDRA; manager < MANAGERS; manager++) {
            struct job job = { shape[i].nodes, shape[i].per_node, manager, LONG_MS, { AGREES } };

            run(&job);
            assert_all(&job, GO);
            if (i % MANAGERS != manager)
                continue;
            job.conduct[job.nodes * job.per_node - 1] = COMES_LATE;
            run(&job);
            assert_all(&job, GO);
        }
}

/* Each rank in turn does not take part: nobody goes, all within the time that is promised. */
static void one_is_missing_nobody_goes(void **state)
{
    static const struct {
        int nodes, per_node;
    } small[] = { { 1, 3 }, { 3, 1 }, { 2, 2 } };

    (void)state;
    for (unsigned i = 0; i < sizeof small / sizeof *small; i++)
        for (int rank = 0; rank < small[i].nodes * small[i].per_node; rank++)
            for (enum conduct how = NEVER_COMES; how <= DECLINES; how++) {
                struct job job = {
                    small[i].nodes, small[i].per_node, (int)(i + (unsigned)rank) % 2, TIMEOUT_MS, { AGREES }
                };

                if (how == COMES_LATE || (how == COMES_TOO_LATE && i < 2))
                    continue;
                job.conduct[rank] = how;
                if (how == DECLINES)
                    job.timeout_ms = LONG_MS;
                run(&job);
                assert_all(&job, how == DECLINES ? STAY : STAY_LATE);
            }
}

/* While they wait for the last one. (The only rank of a node: hydra kills the job, Slurm tells nobody.) */
static void one_dies_waiting_nobody_goes(void **state)
{
    static const struct {
        int nodes, per_node;
    } small[] = { { 1, 3 }, { 2, 2 } };

    (void)state;
    for (unsigned i = 0; i < sizeof small / sizeof *small; i++) {
        int ranks = small[i].nodes * small[i].per_node;

        for (int rank = 0; rank < ranks; rank++) {
            struct job job = { small[i].nodes, small[i].per_node, rank % 2, MEDIUM_MS, { AGREES } };

            job.conduct[rank] = DIES_AGREEING;
            job.conduct[(rank + 1) % ranks] = COMES_LATE;
            run(&job);
            assert_int_equal(out[rank], -SIGKILL);
            assert_all(&job, STAY_LATE); /* who knows ends here, and with it its mark */
        }
    }
}

/* Names can be guessed: who takes them first costs the cache, and time up to the deadline. */
static void names_taken_by_another_user_nobody_goes(void **state)
{
    static const char *const what[] = { "meet", "stay" };
    struct job job = { 1, 2, 0, TIMEOUT_MS, { AGREES } };
    int ready[2];
    pid_t squatter;
    char byte;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(ready), 0);
    squatter = fork();
    if (squatter == 0) {
        for (unsigned i = 0; i < 2; i++) {
            struct sockaddr_un address = { .sun_family = AF_UNIX };
            int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
            int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "mpiio_cache-0-%016llx-%s",
                                  (unsigned long long)own_key, what[i]);

            if ((i == 0 && setresuid(65534, 65534, 65534) != 0) ||
                bind(fd, (struct sockaddr *)&address,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0 ||
                listen(fd, 0) != 0)
                _exit(1);
        }
        (void)!write(ready[1], "r", 1);
        (void)pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    run(&job);
    for (int i = 0; i < 2; i++)
        assert_true(out[i] == STAY || out[i] == STAY_LATE);
    (void)kill(squatter, SIGKILL);
    (void)waitpid(squatter, NULL, 0);
    close(ready[0]);
}

static void mapping_is_understood(void **state)
{
    static const struct {
        const char *text;
        int size, rank, rc;
        struct mioc_pmi_place place;
    } row[] = {
        { "(vector,(0,2,2))", 4, 0, 0, { 2, 0, 1 } },
        { "(vector,(0,2,2))", 4, 1, 0, { 2, 0, 0 } },
        { "(vector,(0,2,2))", 4, 2, 0, { 2, 1, 1 } },
        { "(vector,(0,1,1))", 4, 3, 0, { 1, 0, 0 } },
        { "(vector,(0,2,1))", 5, 4, 0, { 2, 0, 0 } },
        { "(vector,(3,1,2),(0,2,1))", 4, 0, 0, { 3, 0, 1 } },
        { "(vector,(3,1,2),(0,2,1))", 4, 3, 0, { 3, 2, 1 } },
        { "(vector,(0,4,1000000))", 3, 2, 0, { 1, 0, 0 } },
        { "(vector,)", 4, 0, -1, { 0, 0, 0 } },
        { "(vector,(0,2,0))", 4, 0, -1, { 0, 0, 0 } },
        { "(vector,(-1,2,1))", 4, 0, -1, { 0, 0, 0 } },
        { "(vector,(0,99999999,1))", 4, 0, -1, { 0, 0, 0 } },
        { "(vector,(9999999999999,1,1))", 4, 0, -1, { 0, 0, 0 } },
        { "(vector,(0,2", 4, 0, -1, { 0, 0, 0 } },
        { "unknown", 4, 0, -1, { 0, 0, 0 } },
        { "", 4, 0, -1, { 0, 0, 0 } },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof row / sizeof *row; i++) {
        struct mioc_pmi_place place;

        assert_int_equal(mioc_pmi_parse_mapping(row[i].text, row[i].size, row[i].rank, &place), row[i].rc);
        if (row[i].rc != 0)
            continue;
        assert_int_equal(place.nodes, row[i].place.nodes);
        assert_int_equal(place.index, row[i].place.index);
        assert_int_equal(place.is_leader, row[i].place.is_leader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping_is_understood),
        cmocka_unit_test(all_come_all_go),
        cmocka_unit_test(one_is_missing_nobody_goes),
        cmocka_unit_test(one_dies_waiting_nobody_goes),
        cmocka_unit_test(names_taken_by_another_user_nobody_goes),
    };

    if (getrandom(&own_key, sizeof own_key, 0) != sizeof own_key)
        return 1;
    own_key &= ~(uint64_t)0xfff;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
