/* SPDX-License-Identifier: BSD-3-Clause */
/* config.c - mpiio-cache config: every variable, the value in force and where it came from. */
#include "command.h"
#include "base/config.h"

#include <stdio.h>
#include <string.h>

static void show(const char *name, const char *value, const char *source)
{
    printf("%-26s %-24s %s\n", name, value, source);
}

static void show_site(const struct mioc_site *site)
{
    const struct {
        const char *name, *value;
    } rows[] = { { "KILL_SWITCH", site->is_killed ? "1" : "" },
                 { "ALLOW_PROGRAMS", site->allow_programs },
                 { "DENY_PROGRAMS", site->deny_programs },
                 { "ALLOW_USERS", site->allow_users },
                 { "DENY_USERS", site->deny_users },
                 { "RECORDS", site->records } };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].value[0] != '\0')
            show(rows[i].name, rows[i].value, MIOC_SITE_FILE);
}

int mioc_command_config(int argc, char **argv)
{
    static const char *const sources[] = { [MIOC_CONFIG_DEFAULT] = "default",
                                           [MIOC_CONFIG_SITE] = MIOC_SITE_FILE,
                                           [MIOC_CONFIG_ENVIRONMENT] = "environment" };
    const struct mioc_config *config = mioc_config();
    size_t rows;
    const struct mioc_config_row *row = mioc_config_rows(&rows);

    if (argc > 0)
        return mioc_command_usage("config: unexpected argument %s", argv[0]);
    show("variable", "value", "from");
    for (size_t i = 0; i < rows; i++)
        show(row[i].name, config->origin[i].text, sources[config->origin[i].source]);
    show_site(&config->site);
    if (config->complaints == 0)
        return 0;
    fprintf(stderr, "mpiio-cache: %s", config->complaint);
    if (config->complaints > 1)
        fprintf(stderr, " (and %u more)", config->complaints - 1);
    fputc('\n', stderr);
    return 1;
}
