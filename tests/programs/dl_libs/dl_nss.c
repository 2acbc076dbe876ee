/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_nss.c - a module of the name service that knows one user. */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <string.h>

enum nss_status _nss_mioc_getpwnam_r(const char *name, struct passwd *entry, char *text, size_t size, int *error);
enum nss_status _nss_mioc_getpwnam_r(const char *name, struct passwd *entry, char *text, size_t size, int *error)
{
    (void)text;
    (void)size;
    (void)error;
    if (strcmp(name, "somebody") != 0)
        return NSS_STATUS_NOTFOUND;
    *entry = (struct passwd){ .pw_name = "somebody",
                              .pw_passwd = "x",
                              .pw_uid = 4711,
                              .pw_gid = 4711,
                              .pw_gecos = "",
                              .pw_dir = "/home/somebody",
                              .pw_shell = "/bin/sh" };
    return NSS_STATUS_SUCCESS;
}
