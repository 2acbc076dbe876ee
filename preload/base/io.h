/* SPDX-License-Identifier: BSD-3-Clause */
/* io.h - reads and writes that go on after a short count or a signal (EINTR), by the real functions (real.h).
 *
 * Any thread. On success errno is unspecified. proc.h and log.h have loops of their own, on raw system calls: they must
 * be no cancellation points. */
#ifndef MIOC_IO_H
#define MIOC_IO_H

#include <stddef.h>
#include <sys/types.h>

/* Reads until `size` bytes are there or the file ends. Returns how many bytes were read, or -1 with errno; the bytes
 * that came before an error are lost. */
ssize_t mioc_io_read(int fd, void *bytes, size_t size);
/* The same at `offset`; the descriptor's own offset stays. */
ssize_t mioc_io_pread(int fd, void *bytes, size_t size, off_t offset);

/* Writes all bytes. Returns 0, or -1 with errno (EIO: the kernel took nothing); part may be written then. */
int mioc_io_write(int fd, const void *bytes, size_t size);
/* The same at `offset`; the descriptor's own offset stays. */
int mioc_io_pwrite(int fd, const void *bytes, size_t size, off_t offset);

/* Sends bytes that fit the socket, and a copy of the descriptor `passed`; does not wait. Returns 0, or -1 with errno.
 */
int mioc_io_send_fd(int socket, const void *bytes, size_t size, int passed);
/* Receives such a message of at most `size` bytes; does not wait. *passed becomes the descriptor, close-on-exec; it
 * stays as it is if none came. Returns the number of bytes, 0 at the end, or -1 with errno (EAGAIN: nothing is there).
 */
ssize_t mioc_io_receive_fd(int socket, void *bytes, size_t size, int *passed);

#endif
