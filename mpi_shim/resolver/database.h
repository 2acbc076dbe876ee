/* SPDX-License-Identifier: BSD-3-Clause */
/* database.h - recognises data bases that are read while others write them. */
#ifndef MIOC_DATABASE_H
#define MIOC_DATABASE_H

#include <stddef.h>

/* Whether a file that begins with these bytes is LMDB, libmdbx, Berkeley DB or HDF5. Their readers see what another
 * process commits in the file that they have open or mapped, without locking it. A copy would show the old bytes for
 * ever. (SQLite, GDBM and TDB lock the file before they read it, and with a lock the process gets the original.) */
int mioc_database_is(const void *bytes, size_t size);

#endif
