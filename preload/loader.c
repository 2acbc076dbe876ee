/* SPDX-License-Identifier: BSD-3-Clause */
/* loader.c - whether and how dlopen() is served. */
#include "loader.h"
#include "bind.h"
#include "dispatch.h"
#include "identity.h"
#include "proc.h"
#include "real.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A debugger stops at every SIGSYS, so a traced process is left alone. It is looked for this often: reading /proc costs as much
 * as a small load. */
#define TRACER_EVERY_MS 100

static struct {
    int is_started;
    enum mioc_loader_way way;
    int is_unmappable, is_held_up;
    int is_traced;      /* atomic, as of looked_ms */
    uint64_t looked_ms; /* atomic */
    char text[256];
} loader;

/* Tries it: a mount's options are one reason of several, and a security module's rules cannot be read. */
static int is_mappable(const struct mioc_store *store)
{
    char path[PATH_MAX];
    void *page = MAP_FAILED;
    int fd;

    snprintf(path, sizeof path, "%s/index", mioc_store_path(store));
    fd = mioc_real(open)(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 1;
    page = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    mioc_real(close)(fd);
    if (page == MAP_FAILED)
        return 0;
    munmap(page, 1);
    return 1;
}

void mioc_loader_start(const struct mioc_config *config, const struct mioc_store *store, int has_agent)
{
    const char *why = NULL;
    int saved = errno;

    loader.way = MIOC_LOADER_DISPATCH;
    if (config->loader_plain) {
        loader.way = MIOC_LOADER_SETTING;
        why = "MPIIO_CACHE_LOADER";
    } else if (mioc_dispatch_prepare(&why) != 0) {
        loader.way = MIOC_LOADER_SYSTEM;
    }
    if (loader.way == MIOC_LOADER_DISPATCH) {
        mioc_bind_now();
        (void)mioc_identity_prepare();
    }
    loader.is_unmappable = loader.way == MIOC_LOADER_DISPATCH && !is_mappable(store);
    loader.is_held_up = has_agent && mioc_real_is_shadowed();
    if (loader.way != MIOC_LOADER_DISPATCH)
        snprintf(loader.text, sizeof loader.text, "plain: %s", why);
    else
        snprintf(loader.text, sizeof loader.text, "dispatch%s%s",
                 loader.is_unmappable ? " for searches only: nothing in MPIIO_CACHE_DIR may be executed" : "",
                 loader.is_held_up ? ", asking nobody on the first rank of a node: another preload comes after libmpiio_cache.so" : "");
    __atomic_store_n(&loader.is_started, 1, __ATOMIC_RELEASE);
    errno = saved;
}

const char *mioc_loader_text(void)
{
    return loader.text;
}

static int is_traced(void)
{
    static const char field[] = "\nTracerPid:\t";
    char status[2048]; /* the field is one of the first */
    const char *found;
    struct timespec now;
    uint64_t ms;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (ms - __atomic_load_n(&loader.looked_ms, __ATOMIC_RELAXED) < TRACER_EVERY_MS)
        return __atomic_load_n(&loader.is_traced, __ATOMIC_RELAXED);
    found = mioc_proc_read("/proc/self/status", status, sizeof status) > 0 ? strstr(status, field) : NULL;
    __atomic_store_n(&loader.is_traced, found != NULL && found[sizeof field - 1] != '0', __ATOMIC_RELAXED);
    __atomic_store_n(&loader.looked_ms, ms, __ATOMIC_RELAXED);
    return __atomic_load_n(&loader.is_traced, __ATOMIC_RELAXED);
}

enum mioc_loader_way mioc_loader_way(void)
{
    int saved = errno;
    enum mioc_loader_way way = loader.way;

    if (!__atomic_load_n(&loader.is_started, __ATOMIC_ACQUIRE))
        return MIOC_LOADER_NONE;
    if (way == MIOC_LOADER_DISPATCH && is_traced())
        way = MIOC_LOADER_TRACED;
    errno = saved;
    return way;
}

int mioc_loader_may_map(void)
{
    return !loader.is_unmappable;
}

int mioc_loader_may_ask(void)
{
    return !loader.is_held_up || !mioc_dispatch_is_begun();
}
