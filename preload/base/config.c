/* SPDX-License-Identifier: BSD-3-Clause */
/* config.c - makes the configuration: defaults, over them the site's file, over that the environment. */
#include "config_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One source that is being read. */
struct reading {
    struct mioc_config *config;
    enum mioc_config_source source;
    const char *file; /* the site's file; NULL for the environment */
    unsigned line;
    uint32_t seen; /* bits of rows */
};

/* Returns "FILE:LINE: " for the site's file, "" for the environment. */
static struct mioc_quoted place_of(const struct reading *r)
{
    struct mioc_quoted q = { "" };
    if (r->source == MIOC_CONFIG_SITE)
        (void)snprintf(q.text, sizeof q.text, "%.60s:%u: ", r->file, r->line);
    return q;
}

/* Takes a value for a row. An empty value means the same as an unset variable: some launchers can only empty one. */
static void take_value(struct reading *r, size_t row, const char *value)
{
    const struct mioc_config_row *rule = &mioc_config_rows(NULL)[row];
    struct mioc_config_origin *origin = &r->config->origin[row];

    if (value[0] == '\0')
        return;
    if (mioc_config_parse_row(r->config, row, value) == 0) {
        *origin = (struct mioc_config_origin){ r->source, value };
        return;
    }
    mioc_config_complain(r->config, "%s%s=\"%s\": expected %s; using the %s, %s", place_of(r).text, rule->name,
                         mioc_config_quote(value, strlen(value)).text, rule->type,
                         origin->source == MIOC_CONFIG_DEFAULT ? "default" : "site's value",
                         mioc_config_quote(origin->text, strlen(origin->text)).text);
}

/* Takes one "NAME=value" whose name begins with our prefix. The first of two counts, as with getenv(). */
static void parse_variable(struct reading *r, const char *variable)
{
    size_t name_len = strcspn(variable, "=");
    const char *value = variable + name_len + (variable[name_len] == '=');
    int row = mioc_config_find_row(variable, name_len);
    if (row == MIOC_CONFIG_UNKNOWN) {
        mioc_config_complain(r->config, "%sunknown variable %s, ignored. mpiio-cache config names all",
                             place_of(r).text, mioc_config_quote(variable, name_len).text);
        return;
    }
    if (row == MIOC_CONFIG_OF_THE_LIBRARY || (r->seen & 1u << row) != 0)
        return;
    r->seen |= 1u << row;
    take_value(r, (size_t)row, value);
}

/* Takes one line of the site's file, without blanks around it. */
static void parse_site_line(void *ctx, const char *assignment, unsigned line)
{
    struct reading *r = ctx;
    const char *problem;
    r->line = line;
    if (strncmp(assignment, MIOC_CONFIG_PREFIX, sizeof MIOC_CONFIG_PREFIX - 1) == 0)
        parse_variable(r, assignment);
    else if ((problem = mioc_site_assign(&r->config->site, assignment)) != NULL)
        mioc_config_complain(r->config, "%s%s: %s; the line is ignored", place_of(r).text,
                             mioc_config_quote(assignment, strlen(assignment)).text, problem);
}

int mioc_config_parse_all(struct mioc_config *config, const char *file, char *text, char *const *env)
{
    struct reading site = { config, MIOC_CONFIG_SITE, file, 0, 0 },
                   variables = { config, MIOC_CONFIG_ENVIRONMENT, NULL, 0, 0 };
    size_t row_count;
    const struct mioc_config_row *rows = mioc_config_rows(&row_count);

    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < row_count; i++) {
        (void)mioc_config_parse_row(config, i, rows[i].default_text);
        config->origin[i].text = rows[i].default_text;
    }
    if (text != NULL)
        mioc_site_lines(text, parse_site_line, &site);
    if (env == NULL)
        env = environ;
    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, MIOC_CONFIG_PREFIX, sizeof MIOC_CONFIG_PREFIX - 1) == 0)
            parse_variable(&variables, *env);
    return (int)config->complaints;
}

int mioc_config_parse(struct mioc_config *config, char *const *env)
{
    return mioc_config_parse_all(config, NULL, NULL, env);
}

struct process {
    struct mioc_config config;
    char text[MIOC_SITE_FILE_MAX];
};

static void parse_process(struct process *process)
{
    struct mioc_config *config = &process->config;
    char problem[160];
    int rc = mioc_site_read(MIOC_SITE_FILE, process->text, sizeof process->text, problem, sizeof problem);
    (void)mioc_config_parse_all(config, MIOC_SITE_FILE, rc > 0 ? process->text : NULL, NULL);
    if (rc < 0)
        mioc_config_complain(config, "%s: %s; the site's settings are not in force", MIOC_SITE_FILE, problem);
}

/* A caller that comes while another one parses does not wait, but parses for itself: the other may never end. It may be
 * a child of vfork that is killed, or a thread that a fork, or a signal's handler, has left in the middle. */
const struct mioc_config *mioc_config(void)
{
    static struct process *ready; /* atomic */
    static struct process first;  /* belongs to the caller that sets is_taken */
    static int is_taken;          /* atomic */
    struct process *process = __atomic_load_n(&ready, __ATOMIC_ACQUIRE), *found = NULL;
    if (process != NULL)
        return &process->config;
    process = &first;
    if (__atomic_exchange_n(&is_taken, 1, __ATOMIC_RELAXED)) {
        process = mmap(NULL, sizeof *process, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (process == MAP_FAILED)
            process = &first; /* the other caller writes the same into it */
    }
    parse_process(process);
    if (__atomic_compare_exchange_n(&ready, &found, process, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return &process->config;
    if (process != &first)
        (void)munmap(process, sizeof *process);
    return &found->config;
}
