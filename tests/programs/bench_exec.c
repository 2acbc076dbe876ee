/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_exec.c - bench_exec LIBRARY COMMAND...: executes the command with LIBRARY preloaded ("" for none), and tells it
 * in BENCH_EXEC when that was (CLOCK_MONOTONIC, seconds). */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    char text[64];

    if (argc < 3)
        return 2;
    if (argv[1][0] != '\0')
        setenv("LD_PRELOAD", argv[1], 1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
    setenv("BENCH_EXEC", text, 1);
    execvp(argv[2], argv + 2);
    return 127;
}
