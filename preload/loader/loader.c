/* SPDX-License-Identifier: BSD-3-Clause */
/* loader.c - decides whether the dynamic loader is patched, patches it, and says what became of it. */
#include "loader.h"
#include "base/real.h"
#include "find.h"
#include "handle.h"
#include "patch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    struct mioc_ldso ld; /* the image that is patched */
    struct mioc_plan plan;
    enum mioc_loader_way way;
    const char *why;   /* NULL: it is patched */
    int is_unmappable; /* mioc_loader_may_map() is 0 */
    int is_held_up;    /* mioc_loader_may_ask() is 0 within a load */
    char text[256];
} loader = { .way = MIOC_LOADER_SETTING, .why = "it was not asked for" };

/* --- Whether it can be done -------------------------------------------------------------------------------------- */

/* Whether this process has one thread: another could be in the code that is changed. The folder has a link for each
 * thread, and two more. */
static int is_alone(void)
{
    struct stat tasks;

    return mioc_real(stat)("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;
}

/* The same, but an emulator's threads do not count on aarch64. An emulator (qemu) has threads that the program does not
 * know. On aarch64 one instruction replaces one, and both are of a kind that may change while others execute it. */
static int is_single_threaded(void)
{
#ifdef __aarch64__
    extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */

    if (&__libc_single_threaded != NULL && __libc_single_threaded)
        return 1;
#endif
    return is_alone();
}

#if defined __x86_64__ || defined __aarch64__
/* valgrind translates code, and would not notice the change. These instructions do nothing elsewhere (valgrind.h). */
static int is_under_valgrind(void)
{
    uint64_t request[6] = { 0x1001 }, result = 0; /* RUNNING_ON_VALGRIND */

#ifdef __x86_64__
    __asm__ volatile("rolq $3, %%rdi\n rolq $13, %%rdi\n rolq $61, %%rdi\n rolq $51, %%rdi\n xchgq %%rbx, %%rbx"
                     : "+d"(result)
                     : "a"(request)
                     : "cc", "memory");
#else
    register uint64_t *x4 __asm__("x4") = request;
    register uint64_t x3 __asm__("x3") = result;

    __asm__ volatile("ror x12, x12, #3\n ror x12, x12, #13\n ror x12, x12, #51\n ror x12, x12, #61\n orr x10, x10, x10"
                     : "+r"(x3)
                     : "r"(x4)
                     : "cc", "memory");
    result = x3;
#endif
    return result != 0;
}

int mioc_loader_is_translated(void) { return is_under_valgrind(); }

static const char *is_refused(enum mioc_loader_way *way)
{
    *way = MIOC_LOADER_FORM;
    if (is_under_valgrind())
        return "valgrind";
    *way = MIOC_LOADER_THREADS;
    return is_single_threaded() ? NULL : "there are more threads, or no /proc that says";
}

/* The number of call sites, or -1 and *why. */
static int find(struct mioc_ldso *ld, struct mioc_callsite sites[MIOC_MOST_CALLSITES], const char **why)
{
    *why = "ld.so is not as expected";
    return mioc_ldso_read(ld, _r_debug.r_ldbase) == 0 ? mioc_callsites_find(ld, sites, why) : -1;
}

const char *mioc_loader_try(enum mioc_loader_way *way)
{
    struct mioc_callsite sites[MIOC_MOST_CALLSITES];
    const char *why = is_refused(way);
    int count;

    if (why != NULL)
        return why;
    *way = MIOC_LOADER_FORM;
    count = find(&loader.ld, sites, &why);
    if (count < 0 || mioc_plan_sites(&loader.ld, sites, (unsigned)count, &loader.plan, &why) != 0)
        return why;
    *way = MIOC_LOADER_TEXT;
    if (mioc_patch_apply(&loader.ld, &loader.plan, is_alone()) != 0)
        return "ld.so's text may not be written";
    *way = MIOC_LOADER_TEST;
    if (mioc_loader_test() != 0) {
        (void)mioc_patch_undo(&loader.ld, &loader.plan, is_alone());
        return "calls of ld.so do not arrive";
    }
    *way = MIOC_LOADER_PATCH;
    return NULL;
}

static void undo(void) { (void)mioc_patch_undo(&loader.ld, &loader.plan, is_alone()); }

const char *mioc_loader_check(void)
{
    const struct mioc_plan nothing = { 0 };
    struct mioc_callsite sites[MIOC_MOST_CALLSITES];
    enum mioc_loader_way way;
    struct mioc_ldso ld;
    const char *why = is_refused(&way);

    if (why != NULL || find(&ld, sites, &why) < 0)
        return why;
    return mioc_patch_apply(&ld, &nothing, is_alone()) == 0 ? NULL : "ld.so's text may not be written";
}
#else
int mioc_loader_is_translated(void) { return 1; } /* as far as is known */

const char *mioc_loader_try(enum mioc_loader_way *way)
{
    *way = MIOC_LOADER_FORM;
    return mioc_loader_check();
}

static void undo(void) {}

const char *mioc_loader_check(void) { return "it is written for x86-64 and aarch64 only"; }
#endif

void mioc_loader_patch(const struct mioc_config *config)
{
    int saved = errno;

    loader.why = "MPIIO_CACHE_LOADER";
    if (!config->loader_plain)
        loader.why = mioc_loader_try(&loader.way);
    errno = saved;
}

void mioc_loader_unpatch(void)
{
    int saved = errno;

    if (loader.way == MIOC_LOADER_PATCH && is_single_threaded())
        undo();
    errno = saved;
}

/* --- What became of it ------------------------------------------------------------------------------------------- */

/* Whether a file of the store can be mapped for execution. Only a try tells: a mount's options are one reason of
 * several, and a security module's rules cannot be read. */
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

static const char searches_only[] = " for searches only: nothing in MPIIO_CACHE_DIR may be executed";
static const char asking_nobody[] =
    ", asking nobody on the first rank of a node: another preload comes after libmpiio_cache.so";

void mioc_loader_start(const struct mioc_store *store, int has_agent)
{
    int is_patched = loader.way == MIOC_LOADER_PATCH, saved = errno;

    loader.is_unmappable = is_patched && !is_mappable(store);
    loader.is_held_up = has_agent && mioc_real_is_shadowed();
    if (is_patched)
        snprintf(loader.text, sizeof loader.text, "patch%s%s", loader.is_unmappable ? searches_only : "",
                 loader.is_held_up ? asking_nobody : "");
    else
        snprintf(loader.text, sizeof loader.text, "plain: %s", loader.why);
    mioc_stats_count_loader(loader.way);
    errno = saved;
}

const char *mioc_loader_text(void) { return loader.text; }

int mioc_loader_may_map(void) { return !loader.is_unmappable; }

int mioc_loader_may_ask(void) { return !loader.is_held_up || mioc_loader_is_locked() == 0; }
