/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_loader.h - answers the system calls that the dynamic loader makes itself. */
#ifndef MIOC_WRAP_LOADER_H
#define MIOC_WRAP_LOADER_H

#include "loader/loader.h"

/* The answer for mioc_loader_set_answer() (loader/loader.h says what holds while it runs). Before the client has
 * started, all calls go to the kernel. */
long mioc_answer_loader(const struct mioc_loader_call *call);

#endif
