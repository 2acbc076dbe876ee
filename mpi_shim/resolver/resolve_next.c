/* SPDX-License-Identifier: BSD-3-Clause */
/* resolve_next.c - what an import asks next comes before the answer to its first question, so that it waits once for
 * each module.
 *
 *     asked                          comes before the answer         under way with it
 *     a name that is not there       the directory's listing
 *     pkg/__init__.* (not .py)       that, pkg/__init__.py           (and so its bytecode)
 *     m.py                           its bytecode                    the directory's listing
 *     an extension module            it, if small                    it, if large; the directory's listing
 *
 * resolve_imports.c guesses what the bytecode imports, behind that. */
#include "base/path.h"
#include "jobs.h"
#include "resolve.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* Makes the path of the bytecode file of /dir/name.py: /dir/__pycache__/name<tag>. Its length; 0: unknown. */
static uint32_t bytecode_path(struct mioc_resolver *r, const struct mioc_job *job, char *out)
{
    uint32_t parent = mioc_path_parent(job->path, job->len), tag_len, stem;
    static const char cache[] = "/__pycache__/";
    char tag[sizeof r->tag];

    pthread_mutex_lock(&r->lock);
    memcpy(tag, r->tag, sizeof tag);
    pthread_mutex_unlock(&r->lock);
    tag_len = (uint32_t)strlen(tag);
    if (tag_len == 0 || parent == 0 || job->len < parent + 5 || strcmp(job->path + job->len - 3, ".py") != 0)
        return 0;
    stem = job->len - 3 - (parent + 1);
    if (parent + sizeof cache + stem + tag_len >= PATH_MAX)
        return 0;
    memcpy(out, job->path, parent);
    memcpy(out + parent, cache, sizeof cache - 1);
    memcpy(out + parent + sizeof cache - 1, job->path + parent + 1, stem);
    memcpy(out + parent + sizeof cache - 1 + stem, tag, tag_len + 1);
    return parent + (uint32_t)sizeof cache - 1 + stem + tag_len;
}

static int ends_with(const struct mioc_job *job, const char *suffix)
{
    size_t len = strlen(suffix);

    return job->len > len && memcmp(job->path + job->len - len, suffix, len) == 0;
}

/* Whether an import looks for it. Other shared objects are looked at for other reasons. */
static int is_extension_module(const struct mioc_job *job, const char *name)
{
    return ends_with(job, ".so") && (strstr(name, ".cpython-") != NULL || ends_with(job, ".abi3.so"));
}

static void bring_package(struct mioc_resolver *r, const struct mioc_job *job, uint32_t parent)
{
    char path[PATH_MAX];
    static const char init[] = "/__init__.py";

    if (parent + sizeof init > sizeof path)
        return;
    memcpy(path, job->path, parent);
    memcpy(path + parent, init, sizeof init);
    mioc_resolver_bring(r, job, MIOC_ITEM_STAT, path, parent + (uint32_t)sizeof init - 1);
}

void mioc_resolve_next(struct mioc_resolver *r, const struct mioc_job *job, int error, uint64_t size)
{
    uint32_t parent = mioc_path_parent(job->path, job->len), len;
    const char *name = job->path + parent + 1;
    char bytecode[PATH_MAX];

    /* Nobody lists a __pycache__, and names that are looked for there mostly exist. */
    if (job->is_early || parent <= 1 || (parent > 12 && memcmp(job->path + parent - 12, "/__pycache__", 12) == 0))
        return;
    if (error == ENOENT) {
        mioc_resolver_bring(r, job, MIOC_ITEM_LIST, job->path, parent);
        if (strncmp(name, "__init__.", 9) == 0 && strcmp(name, "__init__.py") != 0)
            bring_package(r, job, parent);
        return;
    }
    if (error == 0 && job->kind == MIOC_ITEM_STAT) {
        if (strcmp(name, "__init__.py") == 0) /* its bytecode's imports are looked for there */
            mioc_resolver_bring(r, job, MIOC_ITEM_LIST, job->path, parent);
        len = bytecode_path(r, job, bytecode);
        if (len > 0 && size > 0)
            mioc_resolver_bring(r, job, MIOC_ITEM_CONTENT, bytecode, len);
        else if (size > 0 && is_extension_module(job, name) && size <= MIOC_CHUNK_MAX)
            mioc_resolver_bring(r, job, MIOC_ITEM_CONTENT, job->path, job->len);
        else if (size > 0 && is_extension_module(job, name))
            mioc_resolver_speculate(r, job, MIOC_ITEM_CONTENT, job->path, job->len);
    }
    if (error == 0 && is_extension_module(job, name))
        mioc_resolve_note_root(r, job->path, parent);
    mioc_resolver_speculate(r, job, MIOC_ITEM_LIST, job->path, parent);
}
