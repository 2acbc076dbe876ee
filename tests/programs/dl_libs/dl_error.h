/* SPDX-License-Identifier: BSD-3-Clause */
/* dl_error.h - an exception that two libraries know. */
#ifndef DL_ERROR_H
#define DL_ERROR_H
#include <stdexcept>
#include <string>

struct __attribute__((visibility("default"))) dl_error : std::runtime_error {
    explicit dl_error(int v) : std::runtime_error("value " + std::to_string(v)), value(v) {}
    int value;
};

#endif
