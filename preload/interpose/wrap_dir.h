/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_dir.h - directory streams for wrap_scandir.c. As in POSIX, one thread at a time uses a stream. */
#ifndef MIOC_WRAP_DIR_H
#define MIOC_WRAP_DIR_H

#include "client/client.h"
#include <dirent.h>

/* Opens the listing of the query's path. Returns 0 and *stream, which the caller closes by mioc_dir_close(); -1 with
 * errno; or MIOC_NOT_SERVED. *stream is NULL unless the result is 0. */
int mioc_dir_open(struct mioc_query *q, DIR **stream);
/* readdir(3) and closedir(3), for streams of ours and of libc. Closing a stream of ours keeps errno. */
struct dirent *mioc_dir_read(DIR *stream);
int mioc_dir_close(DIR *stream);

#endif
