/* SPDX-License-Identifier: BSD-3-Clause */
/* identity.c - sets right by which file ld.so knows a library that it has loaded from a copy. */
#include "identity.h"
#include "real.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__

/* glibc's struct r_file_id, l_file_id of struct link_map. */
struct file_id { uint64_t dev, ino; };

/* The structure is larger than that in every glibc: nothing behind it is read. */
#define MAP_SIZE 1024u

/* Minor numbers of 2.x. */
#define OLDEST_GLIBC 28
#define NEWEST_GLIBC 41

typedef int (*iterate_function)(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context);

static size_t offset;            /* in struct link_map */
static iterate_function iterate; /* libc's own: it holds the lock without which no library comes or goes */
static int is_lending;           /* atomic */

/* The last that was lent. Written with ld.so's lock, after all before it were settled; `turn` first and `written` last, so that who reads
 * without that lock knows whether it has read one of them. */
static struct { uint32_t turn, written, is_open; struct file_id copy, original; } lent;
static __thread uint32_t turn_of_thread; /* which one this thread has to settle; 0: none */
static __thread int is_alone;            /* a fork ago: nobody else changes the list, and the lock may never be free again */

/* --- What ld.so keeps ------------------------------------------------------------------------------------------------- */

static struct file_id *id_of(const struct link_map *map, size_t at)
{
    return (struct file_id *)(void *)((char *)map + at); /* NOLINT: its own is not const */
}

static struct file_id get(const struct file_id *from)
{
    struct file_id id = { __atomic_load_n(&from->dev, __ATOMIC_ACQUIRE), __atomic_load_n(&from->ino, __ATOMIC_ACQUIRE) };

    return id;
}

static void set(struct file_id *to, struct file_id id)
{
    __atomic_store_n(&to->ino, id.ino, __ATOMIC_RELEASE);
    __atomic_store_n(&to->dev, id.dev, __ATOMIC_RELEASE);
}

static int is_same(struct file_id a, struct file_id b)
{
    return a.ino == b.ino && a.dev == b.dev;
}

/* Gives whatever has the id `from` the id `to`; whether a library has the id `wanted` then. With either of ld.so's locks. The program and ld.so
 * have no id, and `from` is none before anything was lent: they are not written to, which ld.so's own may not be. */
static int replace(struct file_id from, struct file_id to, const struct file_id *wanted)
{
    int is_there = 0;

    for (const struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next) {
        struct file_id *kept = id_of(map, offset);

        if (from.ino != 0 && is_same(get(kept), from))
            set(kept, to);
        is_there |= wanted != NULL && is_same(get(kept), *wanted);
    }
    return is_there;
}

/* --- Finding it ------------------------------------------------------------------------------------------------------- */

static int file_of(const struct link_map *map, struct file_id *id)
{
    struct stat st;

    if (map->l_name[0] != '/' || map->l_addr == _r_debug.r_ldbase || syscall(SYS_newfstatat, AT_FDCWD, map->l_name, &st, 0) != 0)
        return -1;
    *id = (struct file_id){ st.st_dev, st.st_ino };
    return 0;
}

static size_t find_in(const struct link_map *map)
{
    struct file_id id;

    if (file_of(map, &id) != 0)
        return 0;
    for (size_t at = sizeof(struct link_map); at + sizeof id <= MAP_SIZE; at += sizeof id.dev)
        if (is_same(get(id_of(map, at)), id))
            return at;
    return 0;
}

/* Whether another library of libc's directory, which is on no shared filesystem where libc is not, says the same. */
static int is_confirmed(const struct link_map *libc, size_t at)
{
    size_t folder = (size_t)(strrchr(libc->l_name, '/') + 1 - libc->l_name);

    for (const struct link_map *map = _r_debug.r_map; map != NULL; map = map->l_next) {
        struct file_id id;

        if (map != libc && strncmp(map->l_name, libc->l_name, folder) == 0 && file_of(map, &id) == 0)
            return is_same(get(id_of(map, at)), id);
    }
    return 0;
}

static void start_child(void)
{
    is_alone = turn_of_thread != 0;
}

/* libc's own, not that of a tool that is loaded before it. */
static iterate_function find_iterate(const struct link_map *libc)
{
    void *handle = mioc_real(dlopen)(libc->l_name, RTLD_LAZY | RTLD_NOLOAD), *function = handle ? dlsym(handle, "dl_iterate_phdr") : NULL;

    if (handle)
        (void)dlclose(handle);
    return (iterate_function)function;
}

/* The glibcs whose ld.so is known to keep its own in plain memory, which can be written while no library is loaded. Protection of link
 * maps has been proposed for later ones. */
static int is_known_libc(void)
{
    unsigned long major, minor;
    char *end;

    major = strtoul(gnu_get_libc_version(), &end, 10);
    minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return major == 2 && minor >= OLDEST_GLIBC && minor <= NEWEST_GLIBC;
}

int mioc_identity_prepare(void)
{
    iterate_function function;
    struct link_map *libc = NULL;
    int saved = errno;
    Dl_info info;
    size_t at;

    if (offset == 0 && is_known_libc() && getenv("LD_AUDIT") == NULL &&
        dladdr1((void *)gnu_get_libc_version, &info, (void **)&libc, RTLD_DL_LINKMAP) != 0 && libc != NULL && (at = find_in(libc)) != 0 &&
        is_confirmed(libc, at) && (function = find_iterate(libc)) != NULL && pthread_atfork(NULL, NULL, start_child) == 0) {
        iterate = function;
        offset = at;
        __atomic_store_n(&is_lending, 1, __ATOMIC_RELEASE);
    }
    errno = saved;
    return offset != 0 ? 0 : -1;
}

/* --- Lending ---------------------------------------------------------------------------------------------------------- */

static int has_namespaces(void)
{
    return _r_debug.r_version > 1; /* glibc 2.35 and newer say so */
}

int mioc_identity_lend(uint64_t dev, uint64_t ino, uint64_t original_dev, uint64_t original_ino)
{
    const struct file_id id = { original_dev, original_ino };

    if (offset == 0 || replace(lent.copy, lent.original, &id) || !__atomic_load_n(&is_lending, __ATOMIC_ACQUIRE) || has_namespaces())
        return 0;
    lent.is_open = 1;
    turn_of_thread = lent.turn + 1 != 0 ? lent.turn + 1 : 1;
    __atomic_store_n(&lent.turn, turn_of_thread, __ATOMIC_RELAXED);
    set(&lent.copy, (struct file_id){ dev, ino });
    set(&lent.original, id);
    __atomic_store_n(&lent.written, turn_of_thread, __ATOMIC_RELEASE);
    return 1;
}

void mioc_identity_settle(void)
{
    if (lent.is_open)
        (void)replace(lent.copy, lent.original, NULL);
    lent.is_open = 0;
}

static int settle_last(struct dl_phdr_info *info, size_t size, void *context)
{
    const uint32_t written = __atomic_load_n(&lent.written, __ATOMIC_ACQUIRE);
    const struct file_id copy = get(&lent.copy), original = get(&lent.original);

    (void)info, (void)size, (void)context;
    /* Who is about to lend has settled what was. */
    if (written != 0 && __atomic_load_n(&lent.turn, __ATOMIC_RELAXED) == written)
        (void)replace(copy, original, NULL);
    return 1;
}

void mioc_identity_end(void)
{
    int saved = errno;

    if (turn_of_thread != 0 && turn_of_thread == __atomic_load_n(&lent.turn, __ATOMIC_RELAXED))
        (void)(is_alone ? settle_last(NULL, 0, NULL) : iterate(settle_last, NULL));
    turn_of_thread = 0;
    is_alone = 0;
    errno = saved;
}

void mioc_identity_stop(void)
{
    int saved = errno;

    if (__atomic_exchange_n(&is_lending, 0, __ATOMIC_RELAXED))
        (void)iterate(settle_last, NULL);
    errno = saved;
}

#else

int mioc_identity_prepare(void) { return -1; }
int mioc_identity_lend(uint64_t dev, uint64_t ino, uint64_t original_dev, uint64_t original_ino)
{
    (void)dev, (void)ino, (void)original_dev, (void)original_ino;
    return 0;
}
void mioc_identity_settle(void) { }
void mioc_identity_end(void) { }
void mioc_identity_stop(void) { }

#endif
