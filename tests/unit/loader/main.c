/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c - the tests of patch.c, or one refusal: test_loader_patch [--try WHAT] */
#include "patch_test.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    patch_program = argv[0];
    if (argc == 3 && strcmp(argv[1], "--try") == 0)
        return try_where(argv[2]);
    return patch_tests();
}
