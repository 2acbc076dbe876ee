/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_dir.h - directory streams for wrap_scandir.c. */
#ifndef MIOC_WRAP_DIR_H
#define MIOC_WRAP_DIR_H

#include "client/client.h"
#include <dirent.h>

/* Opens a listing for a query that is ours: 0 and *stream, -1 with errno, or MIOC_NOT_SERVED; *stream is NULL then. */
int mioc_dir_open(struct mioc_query *q, DIR **stream);
/* As readdir(3) and closedir(3), for any stream. closedir of ours keeps errno. */
struct dirent *mioc_dir_read(DIR *stream);
int mioc_dir_close(DIR *stream);

#endif
