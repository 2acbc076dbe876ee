/* SPDX-License-Identifier: BSD-3-Clause */
/* munge_fixture.h - a real munged with a key of its own in a folder of its own. */
#ifndef MIOC_MUNGE_FIXTURE_H
#define MIOC_MUNGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    char folder[64], socket[96];
    pid_t pid;
    const char *missing; /* why there is none */
} munged;

/* munged runs in the foreground, so that it is a child of the test and ends with it. */
static inline void munged_exec(void)
{
    char key[96], log[96], seed[96], pid[96];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    snprintf(key, sizeof key, "--key-file=%s/key", munged.folder);
    snprintf(log, sizeof log, "--log-file=%s/log", munged.folder);
    snprintf(seed, sizeof seed, "--seed-file=%s/seed", munged.folder);
    snprintf(pid, sizeof pid, "--pid-file=%s/pid", munged.folder);
    char where[120];
    snprintf(where, sizeof where, "--socket=%s", munged.socket);
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
    execlp("munged", "munged", "--foreground", "--force", key, log, seed, pid, where, (char *)NULL);
    _exit(127);
}

static inline int munged_start(void)
{
    char path[96], key[128];
    int fd, status;

    if (access("/usr/sbin/munged", X_OK) != 0 && access("/usr/bin/munged", X_OK) != 0)
        munged.missing = "munged is not installed";
    else if (geteuid() != 0)
        munged.missing = "it needs root, to be several users";
    if (munged.missing != NULL)
        return 0;
    strcpy(munged.folder, "/tmp/mioc_munge.XXXXXX");
    if (mkdtemp(munged.folder) == NULL || chmod(munged.folder, 0755) != 0)
        return -1;
    snprintf(munged.socket, sizeof munged.socket, "%s/socket", munged.folder);
    snprintf(path, sizeof path, "%s/key", munged.folder);
    memset(key, 'k', sizeof key);
    snprintf(key, sizeof key, "a key for tests, of process %d", (int)getpid());
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, key, sizeof key) != (ssize_t)sizeof key || close(fd) != 0)
        return -1;
    munged.pid = fork();
    if (munged.pid == 0)
        munged_exec();
    setenv("MUNGE_SOCKET", munged.socket, 1);
    while (access(munged.socket, F_OK) != 0) {
        if (waitpid(munged.pid, &status, WNOHANG) != 0)
            return -1;
        usleep(2000);
    }
    return 0;
}

static inline void munged_stop(void)
{
    char command[128];

    if (munged.pid <= 0)
        return;
    kill(munged.pid, SIGKILL);
    waitpid(munged.pid, NULL, 0);
    snprintf(command, sizeof command, "rm -rf '%s'", munged.folder);
    (void)!system(command);
}

#define MUNGED_NEEDED() \
    do { \
        if (munged.missing != NULL) { \
            print_message("skipped: %s\n", munged.missing); \
            skip(); \
        } \
    } while (0)

#endif
