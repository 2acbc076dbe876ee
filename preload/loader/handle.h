/* SPDX-License-Identifier: BSD-3-Clause */
/* handle.h - the function that the stubs call, and the test that calls arrive there. */
#ifndef MIOC_LOADER_HANDLE_H
#define MIOC_LOADER_HANDLE_H

#include "loader.h"

/* Answers a system call of the loader by the answer in force. Only the stubs call it. Keeps errno. */
long mioc_loader_handle(const struct mioc_loader_call *call) __attribute__((visibility("hidden")));
/* Makes two loads that load nothing. Returns 0, or -1: the loader's calls did not arrive as they should. In a process
 * with one thread; afterwards all calls pass. */
int mioc_loader_test(void);
/* Whether this thread holds the loader's lock: it is in a load, or runs a constructor or destructor. -1: not known, as
 * before the test. For any thread. */
int mioc_loader_is_locked(void);

#endif
