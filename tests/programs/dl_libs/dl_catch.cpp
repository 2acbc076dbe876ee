// SPDX-License-Identifier: BSD-3-Clause
// dl_catch.cpp - catches what another library threw, and what came through dlopen() itself.
#include "dl_error.h"
#include <cstdio>
#include <dlfcn.h>

extern "C" int catch_from(void (*thrower)(int), int value, char *text, size_t size)
{
    try {
        thrower(value);
    } catch (const dl_error &error) {
        snprintf(text, size, "%s", error.what());
        return error.value;
    } catch (const std::out_of_range &error) {
        snprintf(text, size, "%s", error.what());
        return -2;
    }
    return -1;
}

// A constructor of the library throws.
extern "C" int catch_from_dlopen(const char *path)
{
    try {
        (void)dlopen(path, RTLD_NOW);
    } catch (const dl_error &error) {
        return error.value;
    }
    return -1;
}
