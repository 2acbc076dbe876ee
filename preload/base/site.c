/* SPDX-License-Identifier: BSD-3-Clause */
/* site.c - reads the site's configuration file, and says whether the site leaves a process alone. */
#include "site.h"
#include "io.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 1024
#define BLANKS " \t\r"

/* --- The file ---------------------------------------------------------------------------------------------------- */

/* Returns why the file must not be used, or NULL: a file that others can write says what they want. */
static const char *distrust(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return "it is no regular file";
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return "it belongs neither to root nor to this user";
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return "others than its owner may write it";
    if (st->st_size >= (off_t)MIOC_SITE_FILE_MAX)
        return "it is larger than 16 KiB";
    return NULL;
}

static int read_text(int fd, char *text, size_t size)
{
    ssize_t n = mioc_io_read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    return n < 0 ? -1 : 0;
}

int mioc_site_read(const char *path, char *text, size_t size, char *problem, size_t problem_size)
{
    int saved = errno, rc = -1, fd = mioc_real(open)(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *why;
    struct stat st;

    if (fd < 0) {
        rc = errno == ENOENT || errno == ENOTDIR ? 0 : -1;
        snprintf(problem, problem_size, "cannot be opened: %s", strerror(errno));
        goto done;
    }
    if (mioc_real(fstat)(fd, &st) != 0)
        why = strerror(errno);
    else if ((why = distrust(&st)) == NULL && read_text(fd, text, size) != 0)
        why = strerror(errno);
    if (why == NULL)
        rc = 1;
    else
        snprintf(problem, problem_size, "%s", why);
    mioc_real(close)(fd);
done:
    errno = saved;
    return rc;
}

/* Cuts text[0..len) off before the blanks at its end. */
static void cut_blanks(char *text, size_t len)
{
    while (len > 0 && strchr(BLANKS, text[len - 1]) != NULL)
        len--;
    text[len] = '\0';
}

void mioc_site_lines(char *text, void (*each)(void *ctx, const char *assignment, unsigned line), void *ctx)
{
    for (unsigned line = 1; *text != '\0'; line++) {
        size_t len = strcspn(text, "\n");
        char *next = text + len + (text[len] == '\n'), *equals, *value;

        cut_blanks(text, len);
        text += strspn(text, BLANKS);
        equals = strchr(text, '=');
        if (equals != NULL && text[0] != '#') {
            value = equals + 1 + strspn(equals + 1, BLANKS);
            cut_blanks(text, (size_t)(equals - text));
            len = strlen(text);
            text[len] = '=';
            memmove(text + len + 1, value, strlen(value) + 1);
        }
        if (text[0] != '\0' && text[0] != '#')
            each(ctx, text, line);
        text = next;
    }
}

/* --- Names ------------------------------------------------------------------------------------------------------- */

/* Parses one entry of a list of users: 7, 7-9 or @7. Returns the text behind it, or NULL: it is malformed. */
static const char *parse_entry(const char *text, int *is_group, unsigned long *first, unsigned long *last)
{
    char *end;

    *is_group = *text == '@';
    text += *is_group;
    if (*text < '0' || *text > '9')
        return NULL;
    *first = *last = strtoul(text, &end, 10);
    if (!*is_group && *end == '-') {
        text = end + 1;
        if (*text < '0' || *text > '9')
            return NULL;
        *last = strtoul(text, &end, 10);
    }
    return *first > *last || (*end != '\0' && strchr(", \t", *end) == NULL) ? NULL : end;
}

static const char *skip_commas(const char *text) { return text + strspn(text, ", \t"); }

static const char *check_users(const char *value)
{
    unsigned long first, last;
    int is_group;

    for (const char *at = skip_commas(value); *at != '\0'; at = skip_commas(at))
        if ((at = parse_entry(at, &is_group, &first, &last)) == NULL)
            return "expected numbers of users, ranges such as 1000-1999, or @ and the number of a group";
    return NULL;
}

static const char *copy(char *to, size_t size, const char *value)
{
    size_t len = strlen(value);

    if (len >= size)
        return "the value is too long";
    memcpy(to, value, len + 1);
    return NULL;
}

const char *mioc_site_assign(struct mioc_site *site, const char *assignment)
{
    const struct {
        const char *name;
        char *field;
        size_t size;
        int is_users;
    } names[] = { { "ALLOW_PROGRAMS", site->allow_programs, sizeof site->allow_programs, 0 },
                  { "DENY_PROGRAMS", site->deny_programs, sizeof site->deny_programs, 0 },
                  { "ALLOW_USERS", site->allow_users, sizeof site->allow_users, 1 },
                  { "DENY_USERS", site->deny_users, sizeof site->deny_users, 1 },
                  { "RECORDS", site->records, sizeof site->records, 0 } };
    size_t len = strcspn(assignment, "=");
    const char *value = assignment + len + 1, *problem;

    if (assignment[len] != '=')
        return "expected NAME=VALUE";
    if (len == 11 && memcmp(assignment, "KILL_SWITCH", len) == 0) {
        site->is_killed = strcmp(value, "0") != 0 && value[0] != '\0';
        return NULL;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) != len || memcmp(names[i].name, assignment, len) != 0)
            continue;
        if (names[i].field == site->records && value[0] != '/' && value[0] != '\0')
            return "expected an absolute path";
        if (names[i].is_users && (problem = check_users(value)) != NULL)
            return problem;
        return copy(names[i].field, names[i].size, value);
    }
    return "unknown name";
}

/* --- The verdict ------------------------------------------------------------------------------------------------- */

static int has_group(unsigned long group)
{
    static gid_t groups[GROUPS_MAX];
    int n;

    if (getgid() == group || getegid() == group)
        return 1;
    n = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < n; i++)
        if (groups[i] == group)
            return 1;
    return 0;
}

static int names_user(const char *list)
{
    unsigned long first, last, uid = geteuid();
    int is_group;

    for (const char *at = skip_commas(list); *at != '\0'; at = skip_commas(at)) {
        at = parse_entry(at, &is_group, &first, &last);
        if (at == NULL)
            return 0;
        if (is_group ? has_group(first) : first <= uid && uid <= last)
            return 1;
    }
    return 0;
}

static int matches(const char *pattern, const char *program)
{
    const char *last = program == NULL ? NULL : strrchr(program, '/');

    if (program == NULL)
        return 0;
    return fnmatch(pattern, strchr(pattern, '/') == NULL && last != NULL ? last + 1 : program, 0) == 0;
}

static int names_program(const char *list, const char *interpreter, const char *script)
{
    char pattern[1024];

    while (*list != '\0') {
        size_t len = strcspn(list, ":");

        if (len > 0 && len < sizeof pattern) {
            memcpy(pattern, list, len);
            pattern[len] = '\0';
            if (matches(pattern, interpreter) || matches(pattern, script))
                return 1;
        }
        list += len + (list[len] == ':');
    }
    return 0;
}

int mioc_site_forbids(const struct mioc_site *site, const char *interpreter, const char *script, char *reason,
                      size_t size)
{
    const char *why = NULL;
    int saved = errno;

    if (site->is_killed)
        why = "KILL_SWITCH is on";
    else if (names_user(site->deny_users))
        why = "DENY_USERS names this user";
    else if (site->allow_users[0] != '\0' && !names_user(site->allow_users))
        why = "ALLOW_USERS does not name this user";
    else if (names_program(site->deny_programs, interpreter, script))
        why = "DENY_PROGRAMS names this program";
    else if (site->allow_programs[0] != '\0' && !names_program(site->allow_programs, interpreter, script))
        why = "ALLOW_PROGRAMS does not name this program";
    if (why != NULL)
        snprintf(reason, size, "the site's configuration says so: %s", why);
    errno = saved;
    return why != NULL;
}
