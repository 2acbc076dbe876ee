/* SPDX-License-Identifier: BSD-3-Clause */
/* site.h - the site's configuration file: defaults for all jobs, whom and what to leave alone, where records go.
 *
 * $sysconfdir/mpiio_cache.conf; read by interpreters only, when they start, so a change holds for jobs that are
 * queued already. It counts only if it belongs to root or to the user, and nobody else may write it. One NAME=VALUE
 * a line, blanks around both are nothing, lines that begin with # are comments. The names are those of the variables
 * (config.h), which a user's environment has the last word on, and these, which it has not:
 *
 *     KILL_SWITCH                     0; anything else keeps every process dormant
 *     ALLOW_PROGRAMS, DENY_PROGRAMS   patterns as of fnmatch(3), ":" between, for the interpreter's real path or the
 *                                     script; one without "/" is for the last component. * also stands for "/"
 *     ALLOW_USERS, DENY_USERS         numbers of users, 1000-1999, or @number of a group; blanks or commas between.
 *                                     Numbers, as names would be asked for at the directory server by every rank
 *     RECORDS                         absolute path of a directory where each job leaves its statistics (job.h)
 *
 * An ALLOW list that is empty allows all; DENY wins. All functions keep errno, allocate nothing and may run in any
 * thread. */
#ifndef MIOC_SITE_H
#define MIOC_SITE_H

#include <stddef.h>

#define MIOC_SITE_FILE_MAX 16384u /* bytes of a file, its NUL included */

struct mioc_site {
    int is_killed;
    char allow_programs[1024], deny_programs[1024], allow_users[512], deny_users[512], records[512];
};

/* The file into text, NUL-terminated: 1; 0: there is none; -1: it may not be used, and `problem` says why. */
int mioc_site_read(const char *path, char *text, size_t size, char *problem, size_t problem_size);
/* Cuts text into lines and calls each() with every assignment, blanks around name and value taken away. */
void mioc_site_lines(char *text, void (*each)(void *ctx, const char *assignment, unsigned line), void *ctx);
/* Takes an assignment to one of the names above: NULL, or what is wrong with it. */
const char *mioc_site_assign(struct mioc_site *site, const char *assignment);
/* 1 and the reason: this process, of user and groups as they are, is to be left alone. script may be NULL. */
int mioc_site_forbids(const struct mioc_site *site, const char *interpreter, const char *script, char *reason,
                      size_t size);

#endif
