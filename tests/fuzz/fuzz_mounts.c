/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_mounts.c - mountinfo of any bytes, and a policy made with it from an environment of any bytes. Promises: every
 * text ends inside its field, prefixes are absolute and in normal form, and what a policy covers it also calls a
 * candidate. */
#include "base/path.h"
#include "policy/policy_internal.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void check_policy(const struct mioc_policy *policy, struct fuzz_input *in)
{
    char path[300], normal[1024];
    const uint8_t *bytes;
    size_t n;

    PROMISE(policy->count <= MIOC_MAX_PREFIXES && policy->excludes <= MIOC_MAX_PREFIXES &&
            policy->heads <= MIOC_MAX_PREFIXES);
    for (unsigned i = 0; i < policy->count; i++) {
        const struct mioc_policy_prefix *p = &policy->prefix[i];

        PROMISE(p->len >= 2 && p->len < sizeof p->path && strlen(p->path) == p->len && strlen(p->real) == p->real_len);
        PROMISE(mioc_path_normalize(p->path, normal, sizeof normal) == (int)p->len && strcmp(normal, p->path) == 0);
    }
    n = fuzz_bytes(in, sizeof path - 1, &bytes);
    memcpy(path, bytes, n);
    path[n] = '\0';
    n = strlen(path);
    if (mioc_policy_classify(policy, path, (uint32_t)n) != MIOC_POLICY_NONE)
        PROMISE(mioc_policy_is_candidate(policy, path, (uint32_t)n) &&
                mioc_policy_is_concerned(policy, path, (uint32_t)n, 0));
    if (mioc_policy_is_whole(policy, path, (uint32_t)n))
        PROMISE(mioc_policy_classify(policy, path, (uint32_t)n) == MIOC_POLICY_LIBRARY);
    (void)mioc_policy_is_concerned(policy, path, (uint32_t)n, 1);
    (void)mioc_policy_covers_cwd(policy, path);
    (void)mioc_policy_is_noexec(policy, path, (uint32_t)n);
    for (unsigned i = 0; i < policy->count; i++)
        (void)mioc_policy_alias(policy, i, path, (uint32_t)n, normal, sizeof normal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mioc_policy policy;
    static struct mioc_config config;
    static int file = -1;
    char name[64], *text, *env[8] = { NULL }, *argv[8] = { NULL };
    struct fuzz_input in = { data, size };
    struct mioc_mount mount = { .is_noexec = 0 };
    long id = (long)fuzz_number(&in, 1);
    dev_t dev = makedev(fuzz_byte(&in), fuzz_byte(&in));
    size_t options = fuzz_number(&in, 2);
    const uint8_t *bytes;

    if (file < 0)
        file = memfd_create("mounts", 0);
    /* The policy's sources: up to seven words, for environment and command line. */
    options = fuzz_bytes(&in, options % 4096, &bytes);
    text = calloc(1, options + 2);
    memcpy(text, bytes, options);
    for (size_t at = 0, n = 0; at < options && n < 7; at += strlen(text + at) + 1, n++)
        env[n] = argv[n] = text + at;
    PROMISE(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, in.at, in.left, 0) == (ssize_t)in.left &&
            lseek(file, 0, 0) == 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    {
        char *mounts = mioc_policy_read_mounts(name);

        PROMISE(mounts != NULL);
        if (mioc_policy_find_mount(mounts, id, dev, &mount) == 0) {
            PROMISE(strnlen(mount.type, sizeof mount.type) < sizeof mount.type && mount.type[0] != '\0');
            (void)mioc_policy_is_shared_type(mount.type);
        }
        free(mounts);
    }
    {
        const struct mioc_policy_source source = {
            .exec_fn = argv[0], .exe = argv[1], .cwd = "/usr/lib", .argv = argv, .env = env, .mountinfo = name
        };

        (void)mioc_config_parse(&config, env);
        PROMISE(mioc_policy_build(&policy, &source, &config) == 0);
        check_policy(&policy, &in);
    }
    free(text);
    return 0;
}
