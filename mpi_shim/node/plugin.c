/* SPDX-License-Identifier: BSD-3-Clause */
/* plugin.c - loads and starts an MPI plug-in, and knows which code and which descriptors are its own. */
#include "plugin.h"
#include "guard.h"
#include "job/pmi.h"
#include "base/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_OBJECTS 1024
#define MOST_RANGES 256
#define MOST_FDS MIOC_PLUGIN_MOST_FDS
#define MOST_PROTECTED 512

/* UCX would handle crash signals, by a backtrace and a hang for a debugger. They are for the program's own handlers. */
static char no_error_signals[] = "UCX_ERROR_SIGNALS=";

/* What MPI takes of /dev/shm for each rank (4.3 MB with UCX 1.13), with room to spare. */
#define SHM "/dev/shm"
#define SHM_PER_RANK (8u << 20)
#define MOST_RANKS_LEAST 8

/* --- Which code is MPI's ----------------------------------------------------------------------------------------- */

struct range {
    uintptr_t from, to;
};

static struct {
    unsigned objects, ranges;
    uintptr_t object[MOST_OBJECTS];  /* load addresses before the plug-in came */
    struct range range[MOST_RANGES]; /* executable segments of what came with it */
    unsigned new_objects;
    struct new_object {
        uintptr_t base;
        ElfW(Dyn) * dynamic;
    } new_object[MOST_RANGES]; /* what came with it */
} code;

static int note_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    if (code.objects < MOST_OBJECTS)
        code.object[code.objects++] = (uintptr_t)info->dlpi_addr;
    return 0;
}

static int note_ranges(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    for (unsigned i = 0; i < code.objects; i++)
        if (code.object[i] == (uintptr_t)info->dlpi_addr)
            return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t from = (uintptr_t)info->dlpi_addr + (uintptr_t)segment->p_vaddr;

        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && code.ranges < MOST_RANGES)
            code.range[code.ranges++] = (struct range){ from, from + (uintptr_t)segment->p_memsz };
        if (segment->p_type == PT_DYNAMIC && code.new_objects < MOST_RANGES)
            code.new_object[code.new_objects++] = (struct new_object){ (uintptr_t)info->dlpi_addr, (void *)from };
    }
    return 0;
}

int mioc_plugin_is_own_code(const void *address)
{
    uintptr_t at = (uintptr_t)address;

    for (unsigned i = 0; i < code.ranges; i++)
        if (at >= code.range[i].from && at < code.range[i].to)
            return 1;
    return 0;
}

static void nothing(void) {}

/* Whether it is loaded: MPI unloads some of what came with it. Reads ld.so's list without its lock, which the code
 * below a signal's handler may hold. */
static int is_loaded(const struct new_object *object)
{
    const struct link_map *map = _r_debug.r_map;

    while (map != NULL && (map->l_addr != object->base || map->l_ld != object->dynamic))
        map = map->l_next;
    return map != NULL;
}

/* Changes the dynamic section, where ld.so finds them. It is read-only by now. */
static void skip_destructors_of(const struct new_object *object)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    for (ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        uintptr_t from = (uintptr_t)entry & ~(page - 1), to = ((uintptr_t)(entry + 1) + page - 1) & ~(page - 1);

        if ((entry->d_tag != DT_FINI && entry->d_tag != DT_FINI_ARRAYSZ) ||
            syscall(SYS_mprotect, from, to - from, PROT_READ | PROT_WRITE) != 0)
            continue;
        if (entry->d_tag == DT_FINI)
            entry->d_un.d_ptr = (uintptr_t)nothing - object->base;
        else
            entry->d_un.d_val = 0;
    }
}

void mioc_plugin_skip_destructors(void)
{
    int saved = errno;

    for (unsigned i = 0; i < code.new_objects; i++)
        if (is_loaded(&code.new_object[i]))
            skip_destructors_of(&code.new_object[i]);
    errno = saved;
}

/* --- Which descriptors are MPI's --------------------------------------------------------------------------------- */

/* MPI may close a descriptor where nobody sees it, and the program gets the number. So the file counts, too. */
struct holding {
    int fd;
    dev_t dev;
    ino_t ino;
};

unsigned char mioc_plugin_protected_bits[MOST_FDS / 8];
static struct holding holdings[MOST_PROTECTED]; /* written before main() only */
static unsigned held;
static pid_t protector; /* the process that has protected something; its forked children have not */

int mioc_plugin_is_protector(void) { return protector != 0 && protector == getpid(); }

static int identify(int fd, struct holding *holding)
{
    struct stat st;
    int saved = errno;
#ifdef SYS_newfstatat
    long rc = syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH);
#else
    long rc = syscall(SYS_fstat, fd, &st);
#endif

    errno = saved;
    if (rc != 0)
        return -1;
    *holding = (struct holding){ fd, st.st_dev, st.st_ino };
    return 0;
}

void mioc_plugin_release_fd(int fd)
{
    if (fd >= 0 && fd < MOST_FDS)
        __atomic_fetch_and(&mioc_plugin_protected_bits[fd / 8], (unsigned char)~(1u << (fd % 8)), __ATOMIC_RELAXED);
}

static struct holding *find_holding(int fd)
{
    for (unsigned i = 0; i < held; i++)
        if (holdings[i].fd == fd)
            return &holdings[i];
    return NULL;
}

void mioc_plugin_protect_fd(int fd)
{
    struct holding holding, *slot = find_holding(fd);

    if (fd < 0 || fd >= MOST_FDS || identify(fd, &holding) != 0)
        return;
    if (slot == NULL) {
        if (held == MOST_PROTECTED)
            return;
        slot = &holdings[held++];
    }
    *slot = holding;
    protector = getpid();
    __atomic_fetch_or(&mioc_plugin_protected_bits[fd / 8], (unsigned char)(1u << (fd % 8)), __ATOMIC_RELAXED);
}

int mioc_plugin_is_protected_fd(int fd)
{
    const struct holding *known;
    struct holding now;

    if (!mioc_plugin_may_be_protected_fd(fd))
        return 0;
    known = find_holding(fd);
    if (known != NULL && identify(fd, &now) == 0 && now.dev == known->dev && now.ino == known->ino)
        return 1;
    mioc_plugin_release_fd(fd);
    return 0;
}

int mioc_plugin_next_protected_fd(int fd)
{
    for (fd = fd < 0 ? 0 : fd; fd < MOST_FDS; fd++) {
        if (fd % 8 == 0 && __atomic_load_n(&mioc_plugin_protected_bits[fd / 8], __ATOMIC_RELAXED) == 0)
            fd += 7;
        else if (mioc_plugin_is_protected_fd(fd))
            return fd;
    }
    return -1;
}

/* Programs that this one starts must not inherit MPI's descriptors. */
static void keep_to_ourselves(int fd)
{
    long flags = syscall(SYS_fcntl, fd, F_GETFD);

    if (flags >= 0)
        syscall(SYS_fcntl, fd, F_SETFD, flags | FD_CLOEXEC);
    mioc_plugin_protect_fd(fd);
}

void mioc_plugin_note_descriptors(void) { mioc_guard_visit_new(keep_to_ourselves); }

/* --- Start ------------------------------------------------------------------------------------------------------- */

static int is_without_room; /* main thread, and what MPI starts meanwhile */

/* Before MPI has started nobody knows how many ranks this node has. So: one for each processor, but at least eight. */
static int has_room(void)
{
    long ranks = sysconf(_SC_NPROCESSORS_ONLN);
    struct statvfs fs;

    if (ranks < MOST_RANKS_LEAST)
        ranks = MOST_RANKS_LEAST;
    return mioc_real(statvfs)(SHM, &fs) != 0 || (uint64_t)fs.f_bavail * fs.f_frsize >= (uint64_t)ranks * SHM_PER_RANK;
}

int mioc_plugin_is_without_room(const char *path) { return is_without_room && strncmp(path, SHM "/", sizeof SHM) == 0; }

/* UCX can use System V's shared memory, and MPICH falls back to another directory. The guard undoes the setenv(). */
static void keep_out_of_shm(void)
{
    is_without_room = !has_room();
    if (is_without_room)
        (void)setenv("UCX_TLS", "^posix", 0);
}

static struct mioc_transport_ops loaded;
static void (*plugin_depart)(struct mioc_transport *t);
static int is_handed_over; /* atomic */

void mioc_plugin_hand_over(void) { __atomic_store_n(&is_handed_over, 1, __ATOMIC_RELAXED); }

static void depart(struct mioc_transport *t)
{
    if (!__atomic_load_n(&is_handed_over, __ATOMIC_RELAXED))
        plugin_depart(t);
}

static int load(const char *path, const struct mioc_transport_ops **ops, char *reason, size_t size)
{
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct mioc_transport_ops *found;

    if (plugin == NULL) {
        const char *error = dlerror();

        snprintf(reason, size, "cannot load the MPI plug-in: %s", error != NULL ? error : path);
        return -1;
    }
    found = dlsym(plugin, "mioc_transport");
    if (found == NULL || found->abi != MIOC_TRANSPORT_ABI) {
        (void)dlerror(); /* so that the program's first dlerror() does not find this one */
        snprintf(reason, size, "%s is not a plug-in of this version", path);
        return -1;
    }
    if (found->watch_finalize != NULL) {
        /* MPI that the program itself is linked with comes before the plug-in in the search for names. */
        if (dlsym(RTLD_DEFAULT, "MPI_Init") != NULL) {
            snprintf(reason, size, "the program itself is linked with MPI, and this MPI has no sessions");
            return -1;
        }
        (void)dlerror();
        (void)dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    }
    loaded = *found;
    loaded.depart = depart;
    plugin_depart = found->depart;
    *ops = &loaded;
    return 0;
}

int mioc_plugin_start(const char *path, const struct mioc_transport_ops **ops, struct mioc_transport **instance,
                      struct mioc_world *world, char *reason, size_t reason_size)
{
    int rc, pmi = mioc_pmi_fd(environ);

    mioc_guard_enter(no_error_signals, MIOC_PLUGIN_FIRST_FD);
    keep_out_of_shm();
    dl_iterate_phdr(note_object, NULL);
    rc = load(path, ops, reason, reason_size);
    if (rc == 0)
        rc = (*ops)->start(instance, world, reason, reason_size);
    is_without_room = 0;
    dl_iterate_phdr(note_ranges, NULL);
    mioc_guard_restore();
    mioc_plugin_note_descriptors();
    if (pmi >= 0)
        mioc_plugin_protect_fd(pmi);
    return rc;
}

void mioc_plugin_settle(void)
{
    mioc_plugin_note_descriptors();
    mioc_guard_leave();
}
