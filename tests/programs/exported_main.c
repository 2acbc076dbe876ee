/* SPDX-License-Identifier: BSD-3-Clause */
/* exported_main.c - runs exported.so's cases in a program that is no interpreter: exported_main MODULE LIBRARY OUTSIDE
 * OUT [ROOM]. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    int error = errno;
    void *module = argc >= 5 ? dlopen(argv[1], RTLD_NOW) : NULL;
    int (*run)(const char *, const char *, const char *, const char *) = NULL;
    FILE *f;

    if (module != NULL)
        run = (int (*)(const char *, const char *, const char *, const char *))dlsym(module, "exported_run");
    if (run == NULL || run(argv[2], argv[3], argv[4], argv[5]) != 0 || (f = fopen(argv[4], "ae")) == NULL)
        return 1;
    fprintf(f, "main __libc_start_main: succeeds, errno %s; 0 bytes\n",
            error == 0 ? "untouched" : strerrorname_np(error));
    return fclose(f);
}
