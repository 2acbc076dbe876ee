/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_imports.c - guesses: the bytecode of a module was read, and what it imports is read next.
 *
 * Only names that a known listing has are read, so a name that is nowhere costs nothing. An import without `from .` is
 * looked for in the directories where modules outside of packages were found before (roots), in the order of finding,
 * which is sys.path's as far as it matters. A wrong guess costs the filesystem a few calls. */
#include "bytecode.h"
#include "base/path.h"
#include "jobs.h"
#include "resolve.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char cache[] = "/__pycache__/", init[] = "__init__.py";

/* Modules that CPython has inside itself, though the library directory has their files, too (Python/frozen.c). */
static const char *const frozen[] = { "_collections_abc",
                                      "_sitebuiltins",
                                      "abc",
                                      "codecs",
                                      "genericpath",
                                      "importlib._bootstrap",
                                      "importlib._bootstrap_external",
                                      "importlib.machinery",
                                      "importlib.util",
                                      "io",
                                      "ntpath",
                                      "os",
                                      "posixpath",
                                      "runpy",
                                      "site",
                                      "stat",
                                      "zipimport" };

struct guesses {
    struct mioc_resolver *r;
    const char *dir; /* of the importing module */
    uint32_t dir_len;
    struct mioc_job *first, **last; /* in the imports' order */
};

static int is_frozen(const char *name, uint32_t len)
{
    for (size_t i = 0; i < sizeof frozen / sizeof *frozen; i++)
        if (strlen(frozen[i]) == len && memcmp(frozen[i], name, len) == 0)
            return 1;
    return 0;
}

/* --- What a directory has ---------------------------------------------------------------------------------------- */

enum found { FOUND_NOTHING, FOUND_PACKAGE, FOUND_FILE };

/* Whether it is "name.cpython-311-x86_64-linux-gnu.so" or "name.abi3.so". */
static int is_extension_of(const struct mioc_dirent *entry, const char *name, uint32_t len)
{
    return entry->name_len > len + 3u && memcmp(entry->name, name, len) == 0 &&
           (strncmp(entry->name + len, ".cpython-", 9) == 0 || strcmp(entry->name + len, ".abi3.so") == 0) &&
           strcmp(entry->name + entry->name_len - 3, ".so") == 0;
}

/* Finds module `name` in a listing, in importlib's order: a directory, an extension module, a source file. */
static enum found find_module(const struct mioc_list_record *list, const char *name, uint32_t len,
                              char file[NAME_MAX + 1])
{
    const struct mioc_dirent *entry = mioc_list_find(list, name, len);

    if (len + 4 > NAME_MAX)
        return FOUND_NOTHING;
    if (entry != NULL && (entry->type == DT_DIR || entry->type == DT_UNKNOWN))
        return FOUND_PACKAGE;
    for (uint32_t i = 0, at = list->entries; i < list->count && (entry = mioc_list_entry(list, at)) != NULL;
         i++, at += entry->size)
        if (is_extension_of(entry, name, len)) {
            memcpy(file, entry->name, entry->name_len + 1u);
            return FOUND_FILE;
        }
    memcpy(file, name, len);
    memcpy(file + len, ".py", 4);
    return mioc_list_find(list, file, len + 3) != NULL ? FOUND_FILE : FOUND_NOTHING;
}

struct looking {
    const char *name;
    uint32_t len;
    char *file;
    enum found found;
    int has_init;
};

static void look_at(void *ctx, const struct mioc_list_record *list)
{
    struct looking *looking = ctx;

    looking->has_init = mioc_list_find(list, init, sizeof init - 1) != NULL;
    if (looking->len > 0)
        looking->found = find_module(list, looking->name, looking->len, looking->file);
}

static int has_listing(struct mioc_resolver *r, const char *dir, uint32_t len, struct looking *looking)
{
    return mioc_resolver_look_at_listing(r, dir, len, look_at, looking) == MIOC_LISTING_READ;
}

/* --- Where modules come from ------------------------------------------------------------------------------------- */

void mioc_resolve_note_root(struct mioc_resolver *r, const char *dir, uint32_t len)
{
    struct looking looking = { 0 };
    char *copy;

    /* A package's modules come from where the outermost package is. */
    while (len > 1 && has_listing(r, dir, len, &looking) && looking.has_init)
        len = mioc_path_parent(dir, len);
    if (len <= 1 || !has_listing(r, dir, len, &looking) || looking.has_init)
        return;
    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->roots; i++)
        if (strlen(r->root[i]) == len && memcmp(r->root[i], dir, len) == 0)
            goto done;
    if (r->roots < MIOC_RESOLVER_ROOTS && (copy = strndup(dir, len)) != NULL) {
        r->root[r->roots] = copy;
        __atomic_store_n(&r->roots, r->roots + 1, __ATOMIC_RELEASE);
    }
done:
    pthread_mutex_unlock(&r->lock);
}

/* --- Guesses ----------------------------------------------------------------------------------------------------- */

static void guess(struct guesses *g, const char *path, uint32_t len)
{
    uint64_t hash = mioc_item_hash(MIOC_ITEM_STAT, path, len);

    for (const struct mioc_job *job = g->first; job != NULL; job = job->next)
        if (job->hash == hash)
            return;
    *g->last = mioc_resolver_new_guess(g->r, MIOC_ITEM_STAT, path, len);
    if (*g->last != NULL)
        g->last = &(*g->last)->next;
}

/* Guesses that a dotted name below dir[0..len) is imported. `dir` has room for PATH_MAX bytes, and is written over.
 * Whether the first part of the name is there. */
static int guess_below(struct guesses *g, char *dir, uint32_t len, const char *name, uint32_t name_len)
{
    int is_there = 0;

    while (name_len > 0) {
        const char *dot = memchr(name, '.', name_len);
        uint32_t part = dot != NULL ? (uint32_t)(dot - name) : name_len;
        char file[NAME_MAX + 1];
        struct looking looking = { .name = name, .len = part, .file = file };

        if (part == 0 || len + part + 2 + sizeof init >= PATH_MAX || !has_listing(g->r, dir, len, &looking) ||
            looking.found == FOUND_NOTHING)
            return is_there;
        is_there = 1;
        dir[len] = '/';
        if (looking.found == FOUND_FILE) {
            if (len + 1 + strlen(file) < PATH_MAX) {
                strcpy(dir + len + 1, file);
                guess(g, dir, len + 1 + (uint32_t)strlen(file));
            }
            return 1;
        }
        memcpy(dir + len + 1, name, part);
        len += 1 + part;
        dir[len] = '/';
        memcpy(dir + len + 1, init, sizeof init);
        guess(g, dir, len + (uint32_t)sizeof init);
        dir[len] = '\0';
        name += part + (dot != NULL);
        name_len -= part + (dot != NULL);
    }
    return is_there;
}

static void guess_absolute(struct guesses *g, const char *name, uint32_t len)
{
    const char *dot = memchr(name, '.', len);
    char path[PATH_MAX];

    if (is_frozen(name, len) || (dot != NULL && is_frozen(name, (uint32_t)(dot - name)))) /* os.path */
        return;
    for (unsigned i = 0; i < __atomic_load_n(&g->r->roots, __ATOMIC_ACQUIRE); i++) {
        uint32_t root_len = (uint32_t)strlen(g->r->root[i]);

        memcpy(path, g->r->root[i], root_len + 1);
        if (guess_below(g, path, root_len, name, len))
            return;
    }
}

static void guess_import(void *ctx, const struct mioc_import *import)
{
    struct guesses *g = ctx;
    uint32_t dir_len = g->dir_len, len = import->name_len;
    char name[NAME_MAX + 1], path[PATH_MAX];

    if (len + 1 + import->item_len > NAME_MAX)
        return;
    memcpy(name, import->name, len);
    if (import->item_len > 0) {
        if (len > 0)
            name[len++] = '.';
        memcpy(name + len, import->item, import->item_len);
        len += import->item_len;
    }
    if (import->level == 0) {
        guess_absolute(g, name, len);
        return;
    }
    for (unsigned i = 1; i < import->level && dir_len > 1; i++)
        dir_len = mioc_path_parent(g->dir, dir_len);
    memcpy(path, g->dir, dir_len);
    path[dir_len] = '\0';
    (void)guess_below(g, path, dir_len, name, len);
}

void mioc_resolve_imports(struct mioc_resolver *r, const struct mioc_job *job, const unsigned char *bytes, size_t size)
{
    const char *at = strstr(job->path, cache);
    struct guesses g = { .r = r, .dir = job->path };

    if (job->is_listed || at == NULL || at == job->path || job->len < 5 ||
        strcmp(job->path + job->len - 4, ".pyc") != 0)
        return;
    g.dir_len = (uint32_t)(at - job->path);
    g.last = &g.first;
    mioc_resolve_note_root(r, job->path, g.dir_len);
    (void)mioc_bytecode_imports(bytes, size, guess_import, &g);
    mioc_resolver_enqueue_guesses(r, g.first);
}
