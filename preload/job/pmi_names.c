/* SPDX-License-Identifier: BSD-3-Clause */
/* pmi_names.c - names at the launcher's name service. */
#include "pmi_names.h"
#include "pmi.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE 1024

/* Asks the launcher; the answer is one line of at most LINE bytes. 0, or -1 and the reason. After a failure it asks no
 * more, as the answer that is still due would be taken for another one. */
__attribute__((format(printf, 3, 4))) static int ask(struct mioc_pmi_names *n, char *answer, const char *format, ...)
{
    char command[LINE - 8];
    va_list list;
    int length;

    va_start(list, format);
    length = vsnprintf(command, sizeof command, format, list);
    va_end(list);
    if (length > 0 && (size_t)length < sizeof command && !n->is_answer_due &&
        mioc_pmi_ask(n->fd, command, answer, LINE, n->timeout_ms) == 0)
        return 0;
    n->is_answer_due = 1;
    snprintf(n->reason, n->size, "the launcher's name service does not answer: %s", strerror(errno));
    return -1;
}

/* A value on the wire has no blank, '=' or ';': "~" stands for a blank, "?" for what else it cannot have. */
static void encode(char *to, size_t size, const char *text)
{
    size_t i = 0;

    for (; text[i] != '\0' && i + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];

        to[i] = (char)(c == ' ' ? '~' : c <= ' ' || c >= 0x7f || strchr("=~;", c) != NULL ? '?' : c);
    }
    to[i] = '\0';
}

/* Copies what stands behind `key` up to a blank, and puts blanks back. `key` is " NAME=". 1, or 0: it is not there. */
static int get_value(const char *answer, const char *key, char *to, size_t size)
{
    const char *at = strstr(answer, key);
    size_t i = 0;

    if (at == NULL)
        return 0;
    for (at += strlen(key); at[i] != '\0' && at[i] != ' ' && i + 1 < size; i++)
        to[i] = at[i] == '~' ? ' ' : at[i];
    to[i] = '\0';
    return 1;
}

int mioc_pmi_publish(struct mioc_pmi_names *n, const char *name, const char *value)
{
    char answer[LINE], text[300];
    int rc;

    encode(text, sizeof text, value);
    if (ask(n, answer, "publish_name service=%s%s port=%s", name, n->suffix, text) != 0)
        return -1;
    /* Slurm and older hydras answer with "info" only, MPICH 4.2's hydra with "rc" only. */
    rc = mioc_pmi_number(answer, "rc", -1);
    return rc == 0 || (rc == -1 && strstr(answer, "info=ok") != NULL);
}

int mioc_pmi_lookup(struct mioc_pmi_names *n, const char *name, char *value, size_t size)
{
    char answer[LINE];

    if (ask(n, answer, "lookup_name service=%s%s", name, n->suffix) != 0)
        return -1;
    return get_value(answer, " port=", value, size);
}

int mioc_pmi_names_begin(struct mioc_pmi_names *n, int needs_init, int size, int rank, struct mioc_pmi_place *place)
{
    char answer[LINE];

    n->kvs[0] = '\0';
    if ((needs_init && ask(n, answer, "init pmi_version=1 pmi_subversion=1") != 0) ||
        ask(n, answer, "get_my_kvsname") != 0)
        return -1;
    (void)get_value(answer, " kvsname=", n->kvs, sizeof n->kvs);
    snprintf(n->suffix, sizeof n->suffix, "-mpiio_cache-%s", n->kvs);
    if (ask(n, answer, "get kvsname=%s key=PMI_process_mapping", n->kvs) != 0)
        return -1;
    if (get_value(answer, " value=", answer, sizeof answer) && mioc_pmi_parse_mapping(answer, size, rank, place) == 0)
        return 0;
    snprintf(n->reason, n->size, "the launcher does not say which ranks are on which node");
    return -1;
}
