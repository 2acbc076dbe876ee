/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_config.c - an environment and a command line of any bytes. Promises: the configuration is usable whatever they
 * are, the complaint is one short printable line, what is parsed twice is the same; marks and launchers' variables are
 * read without harm. */
#include "base/config.h"
#include "policy/policy_internal.h"
#include "launch/role.h"
#include "fuzz.h"

#define WORDS 40

/* Splits at NULs. What begins with "=" gets a name of ours in front. */
static unsigned split(char *text, size_t size, char **words, char *space, size_t room)
{
    static const char *const names[] = { "DISABLE", "LOG",    "DIR",       "PATHS",     "EXCLUDE",   "TTL",
                                         "TIMEOUT", "LINGER", "MAX_FILE",  "MAX_BYTES", "LOADER",    "STATS",
                                         "CLAIMED", "LAUNCH", "TRANSPORT", "PORTS",     "INTERFACE", "KEYFILE",
                                         "ENCRYPT", "HOSTS",  "RANK" };
    unsigned n = 0;

    for (size_t at = 0; at < size && n < WORDS; at += strlen(text + at) + 1) {
        const char *word = text + at;
        int len;

        words[n] = text + at;
        if (word[0] > 0 && word[0] < 32) {
            len = snprintf(space, room, "MPIIO_CACHE_%s=%s", names[(unsigned)word[0] % (sizeof names / sizeof *names)],
                           word + 1);
            if (len > 0 && (size_t)len < room) {
                words[n] = space;
                space += len + 1;
                room -= (size_t)len + 1;
            }
        }
        n++;
    }
    words[n] = NULL;
    return n;
}

static void check(const struct mioc_config *c)
{
    PROMISE(c->dir[0] == '/' && strlen(c->dir) <= 200);
    PROMISE(strnlen(c->paths, sizeof c->paths) < sizeof c->paths &&
            strnlen(c->exclude, sizeof c->exclude) < sizeof c->exclude);
    PROMISE(c->paths[0] == '\0' || c->paths[0] == '/');
    PROMISE(c->timeout_ms >= 1 && c->timeout_ms <= 3600000 && c->linger_ms <= 3600000 && c->ttl_ms <= 86400000);
    PROMISE(c->log > MIOC_LOG_NONE && c->log <= MIOC_LOG_DEBUG && (c->disable | 1) == 1 && (c->loader_plain | 1) == 1);
    PROMISE(c->transport <= MIOC_TRANSPORT_MPI && (c->encrypt | 1) == 1);
    PROMISE(c->port_first >= 1024 && c->port_last <= 65535 && c->port_last >= c->port_first + 7);
    PROMISE(strnlen(c->interface, sizeof c->interface) < sizeof c->interface);
    PROMISE(c->keyfile[0] == '\0' ||
            (c->keyfile[0] == '/' && strnlen(c->keyfile, sizeof c->keyfile) < sizeof c->keyfile));
    PROMISE(c->hosts != NULL && (c->hosts[0] == '/' || strchr(c->hosts, '/') == NULL) && c->rank <= INT32_MAX);
    PROMISE(c->stats || c->stats_file[0] == '\0');
    PROMISE((c->complaints > 0) == (c->complaint[0] != '\0'));
    for (const char *at = c->complaint; *at != '\0'; at++)
        PROMISE((unsigned char)*at >= 0x20 && *at != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mioc_config config, again;
    static char space[65536];
    char *text = malloc(size + 1), *words[WORDS + 1];
    struct mioc_python_args args;
    struct mioc_task me = { .rank = -1 };

    if (text == NULL || size > 30000) {
        free(text);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    (void)split(text, size, words, space, sizeof space);
    (void)mioc_config_parse(&config, words);
    check(&config);
    (void)mioc_config_parse(&again, words);
    PROMISE(memcmp(&config, &again, sizeof config) == 0);
    mioc_policy_parse_python(&args, words, words);
    (void)mioc_role_find_launcher(&me, words);
    PROMISE(me.rank >= -1 && me.size >= -1 && strnlen(me.reason, sizeof me.reason) < sizeof me.reason);
    (void)mioc_task_count_on_node(&me, words);
    mioc_role_note_marks(words);
    for (char **word = words; *word != NULL; word++)
        PROMISE(strncmp(*word, MIOC_ROLE_MARK, strlen(MIOC_ROLE_MARK)) != 0);
    free(text);
    return 0;
}
