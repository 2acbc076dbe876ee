/* SPDX-License-Identifier: BSD-3-Clause */
/* policy.c - says whether a path is ours: pure functions of an immutable table. */
#include "policy_internal.h"
#include "base/path.h"
#include <errno.h>
#include <string.h>

/* --- Names ------------------------------------------------------------------------------------------------------- */

static int has_suffix(const char *name, uint32_t len, const char *suffix, uint32_t suffix_len)
{
    return len > suffix_len && memcmp(name + len - suffix_len, suffix, suffix_len) == 0;
}

static int has_start(const char *name, uint32_t len, const char *start, uint32_t start_len)
{
    return len >= start_len && memcmp(name, start, start_len) == 0;
}

static int is_name(const char *name, uint32_t len, const char *other)
{
    return strlen(other) == len && memcmp(name, other, len) == 0;
}

int mioc_policy_is_import_name(const char *name, uint32_t len)
{
    /* importlib writes a .pyc as X.pyc.140212345, and then renames it. */
    uint32_t stem = len;

    while (stem > 0 && name[stem - 1] >= '0' && name[stem - 1] <= '9')
        stem--;
    if (stem > 0 && stem < len && name[stem - 1] == '.' && has_suffix(name, stem - 1, ".pyc", 4))
        return 1;
    return has_suffix(name, len, ".py", 3) || has_suffix(name, len, ".pyc", 4) || mioc_path_is_object_name(name, len) ||
           is_name(name, len, "__pycache__");
}

/* Whether CPython's getpath looks for `rest`, a path below an interpreter's place. getpath starts in the executable's
 * directory (bin/) and goes up, so it looks for everything in both. Other names there are not ours: people unpack an
 * environment into a directory with data. */
static int is_interpreter_name(const char *rest, uint32_t len)
{
    const char *slash;
    uint32_t first;
    int is_in_bin = has_start(rest, len, "bin/", 4);

    if (len == 0 || is_name(rest, len, "bin"))
        return 1;
    if (is_in_bin) {
        rest += 4;
        len -= 4;
    }
    slash = memchr(rest, '/', len);
    first = slash ? (uint32_t)(slash - rest) : len;
    if (is_name(rest, first, "lib") || is_name(rest, first, "lib64"))
        return 1;
    if (slash)
        return is_name(rest, len, "Modules/Setup.local") || is_name(rest, len, "Modules/Setup") ||
               is_name(rest, len, "local/lib") || has_start(rest, len, "local/lib/", 10);
    return (is_in_bin && has_start(rest, len, "python", 6)) || is_name(rest, len, "pyvenv.cfg") ||
           is_name(rest, len, "pybuilddir.txt") || has_suffix(rest, len, "._pth", 5) || is_name(rest, len, "Modules") ||
           is_name(rest, len, "Setup.local") || is_name(rest, len, "local");
}

static int is_import_path(const char *path, uint32_t len)
{
    const char *slash = memrchr(path, '/', len);

    return slash && mioc_policy_is_import_name(slash + 1, len - (uint32_t)(slash + 1 - path));
}

static int is_text(const char *text, size_t size, uint32_t len)
{
    return len < size && text[len] == '\0' && memchr(text, '\0', len) == NULL;
}

int mioc_policy_is_sound(const struct mioc_policy *policy)
{
    if (policy->count > MIOC_MAX_PREFIXES || policy->excludes > MIOC_MAX_PREFIXES || policy->heads > MIOC_MAX_PREFIXES)
        return 0;
    for (unsigned i = 0; i < policy->count; i++) {
        const struct mioc_policy_prefix *prefix = &policy->prefix[i];

        if (prefix->len == 0 || !is_text(prefix->path, sizeof prefix->path, prefix->len) ||
            !is_text(prefix->real, sizeof prefix->real, prefix->real_len) || prefix->kind > MIOC_POLICY_LIBRARY)
            return 0;
    }
    for (unsigned i = 0; i < policy->excludes; i++)
        if (!is_text(policy->exclude[i].path, sizeof policy->exclude[i].path, policy->exclude[i].len))
            return 0;
    return 1;
}

/* --- Classes ----------------------------------------------------------------------------------------------------- */

static int is_below(const char *path, uint32_t len, const struct mioc_policy_prefix *prefix)
{
    return len >= prefix->len && (len == prefix->len || path[prefix->len] == '/') &&
           memcmp(path, prefix->path, prefix->len) == 0;
}

static int has_known_head(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    uint64_t head = 0;

    if (policy->heads == 0)
        return 1;
    if (len >= 8)
        memcpy(&head, path, 8);
    else
        memcpy(&head, path, len);
    for (unsigned i = 0; i < policy->heads; i++)
        if ((head & policy->mask[i]) == policy->head[i])
            return 1;
    return 0;
}

int mioc_policy_is_candidate(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    if (has_known_head(policy, path, len))
        for (unsigned i = 0; i < policy->count; i++)
            if (is_below(path, len, &policy->prefix[i]))
                return 1;
    return 0;
}

static int is_excluded(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    for (unsigned i = 0; i < policy->excludes; i++)
        if (mioc_path_is_below(path, len, policy->exclude[i].path, policy->exclude[i].len))
            return 1;
    return 0;
}

/* Returns the class that a prefix gives to a path below it. */
static enum mioc_policy_class class_below(const struct mioc_policy_prefix *prefix, const char *path, uint32_t len)
{
    uint32_t at = len > prefix->len ? prefix->len + 1 : len;

    if (prefix->kind == MIOC_POLICY_LIBRARY && prefix->interpreter_names_only)
        return is_interpreter_name(path + at, len - at) ? MIOC_POLICY_LIBRARY : MIOC_POLICY_NONE;
    if (prefix->kind == MIOC_POLICY_IMPORT)
        return at < len && is_import_path(path, len) ? MIOC_POLICY_IMPORT : MIOC_POLICY_NONE;
    return prefix->kind;
}

/* Returns the class of a path without "..". The longest prefix with another class than NONE wins. *is_near: the path is
 * below some prefix, whatever its class. */
static enum mioc_policy_class classify_plain(const struct mioc_policy *policy, const char *path, uint32_t len,
                                             int *is_near)
{
    enum mioc_policy_class kind = MIOC_POLICY_NONE;

    *is_near = 0;
    for (unsigned i = 0; i < policy->count && kind == MIOC_POLICY_NONE; i++) {
        if (!is_below(path, len, &policy->prefix[i]))
            continue;
        *is_near = 1;
        kind = class_below(&policy->prefix[i], path, len);
    }
    if (kind != MIOC_POLICY_NONE && policy->excludes > 0 && is_excluded(policy, path, len))
        return MIOC_POLICY_NONE;
    return kind;
}

/* Returns 0: the path has no ".."; 1: it has, and buf has its normal form; -1: its normal form does not fit. */
static int fold(const char *path, uint32_t len, char buf[4096], uint32_t *folded_len)
{
    int saved = errno, n;

    if (!mioc_path_has_dotdot(path, len))
        return 0;
    n = len < 4096 ? mioc_path_normalize(path, buf, 4096) : -1;
    errno = saved;
    *folded_len = n > 0 ? (uint32_t)n : 0;
    return n > 0 ? 1 : -1;
}

/* Out of line, so that only paths with ".." pay for the buffer on the stack. */
static __attribute__((noinline)) enum mioc_policy_class classify_dotted(const struct mioc_policy *policy,
                                                                        const char *path, uint32_t len,
                                                                        enum mioc_policy_class spelled)
{
    char buf[4096];
    uint32_t folded_len;
    int is_near, is_dotted = fold(path, len, buf, &folded_len);

    if (is_dotted == 0)
        return spelled;
    if (is_dotted < 0 || (policy->excludes > 0 && is_excluded(policy, path, len)))
        return MIOC_POLICY_NONE;
    return classify_plain(policy, buf, folded_len, &is_near);
}

enum mioc_policy_class mioc_policy_classify_plain(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    int is_near;

    return len == 0 || path[0] != '/' || !has_known_head(policy, path, len)
               ? MIOC_POLICY_NONE
               : classify_plain(policy, path, len, &is_near);
}

enum mioc_policy_class mioc_policy_classify(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    enum mioc_policy_class kind;
    int is_near;

    if (len == 0 || path[0] != '/' || !has_known_head(policy, path, len))
        return MIOC_POLICY_NONE;
    kind = classify_plain(policy, path, len, &is_near);
    if (is_near && mioc_path_has_dotdot(path, len))
        return classify_dotted(policy, path, len, kind);
    return kind;
}

int mioc_policy_is_whole(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    char buf[4096];

    if (mioc_policy_classify(policy, path, len) != MIOC_POLICY_LIBRARY)
        return 0;
    if (fold(path, len, buf, &len) == 1)
        path = buf;
    for (unsigned i = 0; i < policy->count; i++)
        if (policy->prefix[i].kind == MIOC_POLICY_LIBRARY && !policy->prefix[i].interpreter_names_only &&
            is_below(path, len, &policy->prefix[i]))
            return 1;
    return 0;
}

/* By the spelling, without folding "..", because the stack may be small here. */
int mioc_policy_is_noexec(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    for (unsigned i = 0; i < policy->count; i++) /* the longest comes first */
        if (is_below(path, len, &policy->prefix[i]))
            return policy->prefix[i].is_noexec != 0;
    return 0;
}

int mioc_policy_maps_names(const struct mioc_policy *policy, const char *path, uint32_t len)
{
    for (unsigned i = 0; i < policy->count; i++)
        if (is_below(path, len, &policy->prefix[i]))
            return policy->prefix[i].maps_names != 0;
    return 0;
}

uint64_t mioc_policy_client_ms(const struct mioc_policy *policy, const char *path, uint32_t len, uint64_t *dev)
{
    *dev = 0;
    if (mioc_path_has_dotdot(path, len))
        return policy->client_most_ms;
    for (unsigned i = 0; i < policy->count; i++)
        if (is_below(path, len, &policy->prefix[i])) {
            *dev = policy->prefix[i].local_dev;
            return policy->prefix[i].client_ms;
        }
    return policy->client_most_ms;
}

/* --- Writers and working directories ----------------------------------------------------------------------------- */

/* Whether a path can be a directory with modules. Programs rename data all the time (`x.tmp` to `x.h5`), and a rename
 * does not say whether it moved a directory. No package has a dot in its name. */
static int may_hold_modules(const char *path, uint32_t len)
{
    const char *slash = memrchr(path, '/', len), *name = slash ? slash + 1 : path;
    uint32_t name_len = len - (uint32_t)(name - path);

    return memchr(name, '.', name_len) == NULL || has_suffix(name, name_len, ".egg", 4);
}

/* Whether something below the path could be ours. */
static __attribute__((noinline)) int is_subtree_concerned(const struct mioc_policy *policy, const char *path,
                                                          uint32_t len)
{
    char buf[4096];

    if (fold(path, len, buf, &len) == 1)
        path = buf;
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (is_excluded(policy, path, len))
        return 0;
    for (unsigned i = 0; i < policy->count; i++) {
        const struct mioc_policy_prefix *prefix = &policy->prefix[i];

        if (mioc_path_is_below(prefix->path, prefix->len, path, len) ||
            (prefix->kind == MIOC_POLICY_IMPORT && is_below(path, len, prefix) && may_hold_modules(path, len)))
            return 1;
    }
    return 0;
}

int mioc_policy_is_concerned(const struct mioc_policy *policy, const char *path, uint32_t len, int subtree)
{
    return mioc_policy_classify(policy, path, len) != MIOC_POLICY_NONE ||
           (subtree && is_subtree_concerned(policy, path, len));
}

uint32_t mioc_policy_alias(const struct mioc_policy *policy, unsigned i, const char *path, uint32_t len, char *out,
                           size_t size)
{
    const struct mioc_policy_prefix *prefix = &policy->prefix[i];
    uint32_t rest;

    if (prefix->real_len == 0 || !mioc_path_is_below(path, len, prefix->real, prefix->real_len))
        return 0;
    rest = len - prefix->real_len;
    if (prefix->len + (size_t)rest >= size)
        return 0;
    memcpy(out, prefix->path, prefix->len);
    memcpy(out + prefix->len, path + prefix->real_len, rest);
    out[prefix->len + rest] = '\0';
    return prefix->len + rest;
}

enum mioc_policy_class mioc_policy_covers_cwd(const struct mioc_policy *policy, const char *cwd)
{
    enum mioc_policy_class strongest = MIOC_POLICY_NONE;
    uint32_t len = (uint32_t)strnlen(cwd, 4096);

    for (unsigned i = 0; i < policy->count; i++) {
        const struct mioc_policy_prefix *prefix = &policy->prefix[i];

        /* Programs often work below an interpreter's place (~/bin/python), where only bin/ is asked for. */
        if (!is_below(cwd, len, prefix) ||
            (prefix->interpreter_names_only && len != prefix->len && strcmp(cwd + prefix->len, "/bin") != 0))
            continue;
        if (prefix->kind > strongest)
            strongest = prefix->kind;
    }
    return strongest;
}
