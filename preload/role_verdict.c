/* SPDX-License-Identifier: BSD-3-Clause */
/* role_verdict.c - local rank 0's verdict for the other ranks of its node, before there is any MPI to tell them.
 *
 * The verdict is which of two names in the abstract socket namespace is listened on: connecting is the question and the
 * answer, so nobody has to serve it, and nothing is left behind by whoever dies. Who gets no answer in time looks
 * himself: slower, with the same outcome, as all look at the same things. */
#include "role.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 1000
#define NAP_MS 2
#define HIGH_FD 200

static int listener = -1;

static socklen_t name_verdict(struct sockaddr_un *address, const struct mioc_identity *me, int is_good)
{
    int length;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "mpiio_cache-%lu-%016llx-%s",
                      (unsigned long)getuid(), (unsigned long long)me->key, is_good ? "go" : "stay");
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static void close_raw(int fd)
{
    if (fd >= 0)
        syscall(SYS_close, fd);
}

static void announce(const struct mioc_identity *me, int is_good)
{
    struct sockaddr_un address;
    socklen_t length = name_verdict(&address, me, is_good);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), high;

    if (fd < 0)
        return;
    high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD); /* the program is to get the low numbers */
    close_raw(fd);
    if (high >= 0 && bind(high, (struct sockaddr *)&address, length) == 0 && listen(high, 4096) == 0)
        listener = high;
    else
        close_raw(high);
}

/* Whether that verdict is out, by a process of ours. */
static int is_announced(const struct mioc_identity *me, int is_good)
{
    struct sockaddr_un address;
    socklen_t length = name_verdict(&address, me, is_good), size = sizeof(struct ucred);
    struct ucred peer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int is_out = fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0 &&
                 getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == getuid();

    close_raw(fd);
    return is_out;
}

/* 1: go, 0: stay, -1: no answer. */
static int ask(const struct mioc_identity *me)
{
    for (int waited = 0; waited < WAIT_MS; waited += NAP_MS) {
        if (is_announced(me, 1))
            return 1;
        if (is_announced(me, 0))
            return 0;
        nanosleep(&(struct timespec){ 0, NAP_MS * 1000000l }, NULL);
    }
    return -1;
}

int mioc_role_share_verdict(const struct mioc_identity *me, int (*look)(void *ctx, char *reason, size_t size), void *ctx,
                            char *reason, size_t size)
{
    int saved = errno, verdict = me->local_rank > 0 ? ask(me) : -1, rc;

    if (verdict == 0)
        snprintf(reason, size, "as this node's first rank says");
    rc = verdict == 1 ? 0 : verdict == 0 ? -1 : look(ctx, reason, size);
    if (me->local_rank == 0)
        announce(me, rc == 0);
    errno = saved;
    return rc;
}

/* A verdict to stay stays out for the process's life: nobody says when the last rank has asked. */
void mioc_role_settle(void)
{
    int saved = errno;

    close_raw(listener);
    listener = -1;
    errno = saved;
}
