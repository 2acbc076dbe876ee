/* SPDX-License-Identifier: BSD-3-Clause */
/* node_rival.c - agents of one node and step find each other by an abstract socket. */
#include "node_rival.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/real.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define ANSWER_NS (1000 * MS)
#define PAUSE_NS MS
#define BACKLOG 1024

#define SERVED 's' /* it has stopped to serve now */
#define LEFT 'l'   /* it had done so before */

static int listening = -1;

static socklen_t name_socket(struct sockaddr_un *address, uint64_t key)
{
    /* Clusters of one name on one machine, as in tests, count their steps alike. */
    const char *port = mioc_proc_getenv(environ, "SLURM_STEP_LAUNCHER_PORT");
    int length;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "mpiio_cache-%016llx-%.8s-agent",
                      (unsigned long long)key, port != NULL ? port : "");
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Whether the other end is a process of this user: another user may have taken the name. */
static int is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

/* Returns the answer; 0: the other agent has just ended; -1: it does not answer. */
static int wait_for_answer(int fd, uint64_t until)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    uint64_t now;
    char answer;

    while ((now = mioc_clock_ns()) < until)
        if (poll(&ready, 1, (int)((until - now) / MS) + 1) > 0)
            return recv(fd, &answer, 1, MSG_DONTWAIT) == 1 ? answer : 0;
    return -1;
}

/* One attempt. 0: done, or there is nobody to hear of; EAGAIN: once more; EBUSY: *answer says what the other one does.
 */
static int try_claim(uint64_t key, uint64_t until, int *answer)
{
    struct sockaddr_un address;
    socklen_t length = name_socket(&address, key);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = 0;

    if (fd < 0)
        return 0;
    if (mioc_real(bind)(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, BACKLOG) == 0) {
        listening = fd;
        return 0;
    }
    if (errno == EADDRINUSE && connect(fd, (struct sockaddr *)&address, length) != 0)
        rc = EAGAIN; /* not yet listening, just gone, or many come at once */
    else if (errno == EADDRINUSE && is_ours(fd))
        rc = (*answer = wait_for_answer(fd, until)) == 0 ? EAGAIN : EBUSY;
    mioc_real(close)(fd);
    return rc;
}

int mioc_rival_claim(uint64_t key, char *reason, size_t size)
{
    uint64_t until = mioc_clock_ns() + ANSWER_NS;
    int rc, answer = -1;

    while ((rc = try_claim(key, until, &answer)) == EAGAIN && mioc_clock_ns() < until)
        (void)nanosleep(&(struct timespec){ 0, PAUSE_NS }, NULL);
    if (rc == 0)
        return 0;
    if (answer == SERVED)
        snprintf(reason, size, "the ranks of this node do not share MPIIO_CACHE_DIR");
    else if (answer == LEFT) /* perhaps this rank's own agent, which a rival has stopped before the rank came to it */
        snprintf(reason, size, "the ranks of this node do not share MPIIO_CACHE_DIR, or its agent has stopped");
    else
        snprintf(reason, size, "the node's agent does not answer");
    return -1;
}

int mioc_rival_fd(void) { return listening; }

int mioc_rival_accept(void)
{
    int fd;

    while (listening >= 0 && (fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        if (is_ours(fd))
            return fd;
        mioc_real(close)(fd);
    }
    return -1;
}

void mioc_rival_answer(int connection, int has_left)
{
    char answer = has_left ? LEFT : SERVED;

    (void)!send(connection, &answer, 1, MSG_NOSIGNAL);
    mioc_real(close)(connection);
}

void mioc_rival_release(void)
{
    if (listening >= 0)
        mioc_real(close)(listening);
    listening = -1;
}
