/* SPDX-License-Identifier: BSD-3-Clause */
/* proc.h - what /proc says of processes, read by raw system calls: past the interposers, without allocation, errno
 * kept. */
#ifndef MIOC_PROC_H
#define MIOC_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mioc_proc {
    char comm[16]; /* NUL-terminated */
    char state;    /* 'R', 'S', 'Z', … */
    pid_t parent;
    uint64_t start; /* clock ticks after boot: with the pid it names a process for good */
};

/* The value of an environment variable in env (NULL-terminated, may be NULL), or NULL. */
const char *mioc_proc_getenv(char *const *env, const char *name);
/* Reads a whole small file, NUL-terminated; its length (cut off at size - 1), or -1. */
long mioc_proc_read(const char *path, char *buf, size_t size);
/* 0 or -1. */
int mioc_proc_stat(pid_t pid, struct mioc_proc *process);
/* The target of /proc/PID/exe; 0 or -1. */
int mioc_proc_exe(pid_t pid, char *buf, size_t size);
/* The arguments, each NUL-terminated, one after the other; how many bytes, or -1. */
long mioc_proc_cmdline(pid_t pid, char *buf, size_t size);
/* Children of all threads of pid, at most `most`: how many, or -1 where this kernel does not say. */
int mioc_proc_children(pid_t pid, pid_t *children, int most);
/* A copy of fd, closed by exec, whose number is out of a program's way: from 200 up, or what a low limit leaves. -1
 * (errno). */
int mioc_proc_high_fd(int fd);

#endif
