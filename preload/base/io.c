/* SPDX-License-Identifier: BSD-3-Clause */
/* io.c - reads and writes that go on after a short count or a signal. */
#include "io.h"
#include "real.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The descriptor's own offset, where no other is given. */
#define HERE ((off_t)-1)

static ssize_t read_all(int fd, char *bytes, size_t size, off_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = offset == HERE ? mioc_real(read)(fd, bytes + done, size - done)
                                   : mioc_real(pread)(fd, bytes + done, size - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int write_all(int fd, const char *bytes, size_t size, off_t offset)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = offset == HERE ? mioc_real(write)(fd, bytes + done, size - done)
                                   : mioc_real(pwrite)(fd, bytes + done, size - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

ssize_t mioc_io_read(int fd, void *bytes, size_t size) { return read_all(fd, bytes, size, HERE); }

ssize_t mioc_io_pread(int fd, void *bytes, size_t size, off_t offset) { return read_all(fd, bytes, size, offset); }

int mioc_io_write(int fd, const void *bytes, size_t size) { return write_all(fd, bytes, size, HERE); }

int mioc_io_pwrite(int fd, const void *bytes, size_t size, off_t offset) { return write_all(fd, bytes, size, offset); }

/* --- A descriptor by a socket ------------------------------------------------------------------------------------ */

/* Room for one descriptor. */
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

int mioc_io_send_fd(int socket, const void *bytes, size_t size, int passed)
{
    union control control = { .room = { 0 } };
    struct iovec part = { (void *)(uintptr_t)bytes, size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room
    };

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    return mioc_real(sendmsg)(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size ? 0 : -1;
}

ssize_t mioc_io_receive_fd(int socket, void *bytes, size_t size, int *passed)
{
    union control control = { .room = { 0 } };
    struct iovec part = { bytes, size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room
    };
    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n > 0 && message.msg_controllen >= CMSG_LEN(sizeof *passed) && control.header.cmsg_type == SCM_RIGHTS)
        memcpy(passed, CMSG_DATA(&control.header), sizeof *passed);
    return n;
}
