/* SPDX-License-Identifier: BSD-3-Clause */
/* agent_path.c - finds the agent program that belongs to this library. */
#include "agent_path.h"
#include "base/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From the library's folder to the program: as installed, and side by side. */
static const char *const places[] = { MIOC_AGENT_FROM_LIBDIR, "../libexec/mpiio_cache/agent", "mpiio_cache/agent" };

static int find_beside(const char *library, char *path, size_t size)
{
    const char *slash = strrchr(library, '/');
    int len = slash != NULL ? (int)(slash + 1 - library) : 0;

    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        if ((size_t)snprintf(path, size, "%.*s%s", len, library, places[i]) < size &&
            syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0)
            return 0;
    snprintf(path, size, "%.*s%s", len, library, places[0]);
    return -1;
}

int mioc_agent_path(char *path, size_t size)
{
    int saved = errno, rc;
    char real[PATH_MAX];
    Dl_info info;

    path[0] = '\0';
    if (dladdr((void *)mioc_agent_path, &info) == 0 || info.dli_fname == NULL)
        return -1;
    rc = find_beside(info.dli_fname, path, size);
    if (rc != 0 && mioc_real(realpath)(info.dli_fname, real) != NULL)
        rc = find_beside(real, path, size);
    errno = saved;
    return rc;
}
