/* SPDX-License-Identifier: BSD-3-Clause */
/* log.c - composes a line in a fixed buffer and gives it to the kernel in one piece. */
#include "log.h"
#include "stack.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STALL_SECONDS 1
#define ELLIPSIS "…"

/* The size of the kernel's signal mask; glibc's sigset_t is larger. */
#define KERNEL_SIGSET_SIZE 8

static int threshold = -1; /* -1: MPIIO_CACHE_LOG's */

/* A signal handler may call us in the middle of vsnprintf(), which no standard calls re-entrant. */
static __thread volatile sig_atomic_t is_formatting __attribute__((tls_model("initial-exec")));

void mioc_log_set_level(enum mioc_log_level level) { __atomic_store_n(&threshold, (int)level, __ATOMIC_RELAXED); }

const char *mioc_log_error(int error)
{
#if __GLIBC_PREREQ(2, 32)
    const char *text = strerrordesc_np(error);

    return text != NULL ? text : "unknown error";
#else
    return strerror(error);
#endif
}

static int wait_for_room(int fd)
{
    if (fd < 0) { /* poll() ignores it, and would wait in vain */
        errno = EBADF;
        return -1;
    }
    struct pollfd wanted = { .fd = fd, .events = POLLOUT };
    struct timespec limit = { .tv_sec = STALL_SECONDS }; /* the kernel counts it down: a signal does not prolong it */
    for (;;) {
        long n = syscall(SYS_ppoll, &wanted, 1, &limit, NULL, KERNEL_SIGSET_SIZE);
        if (n > 0)
            return 0; /* also for an error, which write(2) then reports */
        if (n == 0)
            errno = ETIMEDOUT;
        if (n == 0 || errno != EINTR)
            return -1;
    }
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        if (wait_for_room(fd) != 0)
            return -1;
        long n = syscall(SYS_write, fd, bytes, size);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -1;
        if (n > 0) {
            bytes += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* The signal that the kernel sends together with this error, or 0. */
static int signal_of(int error) { return error == EPIPE ? SIGPIPE : error == EFBIG ? SIGXFSZ : 0; }

int mioc_log_write(int fd, const void *bytes, size_t size)
{
    int before = errno;
    uint64_t ours = 1ull << (SIGPIPE - 1) | 1ull << (SIGXFSZ - 1), old = 0, pending = 0;
    /* Either signal could end a program that wrote nothing itself. Both are blocked, and one that our write raised is
     * taken away. */
    int is_blocked = syscall(SYS_rt_sigprocmask, SIG_BLOCK, &ours, &old, KERNEL_SIGSET_SIZE) == 0;
    (void)syscall(SYS_rt_sigpending, &pending, KERNEL_SIGSET_SIZE);
    int result = write_all(fd, bytes, size);
    int error = errno, raised = result != 0 ? signal_of(error) : 0;
    if (raised != 0 && is_blocked && (pending & 1ull << (raised - 1)) == 0) {
        uint64_t bit = 1ull << (raised - 1);
        struct timespec none = { 0 };
        (void)syscall(SYS_rt_sigtimedwait, &bit, NULL, &none, KERNEL_SIGSET_SIZE);
    }
    if (is_blocked)
        (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, KERNEL_SIGSET_SIZE);
    errno = result == 0 ? before : error;
    return result;
}

/* Makes the text one line: never cut within a character, no control characters, a newline at the end. */
static size_t finish_line(char *line, size_t used, int is_cut)
{
    if (is_cut) {
        size_t room = MIOC_LOG_LINE_MAX - sizeof ELLIPSIS; /* the newline takes the place of the NUL */
        used = used < room ? used : room;
        while (used > 0 && ((unsigned char)line[used] & 0xc0) == 0x80)
            used--;
    }
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    if (is_cut) {
        memcpy(line + used, ELLIPSIS, sizeof ELLIPSIS - 1);
        used += sizeof ELLIPSIS - 1;
    }
    line[used++] = '\n';
    return used;
}

static const char *opening(enum mioc_log_level level)
{
    switch (level) {
    case MIOC_LOG_ERROR: return "mpiio_cache: error: ";
    case MIOC_LOG_WARN: return "mpiio_cache: warning: ";
    default: return "mpiio_cache: ";
    }
}

static void (*sink)(enum mioc_log_level level, const char *line, size_t size);

struct message {
    enum mioc_log_level level;
    const char *format;
    va_list arguments;
};

static __attribute__((noinline)) int say(void *arg)
{
    struct message *message = arg;
    char line[MIOC_LOG_LINE_MAX + 1];
    size_t used = strlen(strcpy(line, opening(message->level))), room = MIOC_LOG_LINE_MAX - used;
    int n;
    if (is_formatting) { /* the bare format is better than nothing */
        n = (int)strlen(message->format);
        memcpy(line + used, message->format, (size_t)n < room ? (size_t)n : room);
    } else {
        is_formatting = 1;
        n = vsnprintf(line + used, room, message->format, message->arguments);
        is_formatting = 0;
    }
    if (n >= 0) {
        int is_cut = (size_t)n >= room;
        used = finish_line(line, is_cut ? MIOC_LOG_LINE_MAX : used + (size_t)n, is_cut);
        if (sink != NULL)
            sink(message->level, line, used);
        else
            (void)mioc_log_write(STDERR_FILENO, line, used);
    }
    return 0;
}

void mioc_log_set_sink(void (*take)(enum mioc_log_level level, const char *line, size_t size)) { sink = take; }

void mioc_log(enum mioc_log_level level, const char *format, ...)
{
    struct message message = { .level = level, .format = format };
    int before = errno;
    int limit = __atomic_load_n(&threshold, __ATOMIC_RELAXED);
    if (limit < 0)
        limit = (int)mioc_config()->log;
    if (level == MIOC_LOG_NONE || (int)level > limit)
        return;
    va_start(message.arguments, format);
    mioc_stack_try(MIOC_STACK_SERVED, say, &message);
    va_end(message.arguments);
    errno = before;
}
