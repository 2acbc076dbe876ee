/* SPDX-License-Identifier: BSD-3-Clause */
/* ends.c - a process that a signal's handler ends in the midst of something; a library for ends.py, since only
 * interpreters become ranks.
 *
 * The code that is interrupted may hold any lock of libc's, ld.so's or the library's. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static const char *folder; /* below a cached prefix: module.py, library.so, and room for more */
static volatile int status;
static void (*volatile end)(int status);

EXPORT void ends_in_malloc(const char *how, int code);
EXPORT void ends_run(const char *where, const char *how, int code, int threads, unsigned seed, long microseconds);

static const char *name(char *text, size_t size, const char *format, unsigned number)
{
    size_t n = (size_t)snprintf(text, size, "%s/", folder);

    snprintf(text + n, size - n, format, number);
    return text;
}

/* --- What is interrupted ----------------------------------------------------------------------------------------- */

static void allocate(unsigned i)
{
    void *block[64];

    for (unsigned k = 0; k < 64; k++)
        block[k] = calloc(1, 20 + (i + k * 997) % 9000);
    for (unsigned k = 0; k < 64; k++)
        free(block[k]);
}

static void use_stdio(unsigned i)
{
    char path[300], line[100];
    FILE *f = fopen(name(path, sizeof path, i % 2 ? "module.py" : "nothing%u.py", i % 50), "r"),
         *null = fopen("/dev/null", "w");

    if (f != NULL && fgets(line, sizeof line, f) != NULL)
        fprintf(null, "%s %d\n", line, i);
    if (f != NULL)
        fclose(f);
    fclose(null);
}

static void load(unsigned i)
{
    char path[300];
    void *library = dlopen(name(path, sizeof path, "library%u.so", i % 2), RTLD_NOW);

    if (library != NULL)
        dlclose(library);
}

static void list(unsigned i)
{
    char path[300];
    DIR *d = opendir(name(path, sizeof path, "", i));

    while (d != NULL && readdir(d) != NULL)
        ;
    if (d != NULL)
        closedir(d);
}

static void look(unsigned i)
{
    char path[300];
    struct stat st;

    stat(name(path, sizeof path, "nothing%u", i), &st);
    free(realpath(name(path, sizeof path, "./module.py", i), NULL));
}

static void change(unsigned i)
{
    char from[300], to[300];
    int fd = open(name(from, sizeof from, "made%u.py", i), O_CREAT | O_WRONLY, 0644);

    close(fd);
    rename(from, name(to, sizeof to, "named%u.py", i));
    unlink(to);
}

static void tell_time(unsigned i)
{
    time_t now = (time_t)i * 1000000;
    struct tm tm;
    char text[100];

    setenv("TZ", i % 2 ? "Europe/Berlin" : "Asia/Tokyo", 1);
    tzset();
    localtime_r(&now, &tm);
    strftime(text, sizeof text, "%c", &tm);
    setlocale(LC_ALL, i % 2 ? "C" : "C.UTF-8");
}

static void *nothing(void *arg) { return arg; }

static void start_thread(unsigned i)
{
    pthread_t thread;

    (void)i;
    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

static void start_process(unsigned i)
{
    pid_t child = fork();

    (void)i;
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
}

static void (*const works[])(unsigned i) = { allocate, use_stdio, load,         list,         look,
                                             change,   tell_time, start_thread, start_process };
/* exit() and quick_exit() need locks that the last two hold, in any process with threads. */
#define WORKS (end == _exit ? 9u : 7u)

static void *work(void *arg)
{
    unsigned kind = (unsigned)(uintptr_t)arg;

    /* One kind, or two in turn: for what each leaves behind to be in the other's way. */
    for (unsigned i = 0;; i++)
        works[(kind + (kind / WORKS % 2 ? i % 2 : 0)) % WORKS](i);
    return NULL;
}

/* --- The end ----------------------------------------------------------------------------------------------------- */

static void on_signal(int number)
{
    (void)number;
    end(status);
}

static void choose_end(const char *how, int code)
{
    status = code;
    end = strcmp(how, "exit") == 0 ? exit : strcmp(how, "quick_exit") == 0 ? quick_exit : _exit;
}

/* With malloc's lock held, for certain: the end of the heap cannot be written. */
void ends_in_malloc(const char *how, int code)
{
    static void *volatile block;

    choose_end(how, code);
    signal(SIGSEGV, on_signal);
    mprotect((char *)sbrk(0) - 4096, 4096, PROT_NONE);
    while ((block = malloc(1000)) != NULL)
        ;
}

void ends_run(const char *where, const char *how, int code, int threads, unsigned seed, long microseconds)
{
    struct itimerval timer = { .it_value = { .tv_usec = microseconds } };
    pthread_t thread;

    folder = where;
    choose_end(how, code);
    signal(SIGALRM, on_signal);
    for (int i = 1; i < threads; i++)
        pthread_create(&thread, NULL, work, (void *)(uintptr_t)(seed + 5u * (unsigned)i));
    setitimer(ITIMER_REAL, &timer, NULL);
    work((void *)(uintptr_t)seed);
}
