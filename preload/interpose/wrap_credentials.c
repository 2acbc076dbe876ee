/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_credentials.c - a process that takes another root, mount namespace, user or group is not served any more, nor
 * are its children: only the kernel knows then what a path means and who may open it (credentials.h). */
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

/* Before a call that may change the credentials of all threads. Our own threads answer for other processes, so they
 * stop first. Only the superuser can change credentials: a program with other privileges is not preloaded. */
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

/* This one changes the calling thread alone; threads that it starts later inherit the change. */
MIOC_EXPORT int capset(void *header, const void *data) { return CHANGE(1, mioc_real(capset)(header, data)); }
/* glibc makes these for all threads, whichever thread calls. */
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

/* Programs call chroot with a path that does not exist, to learn whether they may. That changes nothing, so the leader
 * must go on serving. */
MIOC_EXPORT int chroot(const char *path)
{
    int will = is_directory(path), rc;

    will_change(will);
    rc = mioc_real(chroot)(path);
    will_change(rc == 0 && !will); /* the directory was made between the look and the call */
    return changed(rc);
}

/* These change the calling thread alone. */
MIOC_EXPORT int unshare(int flags) { return changed(mioc_real(unshare)(flags)); }
MIOC_EXPORT int setns(int fd, int type) { return changed(mioc_real(setns)(fd, type)); }

/* These return the former value and do not say whether they succeeded. mioc_credentials() does not include them. */
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
