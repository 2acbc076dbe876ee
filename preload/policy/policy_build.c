/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_build.c - makes the policy: where this interpreter's modules can come from, and which of these places are
 * shared. */
#include "policy_internal.h"
#include "base/proc.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "base/real.h"
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#define PLACE_SIZE (sizeof(((struct mioc_policy_prefix *)0)->path))

struct builder {
    struct mioc_policy *policy;
    const struct mioc_policy_source *source;
    struct mioc_python_args args;
    char *mounts;
    unsigned left_out;
    char seen[8][PLACE_SIZE]; /* interpreter's places that are done */
    unsigned seen_count;
};

/* --- Paths ------------------------------------------------------------------------------------------------------- */

/* Makes a path absolute, and folds it to its normal form. Returns its length, or -1 (empty, too long, or relative
 * without a working directory). */
static int make_absolute(const struct builder *b, const char *path, size_t len, char out[PLACE_SIZE])
{
    char buf[4096];
    const char *cwd = b->source->cwd ? b->source->cwd : "";
    int n;

    if (path[0] != '/' && cwd[0] != '/')
        return -1;
    n = path[0] == '/' ? snprintf(buf, sizeof buf, "%.*s", (int)len, path)
                       : snprintf(buf, sizeof buf, "%s/%.*s", cwd, (int)len, path);
    return n > 0 && n < (int)sizeof buf ? mioc_path_normalize(buf, out, PLACE_SIZE) : -1;
}

/* Cuts off the last component. "/" stays. */
static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash)
        slash[slash == path] = '\0';
}

static void join(char out[PLACE_SIZE], const char *path, const char *name)
{
    /* A path that does not fit becomes the empty path, which add_prefix() does not take. */
    if (snprintf(out, PLACE_SIZE, "%s/%s", strcmp(path, "/") == 0 ? "" : path, name) >= (int)PLACE_SIZE)
        out[0] = '\0';
}

/* --- Prefixes ---------------------------------------------------------------------------------------------------- */

static void add_prefix(struct builder *b, const char *path, const char *real, const struct mioc_place *place,
                       enum mioc_policy_class kind, int names_only)
{
    struct mioc_policy *policy = b->policy;
    struct mioc_policy_prefix *prefix;
    size_t len = strlen(path);

    if (len < 2 || len >= PLACE_SIZE)
        return;
    for (unsigned i = 0; i < policy->count; i++)
        if (strcmp(policy->prefix[i].path, path) == 0 && policy->prefix[i].kind == kind &&
            policy->prefix[i].interpreter_names_only == (uint32_t)names_only)
            return;
    if (policy->count == MIOC_MAX_PREFIXES) {
        b->left_out++;
        return;
    }
    prefix = &policy->prefix[policy->count++];
    memset(prefix, 0, sizeof *prefix);
    memcpy(prefix->path, path, len + 1);
    prefix->len = (uint32_t)len;
    prefix->kind = kind;
    prefix->interpreter_names_only = (uint32_t)names_only;
    prefix->local_dev = place->dev;
    prefix->is_noexec = (uint32_t)place->is_noexec;
    prefix->client_ms = place->client_ms;
    prefix->maps_names = (uint32_t)place->maps_names;
    len = strlen(real);
    if (len > 1 && len < PLACE_SIZE && strcmp(real, path) != 0) {
        memcpy(prefix->real, real, len + 1);
        prefix->real_len = (uint32_t)len;
    }
}

static void add_below(struct builder *b, const char *place_path, const struct mioc_place *place, const char *name)
{
    char path[PLACE_SIZE], real[PLACE_SIZE] = "";

    join(path, place_path, name);
    if (place->real[0] == '/' && strlen(place->real) < PLACE_SIZE)
        join(real, place->real, name);
    add_prefix(b, path, real, place, MIOC_POLICY_LIBRARY, 0);
}

/* Finds out where a path is. The process's own executable and working directory take no walk. */
static int look(struct builder *b, struct mioc_place *place, const char *path, int is_exe_place)
{
    const char *cwd = b->source->cwd;

    if (b->source->is_self && is_exe_place && strlen(path) < sizeof place->real &&
        mioc_policy_find_place(place, "/proc/self/exe", b->mounts) == 0) {
        strcpy(place->real, path); /* the kernel's own spelling has no symbolic links */
        return 0;
    }
    if (b->source->is_self && cwd && strcmp(path, cwd) == 0)
        return mioc_policy_find_place(place, ".", b->mounts);
    return mioc_policy_find_place(place, path, b->mounts);
}

static int is_in_library(const struct builder *b, const char *path)
{
    for (unsigned i = 0; i < b->policy->count; i++) {
        const struct mioc_policy_prefix *prefix = &b->policy->prefix[i];

        if (prefix->kind == MIOC_POLICY_LIBRARY && !prefix->interpreter_names_only &&
            mioc_path_is_below(path, (uint32_t)strlen(path), prefix->path, prefix->len))
            return 1;
    }
    return 0;
}

/* --- The interpreter's places ------------------------------------------------------------------------------------ */

static void add_interpreter_place(struct builder *b, const char *path, int is_exe_place)
{
    struct mioc_place place;

    for (unsigned i = 0; i < b->seen_count; i++)
        if (strcmp(b->seen[i], path) == 0)
            return;
    if (b->seen_count == sizeof b->seen / sizeof b->seen[0])
        return;
    strcpy(b->seen[b->seen_count++], path);
    if (look(b, &place, path, is_exe_place) != 0 || !place.is_shared)
        return;
    add_prefix(b, path, place.real, &place, MIOC_POLICY_LIBRARY, 1);
    add_below(b, path, &place, "lib");
    add_below(b, path, &place, "lib64");
}

/* Writes X of X/bin/python. Returns whether the executable has such a place. */
static int place_of(const struct builder *b, const char *executable, char out[PLACE_SIZE])
{
    if (executable == NULL || strchr(executable, '/') == NULL || strncmp(executable, "/dev/fd/", 8) == 0 ||
        make_absolute(b, executable, strlen(executable), out) < 0)
        return 0;
    cut_name(out);
    cut_name(out);
    return 1;
}

static void add_executables(struct builder *b)
{
    const char *exec_fn = b->source->exec_fn, *exe = b->source->exe;
    char place[PLACE_SIZE];
    size_t len = exe ? strlen(exe) : 0;

    if (len > 10 && strcmp(exe + len - 10, " (deleted)") == 0)
        exe = NULL;
    if (place_of(b, exe, place))
        add_interpreter_place(b, place, 1);
    /* For a script with "#!/env/bin/python" AT_EXECFN is the script, and argv[0] is the interpreter's name. */
    if (exec_fn && b->args.script && strcmp(exec_fn, b->args.script) == 0)
        exec_fn = b->source->argv[0];
    if (place_of(b, exec_fn, place))
        add_interpreter_place(b, place, 0);
}

/* Adds the base of a virtual environment whose interpreter is a copy, not a link: it uses the base's library. An
 * interpreter with a library of its own is no such copy. That question goes to a directory, which the filesystem's
 * client keeps; a look for a pyvenv.cfg that is missing would cost each rank an operation. */
static void add_base(struct builder *b)
{
    char place[PLACE_SIZE], path[PLACE_SIZE], home[PLACE_SIZE];
    struct mioc_place library;

    if (b->source->version == NULL || !place_of(b, b->source->exe, place))
        return;
    for (int i = 0; i < 2; i++) {
        snprintf(home, sizeof home, "lib%s/python%.16s/encodings", i == 0 ? "" : "64", b->source->version);
        join(path, place, home);
        if (path[0] != '\0' && look(b, &library, path, 0) == 0)
            return;
    }
    if (mioc_policy_read_home(place, home, sizeof home) == 0 && home[0] == '/' &&
        mioc_path_normalize(home, path, PLACE_SIZE) > 0) {
        cut_name(path);
        add_interpreter_place(b, path, 0);
    }
}

static void add_import_place(struct builder *b, const char *path);

/* Calls visit() for each part of a list with ":" between. An empty part is the working directory in PYTHONPATH, and
 * nothing in other lists. */
static void for_each(struct builder *b, const char *list, void (*visit)(struct builder *b, const char *path))
{
    char path[PLACE_SIZE];

    for (const char *at = list, *end; at; at = *end ? end + 1 : NULL) {
        end = at + strcspn(at, ":");
        if ((end > at || visit == add_import_place) && make_absolute(b, at, (size_t)(end - at), path) > 0)
            visit(b, path);
    }
}

static void add_home(struct builder *b, const char *path) { add_interpreter_place(b, path, 0); }

static void add_user_site(struct builder *b)
{
    const char *base = b->args.ignores_env ? NULL : mioc_proc_getenv(b->source->env, "PYTHONUSERBASE");
    const char *home = mioc_proc_getenv(b->source->env, "HOME");
    char path[PLACE_SIZE];
    struct mioc_place place;

    if (b->args.has_no_user_site)
        return;
    if (base && base[0]) {
        if (make_absolute(b, base, strlen(base), path) < 0)
            return;
    } else {
        if (home == NULL || home[0] != '/' || make_absolute(b, home, strlen(home), path) < 0)
            return;
        if (strlen(path) + sizeof "/.local" > PLACE_SIZE)
            return;
        strcat(path, path[1] ? "/.local" : ".local");
    }
    if (look(b, &place, path, 0) == 0 && place.is_shared)
        add_below(b, path, &place, "lib");
}

/* --- sys.path's other sources ------------------------------------------------------------------------------------ */

static void add_import_place(struct builder *b, const char *path)
{
    struct mioc_place place;

    if (strcmp(path, "/") == 0 || is_in_library(b, path) || look(b, &place, path, 0) != 0 || !place.is_shared)
        return;
    add_prefix(b, path, place.real, &place, MIOC_POLICY_IMPORT, 0);
}

/* Adds a script's directory, as it is spelled, and as Python spells it: without symbolic links. */
static void add_script(struct builder *b, const char *script)
{
    char path[PLACE_SIZE], *slash;
    struct mioc_place place;

    if (make_absolute(b, script, strlen(script), path) < 0 || look(b, &place, path, 0) != 0 || !place.is_shared)
        return;
    if (!place.is_directory) { /* a script that is a directory, with a __main__.py, is in sys.path itself */
        cut_name(path);
        if (place.real[0] == '/')
            cut_name(place.real);
    }
    if (path[1] && !is_in_library(b, path))
        add_prefix(b, path, place.real, &place, MIOC_POLICY_IMPORT, 0);
    slash = strchr(place.real, '/');
    if (slash && place.real[1] && strlen(place.real) < PLACE_SIZE && !is_in_library(b, place.real))
        add_prefix(b, place.real, "", &place, MIOC_POLICY_IMPORT, 0);
}

static void add_import_places(struct builder *b)
{
    const char *list = b->args.ignores_env ? NULL : mioc_proc_getenv(b->source->env, "PYTHONPATH");

    if (b->args.script && !b->args.is_safe_path)
        add_script(b, b->args.script);
    if (b->args.uses_cwd && b->source->cwd && b->source->cwd[0] == '/')
        add_import_place(b, b->source->cwd);
    if (list && list[0])
        for_each(b, list, add_import_place);
}

/* --- Configuration ----------------------------------------------------------------------------------------------- */

static void add_forced(struct builder *b, const char *path)
{
    struct mioc_place place;

    if (look(b, &place, path, 0) != 0)
        place = (struct mioc_place){ .client_ms = MIOC_CLIENT_MS };
    add_prefix(b, path, place.real, &place, MIOC_POLICY_LIBRARY, 0);
}

static void add_exclude(struct builder *b, const char *path)
{
    struct mioc_policy *policy = b->policy;

    if (policy->excludes == MIOC_MAX_PREFIXES) {
        b->left_out++;
        return;
    }
    strcpy(policy->exclude[policy->excludes].path, path);
    policy->exclude[policy->excludes++].len = (uint32_t)strlen(path);
}

/* --- The whole --------------------------------------------------------------------------------------------------- */

static uint64_t add_name(uint64_t hash, const char *name)
{
    return hash * 0x9e3779b97f4a7c15ull ^ mioc_hash(name, strlen(name));
}

/* Returns a hash of what is run, as far as that decides what is imported. */
static uint64_t name_program(const struct builder *b)
{
    const struct mioc_policy_source *source = b->source;
    uint64_t hash = add_name(add_name(1, source->exe ? source->exe : ""), source->exec_fn ? source->exec_fn : "");

    for (unsigned i = 1; i < b->args.used; i++)
        hash = add_name(hash, source->argv[i]);
    if (source->cwd && (b->args.uses_cwd || !b->args.script || b->args.script[0] != '/'))
        hash = add_name(hash, source->cwd);
    return hash;
}

int mioc_policy_build(struct mioc_policy *policy, const struct mioc_policy_source *source,
                      const struct mioc_config *config)
{
    struct builder *b = calloc(1, sizeof *b);
    const char *homes;

    memset(policy, 0, offsetof(struct mioc_policy, prefix)); /* the arrays are large; their entries are made whole */
    if (b == NULL)
        return -1;
    b->policy = policy;
    b->source = source;
    mioc_policy_parse_python(&b->args, source->argv, source->env);
    policy->program = name_program(b);
    b->mounts = mioc_policy_read_mounts(source->mountinfo);
    if (config->exclude[0])
        for_each(b, config->exclude, add_exclude);
    if (config->paths[0])
        for_each(b, config->paths, add_forced);
    if (b->mounts) {
        add_executables(b);
        homes = b->args.ignores_env ? NULL : mioc_proc_getenv(source->env, "PYTHONHOME");
        if (homes && homes[0])
            for_each(b, homes, add_home);
        else
            add_base(b);
        add_user_site(b);
        add_import_places(b);
    }
    if (b->left_out > 0)
        mioc_log(MIOC_LOG_DEBUG, "%u directories are left out, the policy holds %u", b->left_out, MIOC_MAX_PREFIXES);
    mioc_policy_order(policy);
    mioc_policy_set_client_times(policy, b->mounts, config->actimeo_ms);
    free(b->mounts);
    free(b);
    return 0;
}

int mioc_policy_build_self(struct mioc_policy *policy, int argc, char **argv, const struct mioc_config *config)
{
    char exe[4096], cwd[4096], version[16];
    ssize_t n = mioc_real(readlink)("/proc/self/exe", exe, sizeof exe - 1);
    struct mioc_policy_source source = { .argv = argc > 0 ? argv : NULL,
                                         .env = environ,
                                         .mountinfo = "/proc/self/mountinfo" };

    exe[n > 0 ? n : 0] = '\0';
    source.exe = exe;
    source.exec_fn = (const char *)getauxval(AT_EXECFN); /* NOLINT: the kernel's way to hand over a pointer */
    source.cwd = mioc_real(getcwd)(cwd, sizeof cwd) ? cwd : NULL;
    source.version = mioc_policy_python_version(version, sizeof version) == 0 ? version : NULL;
    source.is_self = 1;
    return mioc_policy_build(policy, &source, config);
}
