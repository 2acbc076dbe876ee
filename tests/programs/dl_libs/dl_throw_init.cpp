// SPDX-License-Identifier: BSD-3-Clause
// dl_throw_init.cpp - its constructor throws, through the loader.
#include "dl_error.h"

__attribute__((constructor)) static void init() { throw dl_error(77); }
