/* SPDX-License-Identifier: BSD-3-Clause */
/* database.h - tells files that are read while others write them. */
#ifndef MIOC_DATABASE_H
#define MIOC_DATABASE_H

#include <stddef.h>

/* Whether a file that begins with these bytes is a data base whose readers see, in what they have open or mapped, what
 * another process commits, without a lock on the file: LMDB, libmdbx, Berkeley DB, HDF5. A copy would show the old
 * bytes for ever. (SQLite, GDBM and TDB lock the file before they read it, and a lock brings the original.) */
int mioc_database_is(const void *bytes, size_t size);

#endif
