/* SPDX-License-Identifier: BSD-3-Clause */
/* handle.h - where the stubs come to, and the loads that show whether they do. */
#ifndef MIOC_LOADER_HANDLE_H
#define MIOC_LOADER_HANDLE_H

#include "loader.h"

/* Called by the stubs. */
long mioc_loader_handle(const struct mioc_loader_call *call) __attribute__((visibility("hidden")));
/* Makes two loads that load nothing. 0, or -1: the loader's calls did not arrive as they should. */
int mioc_loader_test(void);
/* Whether this thread has the loader's lock: it loads, or is a constructor's or destructor's. Known after the test;
 * -1: not known. */
int mioc_loader_is_locked(void);

#endif
