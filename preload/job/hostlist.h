/* SPDX-License-Identifier: BSD-3-Clause */
/* hostlist.h - the names in a Slurm host list, such as "login,n[01-03,7],rack[1-2]n[1-4]".
 *
 * A list names hosts in the order that Slurm numbers a step's nodes. Ranges keep the width of their first number. Where
 * a name has several ranges the last one runs fastest, then the first, the second and so on, as in Slurm. Text behind
 * the last range is malformed, as in Slurm, too.
 *
 * The text may be anything. Nothing is allocated; any thread; async-signal-safe; keeps errno. */
#ifndef MIOC_HOSTLIST_H
#define MIOC_HOSTLIST_H

#include <stddef.h>

/* The most hosts that a list may name, and the longest name, without its NUL. */
#define MIOC_HOSTS_MAX 65536
#define MIOC_HOST_NAME_MAX 255

/* Whether `name` can be a host's name or address: 1 to MIOC_HOST_NAME_MAX bytes, none of them a blank, a control
 * character, a slash, a comma or a bracket. */
int mioc_hostlist_is_name(const char *name);
/* Returns how many hosts the list names: at least 1, at most MIOC_HOSTS_MAX; or -1: it is malformed, empty or names
 * more. */
int mioc_hostlist_count(const char *list);
/* Writes the name of host k, counted from 0, into name[size]. Returns 0; or -1: there is no such host, or its name does
 * not fit. The list is well-formed: mioc_hostlist_count() has said so. */
int mioc_hostlist_name(const char *list, int k, char *name, size_t size);

#endif
