/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_needed.c - reads the libraries that an object needs while the object itself is being read.
 *
 * The loader maps a library, then asks for those that it needs, one after the other. This looks for them as the loader
 * will (library_path.h), and reads them in the loader's order, breadth first. It asks no more than the loader will:
 *   - it looks for a name once, as the loader does not look for what is loaded under that name already;
 *   - it asks for a directory's listing first, and looks there only for names that are in it;
 *   - it leaves out what is known or under way.
 * A lookup that waits for a listing is parked. If the object was itself read as a guess (resolve_imports.c), its lookup
 * is dormant until somebody asks for one of its names: then the object is being loaded. */
#include "base/path.h"
#include "base/proc.h"
#include "jobs.h"
#include "resolve.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Most names that are noted as loaded or looked for; most bytes of names of one object; most dormant lookups. */
#define NAMES_MAX 16384u
#define NAMES_BYTES 32768u
#define SLEEPERS_MAX 512u

/* --- Names that are loaded --------------------------------------------------------------------------------------- */

/* With the lock held: notes a name. Whether it was new. */
static int note_name(struct mioc_resolver *r, const char *name)
{
    const uint64_t hash = mioc_item_hash(MIOC_ITEM_CONTENT, name, (uint32_t)strlen(name));

    if (r->libraries.names.count >= NAMES_MAX || mioc_keys_has(&r->libraries.names, hash))
        return 0;
    mioc_keys_add(&r->libraries.names, hash);
    return 1;
}

/* Learns $LIB from the place of this system's libc: /lib/x86_64-linux-gnu, /usr/lib64. */
static void note_lib(struct mioc_libraries *libraries, const char *path, size_t len)
{
    if (len > 4 && memcmp(path, "/usr", 4) == 0)
        path += 4, len -= 4;
    if (libraries->world.lib == NULL && len > 1)
        libraries->world.lib = strndup(path + 1, len - 1);
}

static int note_loaded(struct dl_phdr_info *info, size_t size, void *ctx)
{
    struct mioc_resolver *r = ctx;
    const char *slash = strrchr(info->dlpi_name, '/');

    (void)size;
    if (slash == NULL)
        return 0;
    (void)note_name(r, slash + 1);
    if (strcmp(slash, "/libc.so.6") == 0)
        note_lib(&r->libraries, info->dlpi_name, (size_t)(slash - info->dlpi_name));
    return 0;
}

void mioc_resolve_needed_start(struct mioc_resolver *r)
{
    const char *library_path = mioc_proc_getenv(environ, "LD_LIBRARY_PATH");

    r->libraries.queue.last = &r->libraries.queue.first;
    r->libraries.world.library_path = library_path != NULL ? strdup(library_path) : NULL;
    r->libraries.world.platform = (const char *)getauxval(AT_PLATFORM);
    (void)dl_iterate_phdr(note_loaded, r);
}

void mioc_resolve_needed_end(struct mioc_resolver *r)
{
    mioc_lookup_free(r->libraries.parked);
    mioc_lookup_free(r->libraries.dormant);
    mioc_keys_free(&r->libraries.names);
    free((void *)r->libraries.world.library_path);
    free((void *)r->libraries.world.lib);
}

/* --- What an object needs ----------------------------------------------------------------------------------------- */

struct needs {
    char *rpath, *runpath, soname[256];
    uint32_t size; /* of names */
    char names[NAMES_BYTES];
};

static void note_need(void *ctx, int64_t tag, const char *text)
{
    struct needs *needs = ctx;
    const size_t size = strlen(text) + 1;

    if (tag == DT_RPATH && needs->rpath == NULL)
        needs->rpath = strdup(text);
    else if (tag == DT_RUNPATH && needs->runpath == NULL)
        needs->runpath = strdup(text);
    else if (tag == DT_SONAME && size <= sizeof needs->soname)
        memcpy(needs->soname, text, size);
    else if (tag == DT_NEEDED && size > 1 && strpbrk(text, "/$") == NULL && size <= sizeof needs->names - needs->size) {
        memcpy(needs->names + needs->size, text, size);
        needs->size += (uint32_t)size;
    }
}

/* With the lock held: keeps only the names that nobody has looked for yet. */
static void leave_new_names(struct mioc_resolver *r, struct mioc_lookup *lookup)
{
    uint32_t kept = 0, size;

    for (uint32_t at = 0; at < lookup->size; at += size) {
        size = (uint32_t)strlen(lookup->names + at) + 1;
        if (!note_name(r, lookup->names + at))
            continue;
        memmove(lookup->names + kept, lookup->names + at, size);
        kept += size;
    }
    lookup->size = kept;
}

/* Begins the lookup, or lets it be dormant; takes it. */
static void send(struct mioc_resolver *r, struct mioc_lookup *lookup, int is_guessed)
{
    pthread_mutex_lock(&r->lock);
    if (!is_guessed) {
        leave_new_names(r, lookup);
    } else if (r->libraries.sleepers < SLEEPERS_MAX) {
        lookup->next = r->libraries.dormant;
        r->libraries.dormant = lookup;
        r->libraries.sleepers++;
        lookup = NULL;
    } else {
        lookup->size = 0;
    }
    pthread_mutex_unlock(&r->lock);
    if (lookup != NULL)
        mioc_resolve_look_up(r, lookup);
}

void mioc_resolve_wake(struct mioc_resolver *r, struct mioc_job *job)
{
    const char *name = strrchr(job->path, '/') + 1;
    struct mioc_lookup *woken = NULL, **at = &r->libraries.dormant, *lookup;

    if (job->is_early || job->is_guess || job->is_guessed || !mioc_path_is_object_name(name, (uint32_t)strlen(name)))
        return;
    pthread_mutex_lock(&r->lock);
    while ((lookup = *at) != NULL) {
        if (!mioc_lookup_has_name(lookup, name)) {
            at = &lookup->next;
            continue;
        }
        *at = lookup->next;
        r->libraries.sleepers--;
        if (job->lookup == NULL) /* so that the library inherits the object's path */
            job->lookup = mioc_lookup_new(lookup->path, 0, "", 0);
        leave_new_names(r, lookup);
        lookup->next = woken;
        woken = lookup;
    }
    pthread_mutex_unlock(&r->lock);
    mioc_resolve_look_up(r, woken);
}

static void look_for_names(struct mioc_resolver *r, const struct mioc_job *job, const struct needs *needs)
{
    struct mioc_library_path *path =
        mioc_library_path_new(&r->libraries.world, job->lookup != NULL ? job->lookup->path : NULL, job->path, job->len,
                              needs->rpath, needs->runpath);
    struct mioc_lookup *lookup =
        path != NULL && path->first < path->count ? mioc_lookup_new(path, 0, needs->names, needs->size) : NULL;

    mioc_library_path_unref(path);
    if (lookup != NULL)
        send(r, lookup, job->is_guessed);
}

void mioc_resolve_needed(struct mioc_resolver *r, const struct mioc_job *job, const struct mioc_elf_source *source)
{
    const uint32_t parent = mioc_path_parent(job->path, job->len);
    const char *name = job->path + parent + 1;
    struct needs *needs;

    /* The manifest itself names what an object of it needed the last time. */
    if (job->is_early || parent == 0 || !mioc_path_is_object_name(name, job->len - parent - 1) ||
        (needs = malloc(sizeof *needs)) == NULL)
        return;
    needs->rpath = needs->runpath = NULL;
    needs->soname[0] = '\0';
    needs->size = 0;
    (void)mioc_elf_texts(source, note_need, needs);
    if (!job->is_guessed) {
        pthread_mutex_lock(&r->lock);
        (void)note_name(r, name);
        (void)note_name(r, needs->soname);
        pthread_mutex_unlock(&r->lock);
    }
    if (needs->size > 0)
        look_for_names(r, job, needs);
    free(needs->rpath);
    free(needs->runpath);
    free(needs);
}
