/* SPDX-License-Identifier: BSD-3-Clause */
/* hosts.h - a list of hosts as people and launchers write it, and which of them this host is.
 *
 * The list is text, or the absolute path of a file: names with commas, blanks or line ends between, or Slurm's short
 * form, "n[1-4]". "#" begins a comment. What host files say beside a name is passed over: "n1:4", "n1 slots=4", "n1 4".
 * A host that is named again is the same one. One thread; a file may make its reader wait. */
#ifndef MIOC_HOSTS_H
#define MIOC_HOSTS_H

#include <stddef.h>

/* The most bytes of a list. */
#define MIOC_HOSTS_TEXT_MAX (16u << 20)

struct mioc_hosts {
    char *names; /* "n1,n2": each host once, in the order in which they are named; a list for hostlist.h */
    size_t bytes;
    int count;
    unsigned uses[2]; /* how often the first two are named, "n1 4" being four times */
};

/* Reads a list. `what` names it in the reason, as "MPIIO_CACHE_HOSTS". Returns 0, or -1 and the reason. Memory comes
 * from mmap(). Keeps errno. */
int mioc_hosts_read(struct mioc_hosts *hosts, const char *list, const char *what, char *reason, size_t size);
/* Takes the first host out; there is another one. */
void mioc_hosts_drop_first(struct mioc_hosts *hosts);
/* Gives the memory back. *hosts may be all zeros. */
void mioc_hosts_free(struct mioc_hosts *hosts);

/* Returns the number of the host that a name means: the same name, whatever the case; or, if there is one only, the
 * name with a domain where the other has none. -1: none; -2: several. */
int mioc_hosts_find(const struct mioc_hosts *hosts, const char *name);
/* Returns this host's number, by its name, or by an address of its interfaces; or -1 and the reason. Uses malloc(). */
int mioc_hosts_find_this(const struct mioc_hosts *hosts, const char *what, char *reason, size_t size);

#endif
