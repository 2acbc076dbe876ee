/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi.c - speaks with the launcher over its PMI-1 wire, by calls that no interposer sees. */
#include "pmi.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t mioc_pmi_now_ms(void) { return (int64_t)(mioc_clock_ns() / MIOC_NS_PER_MS); }

int mioc_pmi_fd(char *const *env)
{
    for (; env != NULL && *env != NULL; env++) {
        char *end;
        long fd;

        if (strncmp(*env, "PMI_FD=", 7) != 0)
            continue;
        fd = strtol(*env + 7, &end, 10);
        return end != *env + 7 && *end == '\0' && fd >= 0 && fd < 1 << 20 ? (int)fd : -1;
    }
    return -1;
}

int mioc_pmi_is_hydra_task(void)
{
    char path[64], name[32];
    long n = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%ld/comm", (long)getppid());
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = syscall(SYS_read, fd, name, sizeof name);
        syscall(SYS_close, fd);
    }
    return n == 16 && memcmp(name, "hydra_pmi_proxy\n", 16) == 0;
}

/* Waits until the socket is ready. 0, or -1 with errno (ETIMEDOUT). */
static int await(int fd, short events, int64_t until)
{
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = events };
        int64_t left = until - mioc_pmi_now_ms();
        int n;

        if (left <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        n = poll(&ready, 1, (int)left);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -1;
    }
}

static int send_all(int fd, const char *bytes, size_t size, int64_t until)
{
    while (size > 0) {
        ssize_t n;

        if (await(fd, POLLOUT, until) != 0)
            return -1;
        n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

int mioc_pmi_ask(int fd, const char *command, char *answer, size_t size, int timeout_ms)
{
    int64_t until = mioc_pmi_now_ms() + timeout_ms;
    char line[1024];
    size_t got = 0;
    int length = snprintf(line, sizeof line, "cmd=%s\n", command);

    if (length < 0 || (size_t)length >= sizeof line || size == 0) {
        errno = EPROTO;
        return -1;
    }
    if (send_all(fd, line, (size_t)length, until) != 0)
        return -1;
    while (got + 1 < size) {
        ssize_t n;

        if (await(fd, POLLIN, until) != 0)
            return -1;
        /* One byte at a time, as what follows the newline is the MPI library's. */
        n = recv(fd, answer + got, 1, MSG_DONTWAIT);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        if (n == 0) {
            errno = EPIPE;
            return -1;
        }
        if (n > 0 && answer[got++] == '\n') {
            answer[got - 1] = '\0';
            return 0;
        }
    }
    errno = EPROTO;
    return -1;
}

int mioc_pmi_number(const char *answer, const char *key, int otherwise)
{
    size_t length = strlen(key);
    const char *at = answer;

    while ((at = strstr(at, key)) != NULL) {
        char *end;
        long value;

        if ((at == answer || at[-1] == ' ') && at[length] == '=') {
            value = strtol(at + length + 1, &end, 10);
            return end != at + length + 1 && (*end == '\0' || *end == ' ') && value >= INT32_MIN && value <= INT32_MAX
                       ? (int)value
                       : otherwise;
        }
        at += length;
    }
    return otherwise;
}
