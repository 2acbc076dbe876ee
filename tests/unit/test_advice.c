/* SPDX-License-Identifier: BSD-3-Clause */
/* test_advice.c - all that the sources say to people names cause, consequence and remedy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "launch/advice.h"

#include <glob.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 1 << 20);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
    (void)fclose(file);
    return text;
}

static void each_source(int (*visit)(const char *path, const char *text), int least)
{
    static const char *const patterns[] = { MIOC_SOURCES "/preload/*.c", MIOC_SOURCES "/preload/*/*.c",
                                            MIOC_SOURCES "/mpi_shim/*/*.c" };
    int found = 0;

    for (unsigned i = 0; i < 3; i++) {
        glob_t sources;

        assert_int_equal(glob(patterns[i], 0, NULL, &sources), 0);
        for (size_t k = 0; k < sources.gl_pathc; k++) {
            char *text = read_file(sources.gl_pathv[k]);

            found += visit(sources.gl_pathv[k], text);
            free(text);
        }
        globfree(&sources);
    }
    assert_in_range(found, least, 1000);
}

static int has_words(const char *text) { return strpbrk(text, " ") != NULL && strncmp(text, "active: ", 8) != 0; }

/* Each literal that becomes a reason. */
static int check_reasons(const char *path, const char *text)
{
    regmatch_t match[4];
    regex_t regex;
    int found = 0;

    assert_int_equal(regcomp(&regex, "(be_dormant\\(me, |snprintf\\(([^;\"]*(reason|line), )[^;\"]*)\"", REG_EXTENDED),
                     0);
    for (; regexec(&regex, text, 4, match, 0) == 0; text += match[0].rm_eo) {
        char literal[256] = "";

        (void)sscanf(text + match[0].rm_eo, "%255[^\"]", literal);
        if (!has_words(literal) || strncmp(literal, "%u/", 3) == 0)
            continue;
        found++;
        if (mioc_advice(literal) == NULL)
            fail_msg("%s: no remedy for \"%s\"", path, literal);
    }
    regfree(&regex);
    return found;
}

static void every_reason_in_the_sources_has_a_remedy(void **state)
{
    (void)state;
    each_source(check_reasons, 40);
    assert_null(mioc_advice(""));
}

/* From behind a call's opening parenthesis: its literals, and what stands before the first. Returns where it ends. */
static const char *take_call(const char *at, char *head, char *literals, size_t size)
{
    int depth = 1, in_literal = 0, has_literal = 0;
    size_t heads = 0, used = 0;

    for (; *at != '\0' && depth > 0; at++) {
        if (*at == '"' && at[-1] != '\\') {
            in_literal = !in_literal;
            has_literal = 1;
            continue;
        }
        depth += in_literal ? 0 : (*at == '(') - (*at == ')');
        if (in_literal && used + 1 < size)
            literals[used++] = *at;
        else if (!has_literal && heads + 1 < size)
            head[heads++] = *at;
    }
    return at;
}

static int check_messages(const char *path, const char *text)
{
    int found = 0;

    for (const char *at = strstr(text, "mioc_log("); at != NULL; at = strstr(at, "mioc_log(")) {
        char head[512] = "", literals[512] = "";

        at = take_call(at + strlen("mioc_log("), head, literals, sizeof head);
        if ((strstr(head, "WARN") == NULL && strstr(head, "ERROR") == NULL && strncmp(head, "level,", 6) != 0) ||
            strncmp(literals, "%s", 2) == 0)
            continue;
        found++;
        if (strstr(literals, "; ") == NULL || strstr(literals, ". ") == NULL)
            fail_msg("%s: \"%s\" has no consequence (\"; \") or no remedy (\". \")", path, literals);
    }
    return found;
}

static void every_warning_in_the_sources_names_consequence_and_remedy(void **state)
{
    (void)state;
    each_source(check_messages, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_in_the_sources_has_a_remedy),
        cmocka_unit_test(every_warning_in_the_sources_names_consequence_and_remedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
