/* SPDX-License-Identifier: BSD-3-Clause */
/* proc.h - what /proc says about processes, by raw system calls: past the interposers, without allocation.
 *
 * Any thread; no cancellation points. All functions keep errno unless they say otherwise. */
#ifndef MIOC_PROC_H
#define MIOC_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mioc_proc {
    char comm[16]; /* NUL-terminated */
    char state;    /* 'R', 'S', 'Z', … */
    pid_t parent;
    uint64_t start; /* clock ticks after boot: pid and start name a process for good */
};

/* Returns the value of an environment variable in env (ends with NULL; may be NULL), or NULL. */
const char *mioc_proc_getenv(char *const *env, const char *name);
/* Returns the number that is the variable's whole value, at most INT32_MAX; or -1. */
int mioc_proc_getenv_number(char *const *env, const char *name);
/* Reads a small file whole into buf, NUL-terminated. Returns its length, cut off at size - 1, or -1. */
long mioc_proc_read(const char *path, char *buf, size_t size);
/* Reads `size` bytes of a descriptor at `offset`, however the kernel splits them. Returns how many: fewer only at the
 * file's end; or -1 with errno. */
long mioc_proc_read_at(int fd, void *buf, size_t size, uint64_t offset);
/* Reads /proc/PID/stat. Returns 0 or -1. */
int mioc_proc_stat(pid_t pid, struct mioc_proc *process);
/* Reads the target of /proc/PID/exe, NUL-terminated. Returns 0 or -1. */
int mioc_proc_exe(pid_t pid, char *buf, size_t size);
/* Reads a process's arguments, each NUL-terminated, one after the other. Returns the number of bytes, or -1. */
long mioc_proc_cmdline(pid_t pid, char *buf, size_t size);
/* Whether the program of process pid was started with the variable `name` of that value; NULL: of any. 0, too, where
 * its environment may not be read. */
int mioc_proc_was_given(pid_t pid, const char *name, const char *value);
/* Returns the environment that the program of process pid was started with, as a vector that ends with NULL; or NULL.
 * mioc_proc_free_env() gives the memory back, which is *bytes from mmap(). */
char **mioc_proc_read_env(pid_t pid, size_t *bytes);
void mioc_proc_free_env(char **env, size_t bytes);
/* Lists the children of all threads of pid, at most `most`. Returns how many; -1: this kernel does not say. */
int mioc_proc_children(pid_t pid, pid_t *children, int most);
/* Copies a descriptor to a high number, out of the program's way: from 200 on, or what a low limit leaves. The copy is
 * close-on-exec. Returns the copy, or -1 with errno. */
int mioc_proc_high_fd(int fd);

#endif
