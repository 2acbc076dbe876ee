/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap_loader.h - the answers to what the dynamic loader asks itself. */
#ifndef MIOC_WRAP_LOADER_H
#define MIOC_WRAP_LOADER_H

#include "loader/loader.h"

/* A mioc_loader_answer. Before the client is there all goes to the kernel. */
long mioc_answer_loader(const struct mioc_loader_call *call);

#endif
