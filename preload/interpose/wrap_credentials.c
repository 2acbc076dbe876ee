/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_credentials.c - another root, mount namespace, user or group: from then on the kernel alone knows what a path
 * means and who may have it, so the process, and with it its children, is not served any more (credentials.h). */
#include "serve.h"
#include "node/node.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is done to all threads is done to those that answer for others, too: not while they do. Only the superuser can,
 * as what is privileged otherwise is not preloaded. */
static void will_change(int will)
{
    if (will && geteuid() == 0)
        mioc_node_retire();
}

static int changed(int rc)
{
    if (rc == 0)
        mioc_client_credentials_changed();
    return rc;
}

static int is_other_uid(uid_t uid) { return uid != (uid_t)-1 && uid != geteuid(); }
static int is_other_gid(gid_t gid) { return gid != (gid_t)-1 && gid != getegid(); }

#define CHANGE(will, call) (will_change(will), changed(call))

/* glibc's own calls reach all threads, whichever thread makes them. */
/* Of this thread alone, whose later ones take after it. */
MIOC_EXPORT int capset(void *header, const void *data) { return CHANGE(1, mioc_real(capset)(header, data)); }
MIOC_EXPORT int setuid(uid_t uid) { return CHANGE(is_other_uid(uid), mioc_real(setuid)(uid)); }
MIOC_EXPORT int seteuid(uid_t uid) { return CHANGE(is_other_uid(uid), mioc_real(seteuid)(uid)); }
MIOC_EXPORT int setreuid(uid_t real, uid_t effective)
{
    return CHANGE(is_other_uid(effective), mioc_real(setreuid)(real, effective));
}
MIOC_EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    return CHANGE(is_other_uid(effective), mioc_real(setresuid)(real, effective, saved));
}
MIOC_EXPORT int setgid(gid_t gid) { return CHANGE(is_other_gid(gid), mioc_real(setgid)(gid)); }
MIOC_EXPORT int setegid(gid_t gid) { return CHANGE(is_other_gid(gid), mioc_real(setegid)(gid)); }
MIOC_EXPORT int setregid(gid_t real, gid_t effective)
{
    return CHANGE(is_other_gid(effective), mioc_real(setregid)(real, effective));
}
MIOC_EXPORT int setresgid(gid_t real, gid_t effective, gid_t saved)
{
    return CHANGE(is_other_gid(effective), mioc_real(setresgid)(real, effective, saved));
}
MIOC_EXPORT int setgroups(size_t n, const gid_t *groups) { return CHANGE(1, mioc_real(setgroups)(n, groups)); }
MIOC_EXPORT int initgroups(const char *user, gid_t group) { return CHANGE(1, mioc_real(initgroups)(user, group)); }

static int is_directory(const char *path)
{
    int saved = errno, result;
    struct stat st;

    result = syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
    errno = saved;
    return result;
}

/* To nowhere, as programs try that want to know whether they may: that changes nothing, and must not end the leader's
 * serving. */
MIOC_EXPORT int chroot(const char *path)
{
    int will = is_directory(path), rc;

    will_change(will);
    rc = mioc_real(chroot)(path);
    will_change(rc == 0 && !will); /* it came in between */
    return changed(rc);
}

/* These are of the calling thread alone. */
MIOC_EXPORT int unshare(int flags) { return changed(mioc_real(unshare)(flags)); }
MIOC_EXPORT int setns(int fd, int type) { return changed(mioc_real(setns)(fd, type)); }

/* These say what was before, and nothing of success, and are not in the view. */
MIOC_EXPORT int setfsuid(uid_t uid)
{
    int before = mioc_real(setfsuid)(uid);

    if ((uid_t)before != uid)
        mioc_client_stop_serving();
    return before;
}
MIOC_EXPORT int setfsgid(gid_t gid)
{
    int before = mioc_real(setfsgid)(gid);

    if ((gid_t)before != gid)
        mioc_client_stop_serving();
    return before;
}
