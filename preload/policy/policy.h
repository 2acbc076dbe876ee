/* SPDX-License-Identifier: BSD-3-Clause */
/* policy.h - says whether a path is ours, that is, whether the cache may answer for it.
 *
 * A policy is made once, before main, and never changes after that. Its prefixes come from
 *   - the interpreter's place: AT_EXECFN, /proc/self/exe, PYTHONHOME, PYTHONUSERBASE or ~/.local;
 *   - sys.path's other sources: PYTHONPATH, the script's directory, for -c and -m the working directory;
 *   - MPIIO_CACHE_PATHS. MPIIO_CACHE_EXCLUDE takes away.
 * Only places on shared filesystems count, except those of MPIIO_CACHE_PATHS. An O_PATH descriptor and mountinfo say on
 * which mount a place is, which costs the filesystem no more than the path's walk.
 *
 * All functions are pure, async-signal-safe, and for any thread, unless they say otherwise. A path is a key
 * (base/path.h). */
#ifndef MIOC_POLICY_H
#define MIOC_POLICY_H

#include "base/config.h"
#include "store/store.h"
#include <stdint.h>

enum mioc_policy_class {
    MIOC_POLICY_NONE = 0, /* not ours: the real call */
    MIOC_POLICY_IMPORT,   /* an import-shaped name in another directory of sys.path. A missing name counts for the TTL
                             only;   the directory itself and its listing are not served */
    MIOC_POLICY_LIBRARY   /* every name: standard library, site-packages, MPIIO_CACHE_PATHS */
};

struct mioc_policy_prefix {
    uint32_t len;
    enum mioc_policy_class kind;
    uint32_t interpreter_names_only; /* 1: only names that getpath looks for: pyvenv.cfg, python*, *._pth, … */
    uint32_t real_len;
    uint32_t is_noexec;  /* 1: the mount on this node has noexec */
    uint32_t maps_names; /* 1: files have names that their directories do not list, by the filesystem's type */
    uint32_t client_ms;  /* how long this node's kernel may show the state before another node's write */
    uint64_t local_dev;  /* st_dev of the prefix on this node; 0: unknown */
    char path[1024];     /* in normal form, never "/" */
    char real[1024];     /* without symbolic links; real_len is 0 if that is unknown, or the same */
};

struct mioc_policy {
    unsigned count, excludes;
    uint32_t client_most_ms; /* the longest client_ms of all shared mounts */
    uint64_t program; /* hash of interpreter, options and script, module or code; not of the program's own arguments */
    unsigned heads;   /* distinct pairs {head, mask}; 0: no quick way out */
    uint64_t head[MIOC_MAX_PREFIXES], mask[MIOC_MAX_PREFIXES]; /* a prefix's first eight bytes */
    struct mioc_policy_prefix prefix[MIOC_MAX_PREFIXES];       /* longest first */
    struct mioc_policy_exclude {
        uint32_t len;
        char path[1024];
    } exclude[MIOC_MAX_PREFIXES];
};

/* --- Making it: before main, one thread -------------------------------------------------------------------------- */

/* What a policy is made from; tests fill it in by hand. */
struct mioc_policy_source {
    const char *exec_fn; /* getauxval(AT_EXECFN) */
    const char *exe;     /* target of /proc/self/exe */
    const char *cwd;
    const char *version; /* "3.11"; NULL: unknown */
    char *const *argv;   /* the interpreter's arguments */
    char *const *env;
    const char *mountinfo; /* path of the file, "/proc/self/mountinfo" */
    int is_self;           /* 1: exe and cwd are this process's, so that no walk is needed to look at them */
};

/* Makes a policy. One without prefixes means that there is nothing to cache. Prefixes beyond MIOC_MAX_PREFIXES are left
 * out, those of sys.path first. Returns 0, or -1: no memory. */
int mioc_policy_build(struct mioc_policy *policy, const struct mioc_policy_source *source,
                      const struct mioc_config *config);
/* The same from this process. */
int mioc_policy_build_self(struct mioc_policy *policy, int argc, char **argv, const struct mioc_config *config);
/* Writes the version of the interpreter in this process, "3.11". Returns 0, or -1: there is no interpreter. */
int mioc_policy_python_version(char *buf, size_t size);
/* Returns the script that an interpreter's command line names, as it is spelled there, or NULL. */
const char *mioc_policy_script(char *const *argv, char *const *env);

/* Leaves the policy in a store's directory. Returns 0 or -1. Keeps errno on success. */
int mioc_policy_save(const struct mioc_policy *policy, const char *store_dir);
/* Maps, read-only, the policy that was left there, if it is this user's and sound. Returns NULL otherwise. The mapping
 * stays as long as the process. Async-signal-safe. */
const struct mioc_policy *mioc_policy_map(const char *store_dir);
/* Whether a policy that another process made leads nobody out of its arrays. */
int mioc_policy_is_sound(const struct mioc_policy *policy);

/* --- Asking ------------------------------------------------------------------------------------------------------ */

/* Returns the class of a path. A path with ".." is ours only if both its spelling and its normal form are below
 * prefixes; then the normal form gives the class. At most some ten nanoseconds for a path that is not ours. Keeps
 * errno. */
enum mioc_policy_class mioc_policy_classify(const struct mioc_policy *policy, const char *path, uint32_t len);
/* The same for a path that has no "..". */
enum mioc_policy_class mioc_policy_classify_plain(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether a path, as spelled, is a prefix or below one: costs less than a key and its class. */
int mioc_policy_is_candidate(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether the listing of a directory may be served: it is LIBRARY, and not with interpreter's names only. */
int mioc_policy_is_whole(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether the path's mount on this node forbids execution, and so mapping for execution. By the spelling. */
int mioc_policy_is_noexec(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether the path's filesystem has files under names that no listing shows. By the spelling. */
int mioc_policy_maps_names(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Returns how long, in ms, this node's kernel may show the path as it was before another node's write. This
 * holds for files on *dev (st_dev; 0: for none); a link can lead to another device, with at most
 * client_most_ms. By the spelling. */
uint64_t mioc_policy_client_ms(const struct mioc_policy *policy, const char *path, uint32_t len, uint64_t *dev);
/* Whether a change of the path concerns the cache: the path is ours, or, with `subtree`, something below it can be. */
int mioc_policy_is_concerned(const struct mioc_policy *policy, const char *path, uint32_t len, int subtree);
/* Writes the spelling by prefix i of a path that is below the prefix's `real`. Returns its length, or
 * 0: there is none. */
uint32_t mioc_policy_alias(const struct mioc_policy *policy, unsigned i, const char *path, uint32_t len, char *out,
                           size_t size);
/* Returns the strongest class that a relative path can have in the working directory `cwd`. */
enum mioc_policy_class mioc_policy_covers_cwd(const struct mioc_policy *policy, const char *cwd);

/* Whether a name is import-shaped: *.py, *.pyc, *.so, *.so.VERSION (base/path.h), __pycache__, and the *.pyc.NUMBER
 * that becomes a *.pyc; not *.pth. */
int mioc_policy_is_import_name(const char *name, uint32_t len);
/* Whether a filesystem type, as mountinfo names it, is a shared one. */
int mioc_policy_is_shared_type(const char *type);

#endif
