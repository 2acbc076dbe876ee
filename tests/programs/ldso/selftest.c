/* SPDX-License-Identifier: BSD-3-Clause */
/* selftest.c - patches the ld.so that loads this library, of whatever glibc, and loads libraries through the patch.
 *
 * Linked without libc's start files and symbol versions, so that every build of glibc takes it. Preloaded into a
 * program that does nothing (program.c), it does its work as a constructor, writes one line, and ends the process: 0,
 * or 1. The environment: LDSO_LOAD, libraries with `:` between, each to be loaded; LDSO_COPY=PATH:COPY, COPY is opened
 * for PATH; LDSO_EMULATED, by qemu. */
#include "loader/find.h"
#include "loader/loader.h"
#include "base/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- What the loader's part asks of the rest of the product ------------------------------------------------------ */

struct mioc_real_table mioc_real_functions;

/* No function of this name before glibc 2.33. An emulator has threads of its own, which execute no code of this
 * process; before glibc 2.32 nothing but /proc could say so. */
static int real_stat(const char *path, struct stat *st)
{
    const int rc = (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, 0);

    if (rc == 0 && getenv("LDSO_EMULATED") != NULL && strcmp(path, "/proc/self/task") == 0)
        st->st_nlink = 3;
    return rc;
}

void *mioc_real_find(size_t slot) { return slot == offsetof(struct mioc_real_table, stat) ? (void *)real_stat : NULL; }

int mioc_real_is_shadowed(void) { return 0; }

void mioc_stats_count_loader(enum mioc_loader_way way) { (void)way; }

const char *mioc_store_path(const struct mioc_store *s)
{
    (void)s;
    return "";
}

/* --- The test ---------------------------------------------------------------------------------------------------- */

static char original[4096], copy[4096];
static int opens, copies;

static long answer(const struct mioc_loader_call *call)
{
    struct mioc_loader_call other = *call;
    const int is_at = call->number == SYS_openat;

    if (mioc_callsite_kind(call->number) != MIOC_CALLSITE_OPEN)
        return mioc_loader_pass(call);
    opens++;
    if (strcmp((const char *)call->argument[is_at], original) != 0) /* NOLINT: as the kernel gets it */
        return mioc_loader_pass(call);
    copies++;
    other.argument[is_at] = (long)copy;
    return mioc_loader_pass(&other);
}

static int count_sites(void)
{
    struct mioc_callsite sites[MIOC_MOST_CALLSITES];
    struct mioc_ldso ld;
    const char *why;

    return mioc_ldso_read(&ld, _r_debug.r_ldbase) == 0 ? mioc_callsites_find(&ld, sites, &why) : -1;
}

/* What failed, or NULL. */
static const char *load_all(void)
{
    static char list[16384];
    const char *libraries = getenv("LDSO_LOAD");
    int loaded = 0;

    snprintf(list, sizeof list, "%s", libraries != NULL ? libraries : "");
    for (char *save, *path = strtok_r(list, ":", &save); path != NULL; path = strtok_r(NULL, ":", &save)) {
        if (dlopen(path, RTLD_NOW) == NULL)
            return dlerror();
        loaded++;
    }
    return loaded > 0 && opens >= loaded ? NULL : "loads did not come to the answer";
}

static const char *load_copy(void)
{
    const char *pair = getenv("LDSO_COPY"), *colon = pair != NULL ? strchr(pair, ':') : NULL;
    struct link_map *map;
    int (*which)(void);

    if (colon == NULL)
        return "LDSO_COPY is missing";
    snprintf(original, sizeof original, "%.*s", (int)(colon - pair), pair);
    snprintf(copy, sizeof copy, "%s", colon + 1);
    map = dlopen(original, RTLD_NOW);
    if (map == NULL)
        return dlerror();
    which = (int (*)(void))dlsym(map, "which");
    if (copies != 1 || which == NULL || which() != 2)
        return "the original was loaded";
    return strcmp(map->l_name, original) == 0 ? NULL : "it has another name";
}

__attribute__((constructor)) static void run(void)
{
    enum mioc_loader_way way;
    const int sites = count_sites();
    const char *why = mioc_loader_try(&way);
    char line[512];

    if (why == NULL) {
        mioc_loader_set_answer(answer);
        why = load_all();
        if (why == NULL)
            why = load_copy();
    }
    snprintf(line, sizeof line, "%d %s\n", sites, why != NULL ? why : "patch");
    (void)syscall(SYS_write, 1, line, strlen(line));
    (void)syscall(SYS_exit_group, why != NULL);
}
