/* SPDX-License-Identifier: BSD-3-Clause */
/* policy_file.c - leaves the policy in a store's directory, for programs without a policy of their own. */
#include "policy.h"
#include "base/io.h"
#include "base/real.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLICY_NAME "policy"

static int policy_path(const char *store_dir, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/" POLICY_NAME, store_dir);

    return n > 0 && (size_t)n < size ? 0 : -1;
}

/* What is not in use stays a hole. */
static int write_policy(int fd, const struct mioc_policy *policy)
{
    size_t used = offsetof(struct mioc_policy, prefix) + policy->count * sizeof policy->prefix[0];

    if (mioc_io_pwrite(fd, policy, used, 0) != 0 ||
        mioc_io_pwrite(fd, policy->exclude, policy->excludes * sizeof policy->exclude[0],
                       offsetof(struct mioc_policy, exclude)) != 0)
        return -1;
    return mioc_real(ftruncate)(fd, sizeof *policy);
}

int mioc_policy_save(const struct mioc_policy *policy, const char *store_dir)
{
    char path[1300];
    int fd, result, saved = errno;

    if (policy_path(store_dir, path, sizeof path) != 0 ||
        (fd = mioc_real(open)(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
        return -1;
    result = write_policy(fd, policy);
    mioc_real(close)(fd);
    errno = saved;
    return result;
}

const struct mioc_policy *mioc_policy_map(const char *store_dir)
{
    const struct mioc_policy *policy = MAP_FAILED;
    char path[1300];
    struct stat st;
    int fd;

    if (policy_path(store_dir, path, sizeof path) != 0 ||
        (fd = mioc_real(open)(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0)
        return NULL;
    if (mioc_real(fstat)(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size == sizeof *policy)
        policy = mmap(NULL, sizeof *policy, PROT_READ, MAP_SHARED, fd, 0);
    mioc_real(close)(fd);
    if (policy == MAP_FAILED)
        return NULL;
    if (!mioc_policy_is_sound(policy)) {
        (void)munmap((void *)(uintptr_t)policy, sizeof *policy);
        return NULL;
    }
    return policy;
}
