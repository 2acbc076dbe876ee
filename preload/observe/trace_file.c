/* SPDX-License-Identifier: BSD-3-Clause */
/* trace_file.c - makes the file that the events of a rank or an agent go to (trace.h). The environment and other users'
 * files cannot lead it elsewhere. */
#include "trace.h"
#include "base/proc.h"
#include "base/real.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes a text from the environment a plain file name, which cannot lead out of the folder. */
static void defuse(char *text)
{
    if (text[0] == '.')
        text[0] = '_';
    for (; *text != '\0'; text++)
        if (*text == '/')
            *text = '_';
}

/* Fills `out` with the folder, %r, %j and %h replaced. Returns 0, or -1 with errno. */
static int expand(char *out, size_t size, const char *folder, enum mioc_trace_of of, int number, const char *job)
{
    char host[HOST_NAME_MAX + 1] = "", who[24], name[NAME_MAX + 1];
    size_t used = 0;

    (void)gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "%s", job);
    defuse(host);
    defuse(name);
    snprintf(who, sizeof who, "%s%d", of == MIOC_TRACE_NODE ? "node-" : "", number);
    for (; *folder != '\0'; folder++) {
        char one[2] = { *folder, '\0' };
        const char *text = one;

        if (folder[0] == '%' && folder[1] != '\0') {
            folder++;
            text = *folder == 'r' ? who : *folder == 'j' ? name : *folder == 'h' ? host : *folder == '%' ? "%" : NULL;
            if (text == NULL) {
                errno = EINVAL;
                return -1;
            }
        }
        if (used + strlen(text) + 32 > size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(out + used, text, strlen(text) + 1);
        used += strlen(text);
    }
    return 0;
}

/* Makes the folder and those above it, where they are missing. Returns 0, or -1 with errno. */
static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        int rc;

        if (slash != NULL)
            *slash = '\0';
        rc = mioc_real(mkdir)(path, 0777);
        if (slash != NULL)
            *slash = '/';
        if (slash == NULL)
            return rc == 0 || errno == EEXIST ? 0 : -1;
    }
}

/* Moves a descriptor away from the low numbers that programs expect to get. Keeps it where there is no other. */
static int lift(int fd)
{
    int high = fd < 0 ? -1 : mioc_proc_high_fd(fd);

    if (high < 0)
        return fd;
    mioc_real(close)(fd);
    return high;
}

/* The file is always new. A file that has the name already may be a FIFO without a reader, another job's trace that is
 * still being written, or a link that somebody planted. */
int mioc_trace_create(const char *folder, enum mioc_trace_of of, int number, const char *job)
{
    char path[PATH_MAX];
    size_t len;

    if (expand(path, sizeof path, folder, of, number, job) != 0 || make_folders(path) != 0)
        return -1;
    len = strlen(path);
    snprintf(path + len, sizeof path - len, "/%s-%05d.json", of == MIOC_TRACE_NODE ? "node" : "rank", number);
    if (mioc_real(unlink)(path) != 0 && errno != ENOENT)
        return -1;
    return lift(mioc_real(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666));
}

/* /proc/self shows the process's table, whatever the thread's own table has. The file's name may be another file's by
 * now. */
int mioc_trace_reopen_file(int fd)
{
    char path[48];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return lift(mioc_real(open)(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY));
}
