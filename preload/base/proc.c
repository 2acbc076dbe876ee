/* SPDX-License-Identifier: BSD-3-Clause */
/* proc.c - what /proc says of processes, read by raw system calls. */
#include "proc.h"
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *mioc_proc_getenv(char *const *env, const char *name)
{
    size_t length = strlen(name);

    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
            return *env + length + 1;
    return NULL;
}

int mioc_proc_getenv_number(char *const *env, const char *name)
{
    const char *text = mioc_proc_getenv(env, name);
    int saved = errno;
    char *end;
    long value;

    if (text == NULL || *text < '0' || *text > '9')
        return -1;
    value = strtol(text, &end, 10);
    errno = saved;
    return *end == '\0' && value <= INT32_MAX ? (int)value : -1;
}

long mioc_proc_read(const char *path, char *buf, size_t size)
{
    int saved = errno, fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;
    long n = -1;

    while (fd >= 0 && got + 1 < size) {
        n = syscall(SYS_read, fd, buf + got, size - 1 - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    buf[got] = '\0';
    return fd < 0 || (n < 0 && got == 0) ? -1 : (long)got;
}

long mioc_proc_read_at(int fd, void *buf, size_t size, uint64_t offset)
{
    size_t have = 0;

    while (have < size) {
        long n = syscall(SYS_pread64, fd, (char *)buf + have, size - have, offset + have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return (long)have;
}

int mioc_proc_stat(pid_t pid, struct mioc_proc *process)
{
    char path[64], text[1024], *comm, *end, *at;
    size_t length;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (mioc_proc_read(path, text, sizeof text) <= 0)
        return -1;
    comm = strchr(text, '(');
    end = strrchr(text, ')'); /* a name may hold parentheses */
    if (comm == NULL || end == NULL || end < comm || end[1] != ' ')
        return -1;
    length = (size_t)(end - comm - 1);
    if (length >= sizeof process->comm)
        length = sizeof process->comm - 1;
    memcpy(process->comm, comm + 1, length);
    process->comm[length] = '\0';
    process->state = end[2];
    process->parent = (pid_t)strtol(end + 3, &at, 10);
    for (int field = 5; field <= 22 && at != NULL; field++)
        at = strchr(at + (field > 5), ' '); /* at the blank before the field */
    if (at == NULL)
        return -1;
    process->start = strtoull(at + 1, NULL, 10);
    return 0;
}

int mioc_proc_exe(pid_t pid, char *buf, size_t size)
{
    char path[64];
    int saved = errno;
    long n;

    snprintf(path, sizeof path, "/proc/%ld/exe", (long)pid);
    n = syscall(SYS_readlinkat, AT_FDCWD, path, buf, size - 1);
    errno = saved;
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? 0 : -1;
}

long mioc_proc_cmdline(pid_t pid, char *buf, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)pid);
    return mioc_proc_read(path, buf, size);
}

static int add_children(pid_t pid, long thread, pid_t *children, int count, int most)
{
    char path[96], text[8192], *at = text;

    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, thread);
    if (mioc_proc_read(path, text, sizeof text) < 0)
        return -1;
    while (count < most) {
        char *end;
        long child = strtol(at, &end, 10);

        if (end == at)
            break;
        children[count++] = (pid_t)child;
        at = end;
    }
    return count;
}

/* Byte i of "NAME=VALUE". */
static char assignment_byte(const char *name, size_t name_len, const char *value, size_t i)
{
    return i < name_len ? name[i] : i == name_len ? '=' : value[i - name_len - 1];
}

int mioc_proc_was_given(pid_t pid, const char *name, const char *value)
{
    size_t name_len = strlen(name), whole = name_len + 1 + (value != NULL ? strlen(value) : 0), same = 0;
    int saved = errno, fd, is_same = 1, found = 0;
    char text[1024];
    long n;

    snprintf(text, sizeof text, "/proc/%ld/environ", (long)pid);
    fd = (int)syscall(SYS_openat, AT_FDCWD, text, O_RDONLY | O_CLOEXEC);
    for (uint64_t offset = 0; fd >= 0 && !found && (n = mioc_proc_read_at(fd, text, sizeof text, offset)) > 0;
         offset += (uint64_t)n)
        for (long i = 0; i < n && !found; i++) {
            if (text[i] == '\0') {
                found = is_same && same == whole;
                same = 0;
                is_same = 1;
            } else if (is_same) {
                is_same = same < whole && text[i] == assignment_byte(name, name_len, value, same);
                same++;
                found = value == NULL && is_same && same == whole;
            }
        }
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    return found;
}

/* Room for what the kernel lets most processes have. */
#define ENV_TEXT (2u << 20)
#define ENV_MOST (64u << 10)

char **mioc_proc_read_env(pid_t pid, size_t *bytes)
{
    char path[64], **env, *text;
    int saved = errno;
    size_t n = 0;
    long length;

    *bytes = (ENV_MOST + 1) * sizeof *env + ENV_TEXT;
    env = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (env == MAP_FAILED)
        return NULL;
    text = (char *)(env + ENV_MOST + 1);
    snprintf(path, sizeof path, "/proc/%ld/environ", (long)pid);
    length = mioc_proc_read(path, text, ENV_TEXT);
    for (long at = 0; at < length && n < ENV_MOST; at += (long)strlen(text + at) + 1)
        env[n++] = text + at;
    env[n] = NULL;
    if (length > 0)
        return env;
    mioc_proc_free_env(env, *bytes);
    return NULL;
}

void mioc_proc_free_env(char **env, size_t bytes)
{
    int saved = errno;

    (void)munmap(env, bytes);
    errno = saved;
}

struct children {
    pid_t pid, *list;
    int count, most, is_known;
};

static int visit_thread(void *ctx, int dirfd, const char *name)
{
    struct children *c = ctx;
    int count = add_children(c->pid, strtol(name, NULL, 10), c->list, c->count, c->most);

    (void)dirfd;
    if (count >= 0) {
        c->is_known = 1;
        c->count = count;
    }
    return 0;
}

int mioc_proc_children(pid_t pid, pid_t *children, int most)
{
    struct children c = { pid, children, 0, most, 0 };
    int dir, saved = errno;
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    dir = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {
        (void)mioc_folder_walk(dir, visit_thread, &c);
        syscall(SYS_close, dir);
    }
    errno = saved;
    return c.is_known ? c.count : -1;
}

int mioc_proc_high_fd(int fd)
{
    static const int from[] = { 200, 60, 20, 3 };
    int high = -1;

    for (unsigned i = 0; high < 0 && i < sizeof from / sizeof *from; i++)
        high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from[i]);
    return high;
}
