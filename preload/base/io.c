/* SPDX-License-Identifier: BSD-3-Clause */
/* io.c - reads and writes that go on after a short count or a signal. */
#include "io.h"
#include "real.h"

#include <errno.h>
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
