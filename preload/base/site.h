/* SPDX-License-Identifier: BSD-3-Clause */
/* site.h - the site's configuration file: defaults for all jobs, which processes to leave alone, where records go.
 *
 * The file is $sysconfdir/mpiio_cache.conf. Interpreters read it when they start, so a change also reaches jobs that
 * are queued. The file counts only if it belongs to root or to the user, and nobody else may write it. Each line is one
 * NAME=VALUE; blanks around both are ignored; a line that begins with # is a comment. The names are those of the
 * variables (config.h), which the user's environment overrides, and these, which it does not:
 *
 *     KILL_SWITCH                     0; anything else keeps every process dormant
 *     ALLOW_PROGRAMS, DENY_PROGRAMS   patterns of fnmatch(3), ":" between, for the real path of the interpreter or of
 * the script; a pattern without "/" is for the last component. * matches "/" too ALLOW_USERS, DENY_USERS numbers of
 * users, 1000-1999, or @number of a group; blanks or commas between. No names: every rank would ask the directory
 * server for them RECORDS                         absolute path of a directory where each job leaves its statistics
 * (observe/job.h)
 *
 * An empty ALLOW list allows all; DENY wins. All functions keep errno, allocate nothing, and may be called by any
 * thread. */
#ifndef MIOC_SITE_H
#define MIOC_SITE_H

#include <stddef.h>

/* The size of a buffer for the file, its NUL included. */
#define MIOC_SITE_FILE_MAX 16384u

struct mioc_site {
    int is_killed;
    char allow_programs[1024], deny_programs[1024], allow_users[512], deny_users[512], records[512];
};

/* Reads the file into text, NUL-terminated. Returns 1; 0: there is no file; -1: it must not be used, and `problem` says
 * why. */
int mioc_site_read(const char *path, char *text, size_t size, char *problem, size_t problem_size);
/* Cuts text into lines, in place, and calls each() with every assignment, without blanks around name and value. */
void mioc_site_lines(char *text, void (*each)(void *ctx, const char *assignment, unsigned line), void *ctx);
/* Takes an assignment to one of the names above. Returns NULL, or a constant text that says what is wrong. */
const char *mioc_site_assign(struct mioc_site *site, const char *assignment);
/* Whether the site leaves this process alone, with its present user and groups; then `reason` says why. script may be
 * NULL. */
int mioc_site_forbids(const struct mioc_site *site, const char *interpreter, const char *script, char *reason,
                      size_t size);

#endif
