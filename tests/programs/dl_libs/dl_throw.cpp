// SPDX-License-Identifier: BSD-3-Clause
// dl_throw.cpp - throws what dl_catch.cpp, another library, catches: the type is told by its name, in both.
#include "dl_error.h"
#include <stdexcept>
#include <vector>

extern "C" void throw_own(int value) { throw dl_error(value); }
extern "C" void throw_standard(int value) { (void)std::vector<int>(1).at((size_t)value); }
