/* SPDX-License-Identifier: BSD-3-Clause */
/* policy.h - is this path ours?
 *
 * Made once before main, immutable afterwards. Prefixes come from the interpreter's place (AT_EXECFN, /proc/self/exe,
 * PYTHONHOME, PYTHONUSERBASE or ~/.local), from sys.path's sources (PYTHONPATH, the script's directory, the working
 * directory for -c and -m) and from MPIIO_CACHE_PATHS; MPIIO_CACHE_EXCLUDE takes away. Only shared filesystem types
 * count (the mount that an O_PATH descriptor is on, looked up in mountinfo: no more of the filesystem than the path's
 * walk), except below MPIIO_CACHE_PATHS. */
#ifndef MIOC_POLICY_H
#define MIOC_POLICY_H

#include "base/config.h"
#include "store/store.h"
#include <stdint.h>

enum mioc_policy_class {
    MIOC_POLICY_NONE = 0, /* not ours: the real call */
    MIOC_POLICY_IMPORT,   /* import-shaped name in another sys.path directory; ENOENT lives for the TTL, and neither the
                             directory itself nor its listing is served */
    MIOC_POLICY_LIBRARY   /* every name: standard library, site-packages, forced prefixes */
};

struct mioc_policy_prefix {
    uint32_t len;
    enum mioc_policy_class kind;
    uint32_t interpreter_names_only; /* 1: only the names that getpath asks for: pyvenv.cfg, pybuilddir.txt, python*,
                                      *._pth, … */
    uint32_t real_len;
    uint32_t is_noexec;  /* 1: mounted so on this node */
    uint32_t maps_names; /* 1: files have more names than their directories list, by its filesystem's type */
    uint32_t client_ms;  /* how long this node's kernel may show what was there before another node's write */
    uint64_t local_dev;  /* st_dev of the prefix on this node; 0 if it could not be found */
    char path[1024];     /* normalised, no trailing slash, never "/" */
    char real[1024];     /* without symbolic links; real_len is 0 if that is unknown or the same */
};

struct mioc_policy {
    unsigned count, excludes;
    uint32_t client_most_ms; /* the longest such time of all shared mounts */
    uint64_t program; /* names interpreter, options and script, module or code; not the program's own arguments */
    unsigned heads;   /* distinct (head, mask) pairs; 0: no quick way out */
    uint64_t head[MIOC_MAX_PREFIXES], mask[MIOC_MAX_PREFIXES]; /* a prefix's first eight bytes */
    struct mioc_policy_prefix prefix[MIOC_MAX_PREFIXES];       /* longest first */
    struct mioc_policy_exclude {
        uint32_t len;
        char path[1024];
    } exclude[MIOC_MAX_PREFIXES];
};

/* What the policy is made from; tests fill it by hand. */
struct mioc_policy_source {
    const char *exec_fn; /* getauxval(AT_EXECFN) */
    const char *exe;     /* target of /proc/self/exe */
    const char *cwd;
    const char *version; /* "3.11"; NULL: unknown */
    char *const *argv;   /* the interpreter's arguments */
    char *const *env;
    const char *mountinfo; /* path, "/proc/self/mountinfo" */
    int is_self;           /* 1: exe and cwd are this process's, so that they can be looked at without a walk */
};

/* 0; a policy without prefixes means that there is nothing to cache here. Prefixes beyond MIOC_MAX_PREFIXES are left
 * out, sys.path's first. Not for signal handlers (it allocates). */
int mioc_policy_build(struct mioc_policy *policy, const struct mioc_policy_source *source,
                      const struct mioc_config *config);
/* "3.11" of the interpreter in this process; 0, or -1: there is none. */
int mioc_policy_python_version(char *buf, size_t size);
/* The script that an interpreter's command line names, as it stands there, or NULL. */
const char *mioc_policy_script(char *const *argv, char *const *env);
/* From this process. */
int mioc_policy_build_self(struct mioc_policy *policy, int argc, char **argv, const struct mioc_config *config);

/* Whether a policy that came from another process has nothing that leads out of it. */
int mioc_policy_is_sound(const struct mioc_policy *policy);

/* Classifies a key (path.h). No system call, no lock. A key with ".." is ours only if both its spelling and its lexical
 * normal form are below prefixes; the normal form then says what it is. At most some ten nanoseconds for a path that is
 * not ours. Keeps errno. */
enum mioc_policy_class mioc_policy_classify(const struct mioc_policy *policy, const char *path, uint32_t len);
/* The same for a key that is known to have no "..". */
enum mioc_policy_class mioc_policy_classify_plain(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether a path, as spelled, is a prefix or below one: cheaper than a key and its class. */
int mioc_policy_is_candidate(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether the path's listing may be served: a directory that is library as a whole, not one with interpreter's names
 * only. */
int mioc_policy_is_whole(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether the path's mount on this node forbids to execute, and so to map for execution, what is there. */
int mioc_policy_is_noexec(const struct mioc_policy *policy, const char *path, uint32_t len);
/* Whether the path's filesystem finds files by names that no listing has. */
int mioc_policy_maps_names(const struct mioc_policy *policy, const char *path, uint32_t len);
/* How long this node's kernel may go on showing what was there before another node's write to the path, ms, and for
 * which device (st_dev; 0: none) that is so: a link may lead elsewhere, where it is client_most_ms at most. By the
 * spelling. */
uint64_t mioc_policy_client_ms(const struct mioc_policy *policy, const char *path, uint32_t len, uint64_t *dev);
/* Whether a change of the path concerns the cache: it is ours, or (`subtree`) something below it could be. */
int mioc_policy_is_concerned(const struct mioc_policy *policy, const char *path, uint32_t len, int subtree);
/* The prefix's own spelling of a path that is below what prefix i is a symbolic link to: its length, or 0 if there is
 * none. */
uint32_t mioc_policy_alias(const struct mioc_policy *policy, unsigned i, const char *path, uint32_t len, char *out,
                           size_t size);
/* Whether a relative path could be ours at all: the strongest class that the working directory `cwd` can give a name in
 * or below it. */
enum mioc_policy_class mioc_policy_covers_cwd(const struct mioc_policy *policy, const char *cwd);
/* Whether a name looks like one that an import, or the loader for it, looks for: *.py, *.pyc, *.so, *.so.VERSION
 * (path.h),
 * __pycache__, and the *.pyc.NUMBER that becomes a *.pyc; *.pth is not. */
int mioc_policy_is_import_name(const char *name, uint32_t len);
/* Whether a filesystem type's name (mountinfo) is that of a shared one. */
int mioc_policy_is_shared_type(const char *type);

/* Leaves the policy in the directory of a store: 0, or -1 with errno. */
int mioc_policy_save(const struct mioc_policy *policy, const char *store_dir);
/* Maps what was left there, read-only, if it is this user's and sound; NULL with errno. Async-signal-safe. Never
 * unmapped by whoever has put it in force. */
const struct mioc_policy *mioc_policy_map(const char *store_dir);

#endif
