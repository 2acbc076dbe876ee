/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_site.c - a site's configuration of any text. Promises: each assignment is one line without blanks around it,
 * what is refused changes nothing and is said in one printable line, a value that is taken is the file's own, and the
 * verdict is one sentence or none. */
#include "base/site.h"
#include "fuzz.h"

static struct mioc_site site;

static int is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static int is_ended(const char *text, size_t size) { return strnlen(text, size) < size; }

static void check_line(const char *assignment)
{
    const char *equals = strchr(assignment, '=');

    PROMISE(assignment[0] != '\0' && assignment[0] != '#' && strchr(assignment, '\n') == NULL);
    PROMISE(!is_blank(assignment[0]) && !is_blank(assignment[strlen(assignment) - 1]));
    PROMISE(equals == NULL || ((equals == assignment || !is_blank(equals[-1])) && !is_blank(equals[1])));
}

static void each(void *ctx, const char *assignment, unsigned line)
{
    struct mioc_site before = site;
    const char *problem;

    PROMISE(line > *(unsigned *)ctx);
    *(unsigned *)ctx = line;
    check_line(assignment);
    problem = mioc_site_assign(&site, assignment);
    PROMISE(problem == NULL || memcmp(&before, &site, sizeof site) == 0);
    PROMISE(is_ended(site.allow_programs, sizeof site.allow_programs) &&
            is_ended(site.deny_programs, sizeof site.deny_programs));
    PROMISE(is_ended(site.allow_users, sizeof site.allow_users) && is_ended(site.deny_users, sizeof site.deny_users));
    PROMISE(is_ended(site.records, sizeof site.records) && (site.records[0] == '\0' || site.records[0] == '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text, reason[64] = "";
    unsigned line = 0;
    int rc;

    if (size >= MIOC_SITE_FILE_MAX || (text = malloc(size + 1)) == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(&site, 0, sizeof site);
    mioc_site_lines(text, each, &line);
    rc = mioc_site_forbids(&site, "/sw/bin/python3", size % 2 ? "/home/me/app.py" : NULL, reason, sizeof reason);
    PROMISE((rc == 0 && reason[0] == '\0') || (rc == 1 && reason[0] != '\0' && is_ended(reason, sizeof reason)));
    PROMISE(rc == 1 || !site.is_killed);
    free(text);
    return 0;
}
