/* SPDX-License-Identifier: BSD-3-Clause */
/* selftest.c - makes two loads through the patched calls that load nothing, and learns which lock a load holds.
 *
 * The first load asks for a path that does not exist, and is answered without the filesystem. The second asks for libc
 * by another spelling of its path: the loader opens it, calls stat, and must find that it has loaded libc already. */
#include "find.h"
#include "handle.h"
#include "base/symbol.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MISSING "/mpiio_cache-self-test/none"
#define BIT(kind) (1u << (kind))

typedef void *(*dlopen_function)(const char *name, int flags);

static unsigned seen; /* a bit for each kind of call that has arrived */

/* --- The loader's lock ------------------------------------------------------------------------------------------- */

/* ld.so's _rtld_global, which no header declares. The load lock is the recursive mutex in it that this thread holds
 * during a load. */
static struct {
    const char *start;
    size_t size;
} global;
static const pthread_mutex_t *load_lock;

static int is_mine(const pthread_mutex_t *mutex)
{
    return __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED) == (int)syscall(SYS_gettid);
}

static void find_global(void)
{
    for (const struct link_map *map = _r_debug.r_map; map != NULL && global.start == NULL; map = map->l_next)
        if (map->l_addr == _r_debug.r_ldbase)
            global.start = mioc_symbol_find(map, "_rtld_global", &global.size);
}

/* Called during a load: finds the load lock. glibc 2.35 and later have a second such mutex behind it. That one is held
 * while tables of thread-local storage change, but not while constructors run. */
static void note_lock(void)
{
    load_lock = NULL;
    for (size_t at = 0; at + sizeof *load_lock <= global.size && load_lock == NULL; at += sizeof(void *)) {
        const pthread_mutex_t *mutex = (const void *)(global.start + at);

        if (mutex->__data.__lock != 0 && mutex->__data.__count == 1 &&
            mutex->__data.__kind == PTHREAD_MUTEX_RECURSIVE && is_mine(mutex))
            load_lock = mutex;
    }
}

int mioc_loader_is_locked(void) { return load_lock == NULL ? -1 : is_mine(load_lock); }

/* --- The loads --------------------------------------------------------------------------------------------------- */

static long watch(const struct mioc_loader_call *call)
{
    const enum mioc_callsite_kind kind = mioc_callsite_kind(call->number);
    const char *path = (const char *)call->argument[call->number == SYS_openat]; /* NOLINT: as the kernel gets it */

    seen |= BIT(kind);
    note_lock();
    if (kind != MIOC_CALLSITE_OPEN || strcmp(path, MISSING) != 0)
        return mioc_loader_pass(call);
    return -ENOENT;
}

/* libc's own dlopen. Another preload's dlopen would see loads that the program does not make. */
static dlopen_function find_dlopen(void)
{
    static const char *const files[] = { "libc.so.6", "libdl.so.2" /* before glibc 2.34 */ };
    void *found = NULL;

    for (unsigned i = 0; i < sizeof files / sizeof files[0] && found == NULL; i++) {
        const struct link_map *map = mioc_symbol_object(files[i]);

        found = map == NULL ? NULL : mioc_symbol_find(map, "dlopen", NULL);
    }
    return (dlopen_function)found;
}

static int is_missing(dlopen_function open)
{
    seen = 0;
    if (open(MISSING, RTLD_LAZY) != NULL || seen != BIT(MIOC_CALLSITE_OPEN))
        return 0;
    (void)dlerror(); /* so that the program does not get this error */
    return 1;
}

static int is_recognised(dlopen_function open)
{
    const struct link_map *libc = mioc_symbol_object("libc.so.6");
    char spelling[PATH_MAX];
    void *handle;

    if (libc == NULL || libc->l_name[0] != '/' ||
        snprintf(spelling, sizeof spelling, "/.%s", libc->l_name) >= (int)sizeof spelling)
        return 0;
    seen = 0;
    handle = open(spelling, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL)
        (void)dlerror();
    else
        (void)dlclose(handle);
    return handle == libc && (seen & BIT(MIOC_CALLSITE_OPEN)) &&
           (seen & (BIT(MIOC_CALLSITE_FSTAT) | BIT(MIOC_CALLSITE_STAT)));
}

int mioc_loader_test(void)
{
    dlopen_function open = find_dlopen();
    int is_working;

    find_global();
    mioc_loader_set_answer(watch);
    is_working = open != NULL && is_missing(open) && is_recognised(open);
    mioc_loader_set_answer(mioc_loader_pass);
    if (load_lock != NULL && is_mine(load_lock))
        load_lock = NULL; /* this thread holds it without a load too, so it says nothing */
    return is_working ? 0 : -1;
}
