/* SPDX-License-Identifier: BSD-3-Clause */
/* check_internal.h - what check.c (the order, site, store, MPI, Python) and check_tcp.c (TCP) share; nobody else
 * includes it. */
#ifndef MIOC_CHECK_INTERNAL_H
#define MIOC_CHECK_INTERNAL_H

#include "job/task.h"

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

/* How it stands. What is bad ends the checks; a note is what a user should know all the same. */
struct mioc_check {
    int is_verbose;
    char verdict[8192], note[1024];
    char library[PATH_MAX], plugin[PATH_MAX], mpi[256];
    char secret[1100]; /* what TCP would prove itself with */
    char python[PATH_MAX], executable[PATH_MAX], real[PATH_MAX], version[16];
    struct mioc_task me;
    int is_task; /* the launcher started this very program: what it says then holds for the job step */
};

/* A line of --verbose. Returns 0. */
__attribute__((format(printf, 3, 4))) int mioc_check_say(struct mioc_check *c, const char *what, const char *format,
                                                         ...);
/* It cannot be used here, because of this, and the remedy would help. Returns -1. */
__attribute__((format(printf, 3, 4))) int mioc_check_fail(struct mioc_check *c, const char *remedy, const char *format,
                                                          ...);
/* The first note stands. */
__attribute__((format(printf, 2, 3))) void mioc_check_note(struct mioc_check *c, const char *format, ...);

/* Everything that a child writes to its pipe, NUL-terminated. 0, or -1: it failed. Closes `from`. */
int mioc_check_read_child(pid_t child, int from, char *text, size_t size);

/* check_tcp.c: whether TCP could carry it here. 0, or -1 after mioc_check_fail(). */
int mioc_check_tcp(struct mioc_check *c);

#endif
