/* SPDX-License-Identifier: BSD-3-Clause */
/* exported.c - runs the cases of exported.h in each place, and says what each call left in errno and took of the stack.
 */
#include "exported.h"
#include "exported_stack.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MOST_CASES 400
#define UNTOUCHED 777 /* no errno of any call */
#define FRESH "fresh"

struct entry {
    const char *name;
    void (*run)(void);
    int flags;
};
static struct entry entries[MOST_CASES];
static unsigned count;

enum kind { USUAL, GONE, LOST };
struct place {
    const char *name, *prefix;
    enum kind kind;
};

/* What a case found: shared with the child that it may run in. */
struct result {
    int calls, successes, touched, error;
    size_t stack;
};
static struct result *result;
static const struct place *place;
static int is_on_stack; /* calls are made in a handler on another stack */
static void *function;

EXPORT int exported_run(const char *library, const char *outside, const char *out, const char *room);
EXPORT const char *exported_name(unsigned i);

void exported_add(const char *name, void (*run)(void), int flags)
{
    entries[count++] = (struct entry){ name, run, flags };
}

/* --- What cases use ---------------------------------------------------------------------------------------------- */

static void note_stack(void)
{
    size_t used = is_on_stack ? exported_stack_used() : 0;

    if (used > result->stack)
        result->stack = used;
}

long exported_call(const long argument[6])
{
    struct exported_task task = { (long (*)(long, long, long, long, long, long))function, argument, UNTOUCHED, 0, 0 };

    result->calls++;
    if (is_on_stack)
        exported_stack_run(&task);
    else
        exported_task_run(&task);
    note_stack();
    result->error = task.error;
    return task.rc;
}

void exported_done(int is_success)
{
    if (!is_success)
        return;
    result->successes++;
    if (result->error != UNTOUCHED)
        result->touched = result->error;
}

const char *there(const char *name)
{
    static char names[6][512];
    static unsigned next;
    char *text = names[next++ % 6];

    snprintf(text, sizeof names[0], "%s%s", place->prefix, name);
    return text;
}

const char *fresh(void)
{
    static unsigned number;
    char name[64];

    snprintf(name, sizeof name, FRESH "-%d-%u.py", (int)getpid(), number++);
    return there(name);
}

const char *fresh_file(void)
{
    const char *path = fresh();
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    (void)!syscall(SYS_write, fd, "pass\n", 5);
    syscall(SYS_close, fd);
    return path;
}

/* The name that a copy has in its store. */
static void lose(int fd)
{
    char link[32], name[512];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = syscall(SYS_readlink, link, name, sizeof name - 1);
    name[n > 0 ? n : 0] = '\0';
    if (strstr(name, "/mpiio_cache-") != NULL)
        syscall(SYS_unlink, name);
}

int open_there(void)
{
    static int spare;
    char name[32] = "module.py";
    const char *path;
    int fd;

    if (place->kind != USUAL)
        snprintf(name, sizeof name, "spare%d.py", spare++);
    path = there(name);
    fd = open(path, O_RDONLY);
    if (fd < 0) {
        perror(path);
        syscall(SYS_exit_group, 1);
    }
    if (place->kind == GONE)
        syscall(SYS_unlink, path);
    if (place->kind == LOST)
        lose(fd);
    return fd;
}

int directory_there(void) { return open(there("."), O_RDONLY | O_DIRECTORY); }

/* --- Running ----------------------------------------------------------------------------------------------------- */

/* A name that libc has for old programs only is found by its version. */
static void *find(const char *name)
{
    static const char *const versions[] = { "GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.3" };
    void *found = dlsym(RTLD_DEFAULT, name);

    for (unsigned i = 0; found == NULL && i < sizeof versions / sizeof *versions; i++)
        found = dlvsym(RTLD_DEFAULT, name, versions[i]);
    return found;
}

static void run_case(const struct entry *entry)
{
    int status;
    pid_t child;

    memset(result, 0, sizeof *result);
    if (!(entry->flags & IN_CHILD)) {
        entry->run();
        return;
    }
    child = fork();
    if (child == 0) {
        entry->run();
        syscall(SYS_exit_group, 0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        result->calls = 0;
    else
        note_stack();
}

static void say(FILE *f, const struct entry *entry)
{
    fprintf(f, "%s %s: ", place->name, entry->name);
    if (function == NULL)
        fprintf(f, "not there");
    else if (result->calls == 0)
        fprintf(f, "not called");
    else if (result->successes == 0)
        fprintf(f, "fails, errno %s", result->error == UNTOUCHED ? "untouched" : strerrorname_np(result->error));
    else
        fprintf(f, "succeeds, errno %s", result->touched == 0 ? "untouched" : strerrorname_np(result->touched));
    fprintf(f, "; %zu bytes\n", result->stack);
}

static void remove_fresh(void)
{
    char command[600];

    snprintf(command, sizeof command, "rm -rf %s" FRESH "-*", place->prefix[0] == '\0' ? "./" : place->prefix);
    if (system(command) != 0)
        fprintf(stderr, "exported: cannot clean %s\n", place->prefix);
}

static void run_place(const struct place *where, FILE *f)
{
    place = where;
    for (unsigned i = 0; i < count; i++) {
        function = find(entries[i].name);
        if (function != NULL)
            run_case(&entries[i]);
        say(f, &entries[i]);
    }
    remove_fresh();
}

/* `library` and `outside` are directories, and end with a slash. In them are module.py, link.py, which leads there, and
 * spare0.py … spare199.py. `room` NULL: calls are made where we are; else on such a stack (exported_stack.h). */
int exported_run(const char *library, const char *outside, const char *out, const char *room)
{
    char odd[512];
    const struct place places[] = { { "library", library, USUAL }, { "gone", library, GONE },
                                    { "lost", library, LOST },     { "odd", odd, USUAL },
                                    { "relative", "", USUAL },     { "outside", outside, USUAL } };
    FILE *f = fopen(out, "we");
    int cwd = open(".", O_PATH);

    result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (f == NULL || result == MAP_FAILED || cwd < 0 || exported_stack_start(room) != 0)
        return -1;
    is_on_stack = room != NULL;
    snprintf(odd, sizeof odd, "%s.//", library);
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        if (places[i].prefix[0] == '\0' && chdir(library) != 0)
            return -1;
        run_place(&places[i], f);
        if (fchdir(cwd) != 0)
            return -1;
    }
    close(cwd);
    return fclose(f);
}

/* Of the cases one after the other, then NULL. */
const char *exported_name(unsigned i) { return i < count ? entries[i].name : NULL; }
